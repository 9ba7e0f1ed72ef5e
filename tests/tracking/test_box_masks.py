"""Masks from a box: made, carried both ways, refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from mpr.core.errors import UserError
from tests.tracking.moving_scenes import OBJECT, H, Moving, W
from tracking.masks.box_mask import CarriedMasks, backwards, check_box


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_a_box_becomes_a_mask_and_is_carried_both_ways():
    scene = Moving(12)
    masks = CarriedMasks(scene, scene.box(6) + np.array([-5, -4, 5, 4]), box_frame=6)
    assert len(masks) == 12
    for t in (11, 0, 6, 3):
        assert masks[t].shape == (H, W) and masks[t].dtype == np.bool_
        assert overlap(masks[t], scene.mask(t)) > 0.85, t
    with pytest.raises(IndexError):
        masks[12]


def test_a_hand_in_front_is_left_out_and_what_it_covered_comes_back():
    scene = Moving(14, step=(0.0, 0.0), hand=True)
    masks = CarriedMasks(scene, OBJECT + np.array([-4, -4, 4, 4]))
    y, x = np.mgrid[:H, :W]
    covering = 8  # the hand's centre is at x = 92
    hand = (x - 92) ** 2 + (y - 50) ** 2 < 9**2
    assert masks[covering][hand].mean() < 0.15
    assert overlap(masks[0], scene.mask(0)) > 0.85
    assert overlap(masks[covering], scene.mask(covering) & ~hand) > 0.7


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((10, 10, 10, 40), "empty"),
        ((40, 10, 10, 40), "empty"),
        ((200, 10, 260, 40), "outside the image, which is 160 x 96"),
        ((-50, 10, -3, 40), "outside"),
        ((20, 20, 25, 60), "6 x 41 pixels"),
        ((-50, 20, 4, 60), "5 x 41 pixels"),
    ],
)
def test_a_bad_box_is_refused_by_name(box, words):
    with pytest.raises(UserError, match=words):
        check_box(box, W, H)
    with pytest.raises(UserError, match=words):
        CarriedMasks(Moving(2), box)


def test_a_box_that_reaches_over_the_border_is_cut_to_it():
    assert check_box((-10, 50, 60, 500), W, H) == (0, 50, 60, H - 1)
    with pytest.raises(UserError, match="box frame 2 is not there"):
        CarriedMasks(Moving(2), (10, 10, 60, 60), box_frame=2)


def test_a_box_on_nothing_is_refused():
    plain = [np.full((H, W, 3), 120, np.uint8)] * 2
    with pytest.raises(UserError, match="stands out"):
        CarriedMasks(plain, (40, 30, 90, 60))  # type: ignore[arg-type]


def test_a_box_of_which_only_a_stripe_stands_out_is_refused():
    stripe = np.full((H, W, 3), 170, np.uint8) + np.random.default_rng(0).integers(0, 4, (H, W, 3), np.uint8)
    stripe[46:49, 42:88] = (60, 70, 110)
    with pytest.raises(UserError, match="stands out"):
        CarriedMasks([stripe] * 2, (40, 30, 90, 65))  # type: ignore[arg-type]


def test_backwards_reads_every_frame_once_in_small_batches():
    asked: list[int] = []

    class Frames:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, t: int) -> int:
            asked.append(t)
            return t

    seen = [t for t, _ in backwards(Frames(), 90)]  # type: ignore[arg-type]
    assert seen == list(range(89, -1, -1)) and sorted(asked) == list(range(90))
    assert asked[:3] == [58, 59, 60]  # forwards within a batch
