"""Scoring a clip: which transitions are predicted, baselines, rewards, table and film strip."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest

from mpr.commands.score import steps_table
from mpr.core.data.clip import TrackSegment
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode, save_episode
from mpr.core.data.video import VideoFrames
from mpr.core.errors import BadClip
from mpr.reward.agreement import agreement
from mpr.reward.any_motion import AnyMotionReward
from mpr.reward.baselines import ConstantVelocity, FixedDirection, Oracle, RandomDirection, Rest
from mpr.reward.motion import MotionReward
from mpr.reward.none import NoReward
from mpr.reward.scoring import agreements, moved_shares, score_clip, score_moving, score_summary
from mpr.reward.strip import chosen_steps, draw_film, draw_strip
from tests.toy_clips import square_clip
from tracking.motion.points import Transition

PATH = np.array([[60, 60], [60, 60], [63, 60], [66, 60], [66, 60], [60, 60]])  # still, right, right, still, back


class Counting(FixedDirection):
    """Remembers which transitions it was asked about."""

    asked: tuple[int, ...] = ()

    def __call__(self, clip, transitions):
        self.asked = tuple(x.t for x in transitions)
        return super().__call__(clip, transitions)


def episode(steps: int = 5) -> Episode:
    zeros = np.zeros((steps, 9))
    states, times = np.zeros((steps + 1, 3)), np.arange(steps + 1) / 12.5
    return Episode(states=states, times=times, executed_actions=zeros, terminated=True, truncated=False, success=True)


def test_only_moving_transitions_are_predicted_and_nothing_changes_by_it():
    clip, right = square_clip(PATH), Counting(np.array([1.0, 0]))
    got = agreements(score_clip(clip, right))
    assert right.asked == (1, 2, 4)
    everything = []
    for t in range(5):
        x = Transition.of(clip, t)
        everything.append(agreement(np.tile([[1.0, 0]], (x.object.sum(), 1)), x.delta[x.object]))
    assert got.tolist() == pytest.approx(everything)
    assert got.tolist() == pytest.approx([0, 1, 1, 0, 0])


def test_where_nothing_stirs_no_mask_is_read_and_nothing_changes_by_it():
    clip, right, read = square_clip(PATH), Counting(np.array([1.0, 0])), []

    class Watched:
        def __len__(self) -> int:
            return len(clip.masks)

        def __getitem__(self, t: int):
            read.append(t)
            return clip.masks[t]

    watched = dataclasses.replace(clip, masks=Watched())
    for moved in (0.5, 3.5):
        for of in (agreements, moved_shares):
            assert (
                of(score_moving(watched, right, moved), moved).tolist() == of(score_clip(clip, right), moved).tolist()
            )
    assert set(read) == {1, 2, 4}
    with pytest.raises(ValueError, match="transition 1: "):
        score_moving(clip, lambda clip, transitions: [np.zeros((1, 2), np.float32)] * len(transitions), 0.5)


def test_a_panning_camera_is_seen_unless_compensated():
    still, pan = np.tile([[60, 60]], (4, 1)), np.array([[0, 0], [4, 0], [8, 0], [12, 0]])
    clip = square_clip(still, pan)
    assert moved_shares(score_clip(clip, Oracle())).tolist() == pytest.approx([1, 1, 1])
    assert moved_shares(score_clip(clip, Oracle(), compensate="mean")).tolist() == pytest.approx([0, 0, 0])


@pytest.mark.parametrize("how", ["mean", "affine"])
def test_stand_ins_take_out_the_same_camera(how):
    """Under a panning camera any motion still agrees wherever a point moved, and constant velocity sees the door's."""
    clip = square_clip(PATH, np.outer(np.arange(6), [0.0, 6.0]))  # across the square's way: left in, it turns 63°
    share = moved_shares(score_clip(clip, Oracle(how), how))
    assert share.max() > 0.9
    assert agreements(score_clip(clip, Oracle(how), how)).tolist() == pytest.approx(share.tolist())
    assert agreements(score_clip(clip, ConstantVelocity(how), how))[2] == pytest.approx(1, abs=1e-3)
    assert not agreements(score_clip(clip, Rest(), how)).any()


def test_baselines():
    clip = square_clip(PATH)
    assert agreements(score_clip(clip, ConstantVelocity())).tolist() == pytest.approx([0, 0, 1, 0, 0])
    cut = [TrackSegment(t, s.points[t : t + 2], s.visible[t : t + 2]) for s in clip.segments for t in range(5)]
    resampled = dataclasses.replace(clip, segments=tuple(cut))  # a tracker that starts anew on every frame
    assert agreements(score_clip(resampled, ConstantVelocity())).tolist() == pytest.approx([0, 0, 1, 0, 0])
    one = agreements(score_clip(clip, RandomDirection(3)))
    assert one.tolist() == agreements(score_clip(clip, RandomDirection(3))).tolist()
    assert one.tolist() != agreements(score_clip(clip, RandomDirection(4))).tolist()


def test_rewards_behind_one_protocol():
    clip = square_clip(PATH)
    track = lambda _: nullcontext(clip)  # noqa: E731
    assert NoReward().score(episode()).tolist() == [0] * 5
    assert AnyMotionReward(track).score(episode()).tolist() == pytest.approx([0, 1, 1, 0, 1])
    assert MotionReward(FixedDirection(np.array([1.0, 0])), track).score(episode()).tolist() == pytest.approx(
        [0, 1, 1, 0, 0]
    )


def test_summary_counts_steps_without_object_points_and_never_says_nan():
    clip = square_clip(PATH)
    empty = np.zeros((len(clip.masks), 256, 256), bool)
    hidden = clip.__class__(clip.frames, empty, clip.segments, clip.times, 12.5, clip.crop, clip.source)
    figures = score_summary(score_clip(hidden, Oracle()))
    assert figures["steps_without_object_points"] == 5
    assert figures["moved_0.5"]["mean_agreement"] == 0.0  # type: ignore[index]
    assert figures["moved_0.5"]["directional_agreement"] is None  # type: ignore[index]
    assert "nan" not in steps_table(score_clip(hidden, Oracle()), hidden)


def test_film_strip_is_written_whole(tmp_path):
    clip = square_clip(PATH)
    scored = score_clip(clip, FixedDirection(np.array([1.0, 0.5])))
    assert chosen_steps(scored, 3) == [0, 1, 4]  # each stretch shows its busiest step
    draw_strip(tmp_path / "strip.png", clip.frames, scored, clip.times, "toy")
    draw_film(tmp_path / "strip.mp4", clip.frames, scored, clip.times)
    assert (tmp_path / "strip.png").stat().st_size > 10_000
    assert len(VideoFrames(tmp_path / "strip.mp4")) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["strip.mp4", "strip.png"]


def test_episode_folder_round_trip_and_refusals(tmp_path):
    save_episode(episode(), tmp_path / "e")
    assert load_episode(tmp_path / "e").success
    (tmp_path / "e" / "arrays.npz").write_bytes((tmp_path / "e" / "arrays.npz").read_bytes()[:300])
    with pytest.raises(BadClip, match="cannot be read"):
        load_episode(tmp_path / "e")
    with pytest.raises(BadClip, match="no episode folder"):
        load_episode(tmp_path / "missing")
    bad = episode()
    with pytest.raises(BadClip, match="NaN"):
        dataclasses.replace(bad, states=np.full((6, 3), np.nan))
    with pytest.raises(BadClip, match="6 times"):
        dataclasses.replace(bad, times=bad.times[:-1])
