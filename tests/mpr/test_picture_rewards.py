"""Rewards that compare pictures: their arithmetic by hand, their range, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mpr.commands.pretrain import main
from mpr.core.checkpoints import BadCheckpoint
from mpr.core.data.clip import FrameSource, TrackedClip
from mpr.core.data.clip_folder import save_clip
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.representations.checkpoint import pixel_vectors
from mpr.reward.agreement import training_reward
from mpr.reward.goal import read_goal
from mpr.reward.model import Given, RewardModel, Track
from mpr.reward.registry import reward_class
from mpr.reward.vip import VipDifferenceReward, VipReward
from tests.mpr.test_scoring import episode
from tests.toy_clips import Drawn, toy_clip

NAMES = ("vip", "vip_difference", "time_rewarder")


def shown(clip: TrackedClip) -> Track:
    """Every episode is this clip."""

    @contextmanager
    def track(_: Episode) -> Iterator[TrackedClip]:
        yield clip

    return track


def greys(*levels: int) -> TrackedClip:
    """A clip of plain grey frames."""
    clip = toy_clip(0, length=len(levels))
    return replace(clip, frames=Drawn(lambda t: grey(levels[t]), len(levels)))


def grey(level: int) -> np.ndarray:
    return np.full((256, 256, 3), level, np.uint8)


def level_vectors(frames: FrameSource) -> torch.Tensor:
    """A frame's vector is its grey."""
    return torch.tensor([[float(frames[t][0, 0, 0])] for t in range(len(frames))])


LEVELS = (10, 20, 0, 50, 90)  # 100 is the goal: distances 90, 80, 100, 50, 10


def test_vip_is_the_share_of_the_way_that_lies_behind() -> None:
    found = VipReward(level_vectors, shown(greys(*LEVELS)), grey(100)).score(episode(4))
    np.testing.assert_allclose(found, [1 - 80 / 90, 0, 1 - 50 / 90, 1 - 10 / 90], rtol=1e-6)
    assert found.dtype == np.float32
    learned = training_reward(found, np.zeros(4, bool))
    np.testing.assert_allclose(learned[[0, 2, 3]], -np.array([80, 50, 10]) / 90, rtol=1e-5)


def test_vip_difference_weighs_nearer_and_further_alike_and_sums_to_the_way() -> None:
    reward = VipDifferenceReward(level_vectors, shown(greys(*LEVELS)), grey(100))
    found = reward.score(episode(4))
    np.testing.assert_allclose(found, 0.5 + np.array([10, -20, 50, 40]) / 180, rtol=1e-6)
    assert (2 * (found - reward.neutral)).sum() == pytest.approx((90 - 10) / 90, rel=1e-5)
    still = VipDifferenceReward(level_vectors, shown(greys(10, 10, 10)), grey(100))
    assert still.score(episode(2)).tolist() == [still.neutral] * 2


def test_a_start_at_the_goal_divides_by_nothing() -> None:
    def vectors(frames: FrameSource) -> torch.Tensor:
        return torch.zeros(len(frames), 2)

    for kind in (VipReward, VipDifferenceReward):
        found = kind(vectors, shown(greys(*LEVELS)), grey(100)).score(episode(4))
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_the_goal_image_may_be_no_frame_of_the_episode() -> None:
    reward = VipReward(level_vectors, shown(greys(*LEVELS)), grey(50))
    with pytest.raises(UserError, match="the goal image is frame 3 of the episode that is scored"):
        reward.score(episode(4))


def test_a_gap_is_paid_nothing() -> None:
    clip = greys(*LEVELS)
    times = clip.times.copy()
    times[3:] += 9.0
    for kind in (VipReward, VipDifferenceReward):
        found = kind(level_vectors, shown(replace(clip, times=times)), grey(100)).score(episode(4))
        assert found[2] == 0 and found[3] > 0


def test_raw_pixels_serve_as_vectors_too() -> None:
    found = VipReward(pixel_vectors, shown(greys(*LEVELS)), grey(100)).score(episode(4))
    np.testing.assert_allclose(found, [1 - 80 / 90, 0, 1 - 50 / 90, 1 - 10 / 90], rtol=1e-4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A representation of each objective, of a step or two."""
    root = tmp_path_factory.mktemp("representations")
    for i in range(3):
        save_clip(toy_clip(i, length=7), root / "clips" / f"c{i}")
    small = ["--clips", str(root / "clips"), "--image", "32", "--width", "8", "--batch", "2", "--steps", "2"]
    for objective in ("vip", "temporal_distance"):
        main([*small, "--val_share", "0.4", "--objective", objective, "--out", str(root / objective)])
    return {objective: root / objective for objective in ("vip", "temporal_distance")}


def made(name: str, runs: dict[str, Path], **more: object) -> RewardModel:
    kind = reward_class(name)
    given = {"track": shown(toy_clip(5, length=7)), "representation": runs[kind.objective], "goal": grey(3)}
    return kind.of(Given(**given | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_each_scores_an_episode_within_0_and_1(name: str, runs: dict[str, Path]) -> None:
    found = made(name, runs).score(episode(6))
    assert found.shape == (6,) and found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert len(set(found.tolist())) > 1 or name == "vip"  # so little trained, all may be further than the start
    np.testing.assert_array_equal(found, made(name, runs).score(episode(6)))


def test_time_rewarder_asks_about_each_frame_and_the_next(runs: dict[str, Path]) -> None:
    clip = toy_clip(5, length=7)
    forward = made("time_rewarder", runs, track=shown(clip)).score(episode(6))
    backward = replace(clip, frames=Drawn(lambda t: clip.frames[6 - t], 7))
    turned = made("time_rewarder", runs, track=shown(backward)).score(episode(6))
    assert np.abs(forward - turned[::-1]).max() > 1e-6
    with pytest.warns(UserWarning, match="an episode at 5 Hz is scored by what was trained at 12.5 Hz"):
        made("time_rewarder", runs, track=shown(toy_clip(5, length=7, rate_hz=5.0))).score(episode(6))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_another_objective_or_one_in_training_is_refused(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    other = next(run for objective, run in runs.items() if objective != reward_class(name).objective)
    with pytest.raises(
        BadCheckpoint, match=f"takes a run of `mpr pretrain --objective {reward_class(name).objective}`"
    ):
        made(name, runs, representation=other)
    with pytest.raises(BadCheckpoint, match="holds no representation checkpoint"):
        made(name, runs, representation=tmp_path)
    (tmp_path / "checkpoints" / "0000002").mkdir(parents=True)
    (tmp_path / "checkpoints" / "0000002" / "checkpoint.json").write_text("{}")
    with pytest.raises(BadCheckpoint, match="is not finished: the same `mpr pretrain` command"):
        made(name, runs, representation=tmp_path)


def test_a_goal_image_is_read_in_the_order_of_its_colours(tmp_path: Path) -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0] = 200  # red
    cv2.imwrite(str(tmp_path / "goal.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    np.testing.assert_array_equal(read_goal(tmp_path / "goal.png"), image)


def test_what_is_no_goal_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        read_goal(tmp_path / "none.png")
    for name, content in {"empty.png": b"", "text.png": b"not an image"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is no image that can be read"):
            read_goal(tmp_path / name)
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((128, 256, 3), np.uint8))
    with pytest.raises(UserError, match=r"wide\.png has 256 x 128 pixels: episodes are seen in a square of 256 x 256"):
        read_goal(tmp_path / "wide.png")
