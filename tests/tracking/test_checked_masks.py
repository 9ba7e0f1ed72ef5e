"""Masks of others: one a frame, as large as it, true and false; anything else is refused by name and never guessed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpr.core.errors import ObjectNotFound, UserError
from mpr.reward.any_motion import AnyMotionReward
from mpr.reward.tracked import FilmedObject, track_episode
from tests.mpr.test_score_episode import STEPS, filmed
from tracking.clips import action_masks
from tracking.clips.action_masks import NamedMasks
from tracking.masks.checked import CheckedMasks
from tracking.motion.points import points_inside

MASKS = arrays(bool, (3, 5, 4))


def checked(masks: Any, length: int = 3) -> CheckedMasks:
    return CheckedMasks(masks, length, (5, 4), "masks of a test")


@given(MASKS, st.sampled_from(["bool", "uint8", "int64", "float32"]), st.sampled_from([1, 255]))
def test_inside_and_outside_are_the_same_however_they_are_written(masks: np.ndarray, dtype: str, inside: int) -> None:
    found = checked(masks.astype(dtype) * inside if dtype != "bool" else masks)
    assert all(found[t].dtype == bool and np.array_equal(found[t], masks[t]) for t in range(3))


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        (np.zeros((2, 5, 4), bool), "2 masks of 3 frames"),
        (np.zeros((4, 5, 4), bool), "4 masks of 3 frames"),
        ([np.zeros((5, 4)), np.zeros((5, 4)), np.zeros((10, 8), bool)], r"mask 2 is \(10, 8\), its frame \(5, 4\)"),
        (np.zeros((3, 1, 5, 4), bool), r"mask 0 is \(1, 5, 4\)"),
        (np.linspace(0, 1, 60).reshape(3, 5, 4), "mask 0 is float64 from 0 to 0.3"),
        (np.arange(60, dtype=np.uint8).reshape(3, 5, 4) % 3, "mask 0 is uint8 from 0 to 2; a mask is true and false"),
        (np.full((3, 5, 4), -1), "mask 0 is int64 from -1 to -1"),
        (np.full((3, 5, 4), np.nan), "mask 0 is float64"),
        (np.full((3, 5, 4), "x"), "mask 0 is <U1"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(masks: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"masks of a test: {says}") as told:
        list(checked(masks))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("scale", [1, 255])
def test_a_robots_episode_is_paid_the_same_by_masks_of_numbers(scale: int) -> None:
    episode = filmed()
    moving: Any = episode.frames["world"]
    masks = np.stack([moving.mask(t) for t in range(STEPS + 1)])

    def paid(given: np.ndarray) -> np.ndarray:
        there = FilmedObject(masks=given)
        return AnyMotionReward(lambda one: track_episode(one, "lucas_kanade", filmed=there)).score(episode)

    np.testing.assert_array_equal(paid(masks.astype(np.uint8) * scale), paid(masks))


def test_a_point_lies_inside_by_truth_and_not_by_number() -> None:
    mask = np.array([[0, 2], [0, 0]], np.uint8)
    assert points_inside(mask, np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [True, False]  # type: ignore[arg-type]


class Models:
    """In place of mask models: says where the object was found, and gives these masks."""

    def __init__(self, masks: Any, frame: int = 0) -> None:
        self.masks, self.frame = masks, frame

    def __call__(self, frames: Any, words: Any) -> Any:
        found = SimpleNamespace(word="cup", score=0.9, box=(1.0, 1.0, 3.0, 3.0))
        return SimpleNamespace(found=found, frame=self.frame, masks=self.masks)


@pytest.mark.parametrize(
    ("masks", "error", "says"),
    [
        (np.ones((4, 5, 4), bool), UserError, "mask model eyes: 4 masks of 3 frames"),
        (np.ones((3, 9, 9), bool), UserError, r"mask model eyes: mask 0 is \(9, 9\)"),
        (np.zeros((3, 5, 4), bool), ObjectNotFound, "the mask model eyes shows nothing at 0.00 s, where cup was found"),
    ],
)
def test_a_mask_model_of_another_package_is_held_to_it(
    masks: Any, error: type[UserError], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(action_masks, "finder_of", lambda *_: Models(masks))
    named = NamedMasks("eyes", ("cup",), tmp_path, "cpu", 0.1)
    entry: Any = SimpleNamespace(uid="a", noun="cup")
    with pytest.raises(error, match=says):
        named(np.zeros((3, 5, 4, 3), np.uint8), np.arange(3) / 10, entry)
