"""Lucas–Kanade where the image ends: at its border and at black bars a step is as right as inside, or not visible."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpr.core.data.clip import Tracks
from tests.tracking.moving_scenes import texture
from tracking.motion.segments import track_segments
from tracking.trackers.lucas_kanade import LucasKanade

H, W = 120, 168  # not square
AROUND = 40  # pixels of the texture that lie beyond each side of the image at first
GRID = np.stack(np.meshgrid(np.arange(1.5, W, 4), np.arange(1.5, H, 4)), -1).reshape(-1, 2)
QUERIES = np.column_stack([np.zeros(len(GRID)), GRID]).astype(np.float32)
NEAR = 11  # pixels: half the larger window, and one


def sliding(step: tuple[float, float], frames: int = 2, bars: tuple[int, int] = (0, 0), seed: int = 0) -> list[NDArray]:
    """A texture that moves `step` px a frame under some noise; `bars` (columns, rows) on each side are black."""
    image, rng = texture(seed, H + 2 * AROUND, W + 2 * AROUND), np.random.default_rng(seed)
    x, y = bars

    def frame_at(t: int) -> NDArray[np.uint8]:
        matrix = np.array([[1, 0, AROUND - step[0] * t], [0, 1, AROUND - step[1] * t]])
        shown = cv2.warpAffine(image, matrix, (W, H), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        noisy = np.zeros(shown.shape) + rng.integers(0, 6, shown.shape)  # black as videos show it, not zero
        noisy[y : H - y, x : W - x] = (shown + rng.normal(0, 2, shown.shape))[y : H - y, x : W - x]
        return noisy.clip(0, 255).astype(np.uint8)

    return [frame_at(t) for t in range(frames)]


def room(points: NDArray, bars: tuple[int, int] = (0, 0)) -> NDArray:
    """How far inside the image points [..., 2] are: pixels from the centre of its nearest outermost pixel."""
    low = np.array(bars)
    return np.minimum(points - low, np.array([W, H]) - 1 - low - points).min(-1)


def one_step(step: tuple[float, float], bars: tuple[int, int] = (0, 0), seed: int = 0) -> list[NDArray]:
    """Of the grid's points over one step: error [N], visible at both ends [N], the smaller of their rooms [N]."""
    tracks = LucasKanade().track(sliding(step, bars=bars, seed=seed), QUERIES)  # type: ignore[arg-type]
    true = GRID + step
    error = np.linalg.norm(tracks.points[1] - true, axis=1)
    return [error, np.asarray(tracks.visible.all(0)), np.minimum(room(GRID, bars), room(true, bars))]


STEPS = [(0.4, 0.3), (-3.4, 1.2), (-7.0, -4.5), (5.0, -5.0), (0.0, 2.5)]


@pytest.mark.parametrize("bars", [(0, 0), (0, 17), (23, 0)])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_near_the_border_is_as_right_as_inside(step: tuple[float, float], bars: tuple[int, int]) -> None:
    error, seen, space = one_step(step, bars)
    near = seen & (space < NEAR)
    assert near.sum() > 100 and (error[seen & ~near] < 0.2).all()
    assert (error[near] < 0.25).all()
    assert not seen[space < -0.5].any(), "outside the image, or under a bar"
    assert seen[(space >= 5)].mean() > 0.9 and seen[space >= NEAR].all(), "hiding them all would be right, and useless"


@given(st.floats(-8, 8), st.floats(-8, 8), st.integers(0, 20), st.integers(0, 20), st.integers(0, 9))
@example(0.0, 3.015625, 0, 3, 0)
@settings(max_examples=25, deadline=None)
def test_whatever_the_step_what_is_visible_is_right(dx: float, dy: float, x: int, y: int, seed: int) -> None:
    error, seen, space = one_step((dx, dy), (x, y), seed)
    right = 0.4  # pixels, of which a point that is just outside may seem inside; the worst of 3,000 steps was 0.32
    assert (error[seen] < right).all() and not seen[space < -0.5 - right].any()
    if max(abs(dx), abs(dy)) <= 5:  # further, part of what is inside may be hidden (0.6 at the worst): no wrong number
        assert seen[space >= NEAR].mean() > 0.95


def test_a_point_that_left_the_image_or_never_was_in_it_is_not_visible() -> None:
    step = (4.0, -3.0)
    tracks = LucasKanade().track(sliding(step, 8), QUERIES)  # type: ignore[arg-type]
    true = GRID + np.arange(8)[:, None, None] * np.array(step)
    gone = np.logical_or.accumulate(room(true) < -0.5)
    assert gone[-1].any() and not tracks.visible[gone].any()
    outside = [(-1, 60), (W, 60), (80, -0.6), (80, H - 0.4), (1e9, 5), (np.nan, 5), (5, np.inf)]
    asked = np.array([[0, *point] for point in outside], np.float32)
    assert not LucasKanade().track(sliding((0.3, 0.0), 3), asked).visible.any()  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 9), (30, 2)])
def test_an_image_of_hardly_any_pixels_has_no_points_and_is_no_error(shape: tuple[int, int]) -> None:
    frames = [np.zeros((H, W, 3), np.uint8) for _ in range(3)]
    for frame in frames:
        frame[40 : 40 + shape[0], 50 : 50 + shape[1]] = np.random.default_rng(1).integers(60, 255, (*shape, 3))
    tracks = LucasKanade().track(frames, QUERIES)  # type: ignore[arg-type]
    assert np.isfinite(tracks.points).all()
    assert not tracks.visible[:, ~((GRID > (49, 39)) & (GRID < (60, 71))).all(1)].any()


def test_no_trackers_word_is_taken_for_points_outside_the_image() -> None:
    """They would count as background, whose mean motion is taken for the camera's."""

    class Sure:
        name = "sure"

        def track(self, frames, queries) -> Tracks:
            t = np.arange(len(frames), dtype=np.float32)[:, None, None]
            points = queries[None, :, 1:] + t * np.array([3.0, 0.0], np.float32)
            return Tracks(points, np.ones(points.shape[:2], bool))

    frames, masks = np.zeros((9, 32, 32, 3), np.uint8), np.ones((9, 32, 32), bool)
    segments = track_segments(Sure(), frames, masks, grid=8)  # type: ignore[arg-type]
    points = np.concatenate([segment.points[segment.visible] for segment in segments])
    assert points[:, 0].max() < 31.5 and points[:, 0].max() > 28
