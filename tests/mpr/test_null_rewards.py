"""Null models as rewards, and the oracle: one direction an episode, the training clips' mean, the true motion."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest

from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.predictor import checkpoint
from mpr.reward.any_motion import AnyMotionReward
from mpr.reward.baselines import TrueDeltas
from mpr.reward.mean_motion import MeanMotionReward
from mpr.reward.model import Given
from mpr.reward.registry import REWARDS, reward_class
from mpr.reward.scoring import agreements, moved_shares, score_clip
from mpr.reward.wrong_direction import WrongDirectionReward, direction_of
from tests.toy_clips import square_clip
from tests.toy_scenes import built, record, scene_clip  # noqa: F401
from tracking.motion.compensation import KNOWN_CAMERA
from tracking.motion.known_camera import with_known_camera

PATH = np.array([[60, 60], [60, 60], [63, 60], [66, 60], [66, 60], [60, 60]])  # still, right, right, still, back


def episode(seed: int | None) -> Episode:
    zeros, times = np.zeros((5, 9)), np.arange(6) / 12.5
    return Episode(
        states=np.zeros((6, 3)),
        times=times,
        executed_actions=zeros,
        terminated=True,
        truncated=False,
        success=True,
        seed=seed,
    )


def track(_: Episode) -> nullcontext:
    return nullcontext(square_clip(PATH))


def test_a_wrong_direction_is_one_an_episode_and_the_seeds() -> None:
    reward = WrongDirectionReward(track)
    for seed in range(6):
        paid, towards = reward.score(episode(seed)), direction_of(seed)
        assert np.linalg.norm(towards) == pytest.approx(1)
        right, back = max(towards[0], 0), max(-towards[0], 0)
        assert paid == pytest.approx([0, right, right, 0, back], abs=1e-6)
        assert (reward.score(episode(seed)) == paid).all()
    angles = [np.arctan2(*direction_of(seed)) for seed in range(2000)]
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() > 400  # every direction
    with pytest.raises(UserError, match="has no seed"):
        reward.score(episode(None))


def test_the_mean_motion_is_the_one_of_the_predictors_card(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    class Trained:
        def __init__(self, card) -> None:
            self.card = card

    monkeypatch.setattr("mpr.core.checkpoints.refuse_unfinished", lambda *_: None)
    monkeypatch.setattr(checkpoint, "load_predictor", lambda _: Trained({"mean_motion": [-0.3, 0.4]}))
    given = Given(predictor=tmp_path, track=track)
    assert MeanMotionReward.of(given).score(episode(0)) == pytest.approx([0, 0, 0, 0, 0.6])  # 0.6 of the way back
    monkeypatch.setattr(checkpoint, "load_predictor", lambda _: Trained({}))
    with pytest.raises(UserError, match="does not hold the mean motion"):
        MeanMotionReward.of(given)


def test_both_are_in_the_registry_and_see() -> None:
    assert {"wrong_direction", "mean_motion"} <= set(REWARDS.ours)
    wrong, mean = reward_class("wrong_direction"), reward_class("mean_motion")
    assert wrong.sees and mean.sees and mean.predicts and not wrong.predicts


@pytest.mark.usefixtures("built")
def test_true_motion_is_paid_all_of_exact_tracks_and_little_of_wrong_ones() -> None:
    recording = record()
    exact = with_known_camera(scene_clip(recording), recording)
    paid = agreements(score_clip(exact, TrueDeltas(exact, recording), KNOWN_CAMERA))
    share = moved_shares(score_clip(exact, TrueDeltas(exact, recording), KNOWN_CAMERA))
    assert paid == pytest.approx(share, abs=1e-3) and share.min() > 0.1
    first = exact.segments[0]
    mirrored = np.array(first.points)
    mirrored[1:] = 2 * first.points[:1] - first.points[1:]  # each point tracked the other way
    wrong = dataclasses.replace(exact, segments=(dataclasses.replace(first, points=mirrored), *exact.segments[1:]))
    left = agreements(score_clip(wrong, TrueDeltas(exact, recording), "mean"))
    assert left[0] < 0.5 * moved_shares(score_clip(wrong, TrueDeltas(exact, recording), "mean"))[0]


def test_any_motion_is_an_upper_bound_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    most = AnyMotionReward(track).score(episode(3))
    assert (WrongDirectionReward(track).score(episode(3)) <= most + 1e-6).all()
