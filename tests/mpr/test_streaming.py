"""The reward made frame by frame is that of the finished episode; masks are given once nothing can change them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.clip import ClipSource, Square, TrackedClip
from mpr.core.errors import UserError
from mpr.predictor.checkpoint import Predictor
from mpr.predictor.model import MotionModel
from mpr.predictor.predicted import PredictedDeltas, untrained_predictor
from mpr.predictor.sizes import PREDICTOR_SIZES
from mpr.reward.scoring import agreements, score_moving
from mpr.reward.streaming import StreamedScore
from mpr.reward.streaming_process import StreamedObject, StreamingReward
from tests.tracking.moving_scenes import Moving
from tracking.clips.from_video import track_masked
from tracking.masks.box_mask import CarriedMasks
from tracking.masks.lost import BLINK, HeldMasks, held_masks
from tracking.masks.streamed import MaskedFrame, StreamedMasks
from tracking.trackers.lucas_kanade import LucasKanade

RATE_HZ = 12.5
SQUARE = Square(-0.5, -0.5, 120.0)
SOURCE = ClipSource("test", "scene", 0.0, 1.0, "", "made here", "box", "lucas_kanade")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    size = replace(PREDICTOR_SIZES["tiny"], image=32, width=32, encoder_width=32, points=48)
    return untrained_predictor(Predictor(MotionModel(size), size, {"rate_hz": RATE_HZ}), seed=6)


def scene(length: int = 40, hidden: range = range(0)) -> tuple[list[np.ndarray], tuple[int, int, int, int]]:
    """Frames of a thing that moves, grey all over while it is hidden; and the box around it on the first."""
    moving = Moving(length, step=(0.8, 0.3))
    frames = [np.full_like(moving[t], 128) if t in hidden else moving[t] for t in range(length)]
    y, x = np.nonzero(moving.mask(0))
    return frames, (x.min() - 4, y.min() - 4, x.max() + 4, y.max() + 4)


def afterwards(frames, box, times, predictor: Predictor) -> TrackedClip:
    masks = HeldMasks(frames, CarriedMasks(frames, box), times, 0)
    return track_masked(frames, masks, times, RATE_HZ, LucasKanade(), SOURCE, SQUARE)


def streamed(frames, box, times, predictor: Predictor) -> np.ndarray:
    masks, score = StreamedMasks(box), StreamedScore(predictor, LucasKanade(), SQUARE, RATE_HZ)
    for frame, time_s in zip(frames, times, strict=True):
        for one in masks.push(frame, time_s):
            score.push(one)
    for one in masks.end():
        score.push(one)
    return score.finish()


@pytest.mark.parametrize("hidden", [range(0), range(12, 20), range(30, 40)])
@pytest.mark.parametrize("late", [(), (7,), (1, 15, 16)])
def test_it_is_the_reward_of_the_finished_episode(predictor: Predictor, hidden: range, late: tuple[int, ...]) -> None:
    """Segments begin anew as the object hides and shows; steps of a late frame are gaps, as the first are."""
    frames, box = scene(hidden=hidden)
    times = np.cumsum([0.0] + [0.2 if t in late else 1 / RATE_HZ for t in range(1, len(frames))])
    clip = afterwards(frames, box, times, predictor)
    expected = agreements(score_moving(clip, PredictedDeltas(predictor), 0.5), 0.5)
    found = streamed(frames, box, times, predictor)
    assert (expected > 0).sum() > 5 and len(clip.segments) > (1 if hidden else 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_frames_are_not_kept(predictor: Predictor) -> None:
    frames, _ = scene()
    score, whole = StreamedScore(predictor, LucasKanade(), SQUARE, RATE_HZ), np.ones(frames[0].shape[:2], bool)
    for t, frame in enumerate(frames):
        score.push(MaskedFrame(frame, whole, t / RATE_HZ))
        assert len(score._frames._items) <= 3 and len(score._masks._items) <= 3 and len(score._tokens) <= 2


def test_what_cannot_be_scored_is_refused(predictor: Predictor) -> None:
    frames, _ = scene(3)
    shown = MaskedFrame(frames[0], np.ones(frames[0].shape[:2], bool), 1.0)
    with pytest.raises(ValueError, match="a rate is needed"):
        StreamedScore(predictor, LucasKanade(), SQUARE, 0.0)
    score = StreamedScore(predictor, LucasKanade(), SQUARE, RATE_HZ)
    score.push(shown)
    with pytest.raises(UserError, match="times do not increase"):
        score.push(shown)
    with pytest.raises(UserError, match="an episode of 1 frame"):
        score.finish()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.05, 1.0, 1.2, 4.0]), min_size=2, max_size=30), st.sampled_from([5, 12.5, 30]))
def test_a_mask_is_given_once_nothing_that_follows_can_change_it(sizes: list[float], rate: float) -> None:
    masks, times = StreamedMasks((0, 0, 1, 1)), np.arange(len(sizes)) / rate
    whole = held_masks(np.array([1.0, *sizes[1:]]), np.full(len(sizes), 0.9), times, 0)
    given_until = 0
    for t in range(len(sizes)):
        masks._size, masks._own = [1.0, *sizes[1 : t + 1]], [0.9] * (t + 1)
        masks._times = times[: t + 1].tolist()
        shown = masks._shown()
        settled = masks._settled(shown)
        assert settled >= given_until and (shown[:settled] == whole[:settled]).all()
        assert times[t] - times[min(settled, t)] < BLINK
        given_until = settled


# --- in a process of its own ------------------------------------------------------------------------------------------


def filmed(reward: StreamingReward, frames: list[np.ndarray], step_s: float = 1 / RATE_HZ) -> None:
    reward.begin()
    for t, frame in enumerate(frames):
        reward.frame(frame, t * step_s)


def test_the_process_scores_episode_after_episode_whatever_went_wrong_in_one(predictor: Predictor) -> None:
    frames, box = scene(16, range(5, 9))
    expected = streamed(frames, box, np.arange(16) / RATE_HZ, predictor)
    plain = [np.full_like(frames[0], 90)] * 3
    with StreamingReward(predictor, StreamedObject(box, SQUARE, RATE_HZ)) as reward:
        for wrong, step_s, says in (
            (plain, 0.08, "nothing in the box stands out"),
            (frames, 0.0, "times do not increase"),
            ([frames[0], frames[1][:40]], 0.08, "a frame of 160 x 40 pixels follows frames of 160 x 96"),
            ([], 0.08, "an episode of 0 frame"),
        ):
            filmed(reward, wrong, step_s)
            with pytest.raises(UserError, match=says):
                reward.finish()
            filmed(reward, frames[:3])  # given up
            filmed(reward, frames)
            np.testing.assert_allclose(reward.finish(), expected, atol=1e-5)


def test_a_process_that_is_gone_is_said_and_giving_a_frame_does_not_wait_for_it(predictor: Predictor) -> None:
    frames, box = scene(4)
    with StreamingReward(predictor, StreamedObject(box, SQUARE, RATE_HZ)) as made:
        os.kill(made.pid, signal.SIGKILL)
        filmed(made, frames * 50)
        with pytest.raises(UserError, match="the process beside this one, streaming reward, has ended"):
            made.finish()


def test_what_cannot_follow_an_episode_is_refused_before_it_begins(predictor: Predictor, tmp_path: Path) -> None:
    _, box = scene(1)
    for trained, tracker, says in (
        (tmp_path / "none", "lucas_kanade", "none"),
        (predictor, "nosuch", "no tracker 'nosuch'"),
    ):
        with (
            pytest.raises(UserError, match=says),
            StreamingReward(trained, StreamedObject(box, SQUARE, RATE_HZ, tracker)),
        ):
            pass
