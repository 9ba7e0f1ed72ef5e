"""Lucas-Kanade on small moving textures: right to a quarter of a pixel, hidden where nothing can be told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.tracking.moving_scenes import H, W, queries, shifted, texture
from tracking.trackers.lucas_kanade import LucasKanade

INTERIOR = [(x, y) for x in range(30, 131, 20) for y in range(30, 67, 12)]


@pytest.mark.parametrize("step", [(3.4, -1.2), (-7.0, 4.5), (0.3, 0.2)])
def test_points_follow_a_moving_texture_in_x_and_y(step):
    image = texture(0, H + 40, W + 40)
    frames = [shifted(image, *(np.array(step) * t), H, W) for t in range(4)]
    tracks = LucasKanade().track(frames, queries(INTERIOR))  # type: ignore[arg-type]
    expected = np.array(INTERIOR) + np.arange(4)[:, None, None] * np.array(step)
    inside = ((expected > 12) & (expected < (W - 12, H - 12))).all((0, 2))
    assert tracks.visible[:, inside].all() and inside.sum() > 8
    assert np.abs(tracks.points - expected)[:, inside].max() < 0.15


def test_a_flat_patch_and_a_straight_edge_are_hidden_from_the_start():
    image = np.full((H, W, 3), 90, np.uint8)
    image[:, 80:] = 200  # an edge: motion along it cannot be seen
    image[20:40, 20:40] = texture(1, 20, 20)
    frames = [image] * 3
    tracks = LucasKanade().track(frames, queries([(60, 70), (80, 60), (30, 30), (-5, 10), (400, 10)]))  # type: ignore[arg-type]
    assert tracks.visible.tolist() == [[False, False, True, False, False]] * 3
    assert np.isfinite(tracks.points).all()


def test_a_point_that_leaves_the_image_is_hidden():
    image = texture(2, H + 40, W + 100)
    frames = [shifted(image, 6.0 * t, 0, H, W) for t in range(10)]
    tracks = LucasKanade().track(frames, queries([(130, 48), (40, 48)]))  # type: ignore[arg-type]
    assert tracks.visible[0].all() and not tracks.visible[6:, 0].any() and tracks.visible[:, 1].all()
    last = int(np.flatnonzero(tracks.visible[:, 0])[-1])
    assert (tracks.points[last:, 0] == tracks.points[last, 0]).all()  # where it was last seen


def test_nothing_re_attaches_after_occlusion():
    image = texture(3, H, W)
    covered = image.copy()
    covered[20:76, 60:110] = texture(9, 56, 50)
    frames = [image, image, covered, covered, image, image]
    tracks = LucasKanade().track(frames, queries([(85, 48), (30, 48)]))  # type: ignore[arg-type]
    assert tracks.visible[:, 0].tolist() == [True, True, False, False, False, False]
    assert tracks.visible[:, 1].all()
    assert np.isfinite(tracks.points).all()


def test_a_cut_hides_what_it_replaces():
    frames = [texture(4, H, W), texture(5, H, W)]
    tracks = LucasKanade().track(frames, queries(INTERIOR))  # type: ignore[arg-type]
    assert tracks.visible[1].mean() < 0.1


def test_a_query_on_a_later_frame_is_hidden_before_it():
    image = texture(6, H + 40, W + 40)
    frames = [shifted(image, 2.0 * t, 0, H, W) for t in range(5)]
    tracks = LucasKanade().track(frames, np.array([[2, 60, 48], [0, 60, 48]], np.float32))  # type: ignore[arg-type]
    assert tracks.visible[:, 0].tolist() == [False, False, True, True, True]
    assert tracks.points[4, 0] == pytest.approx((64, 48), abs=0.1)
    assert tracks.points[4, 1] == pytest.approx((68, 48), abs=0.1)


def arm_over_boxes(t: int) -> np.ndarray:
    """A still object of flat colours with a few straight edges; a bar passes in front of it, slanted."""
    image = np.full((256, 256, 3), (150, 110, 60), np.uint8)
    for x0, y0, x1, y1, colour in ((60, 60, 200, 190, (60, 90, 150)), (80, 80, 130, 150, (120, 60, 140))):
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, -1, cv2.LINE_AA)
    cv2.rectangle(image, (150, 75), (180, 170), (70, 150, 120), -1, cv2.LINE_AA)
    bar = np.array([[-40, -20], [-10, -20], [60, 280], [30, 280]], float) + np.array([6.3 * t, 0])
    cv2.fillConvexPoly(image, np.rint(bar * 16).astype(np.int32), (200, 190, 180), cv2.LINE_AA, shift=4)
    noise = np.random.default_rng(t).normal(0, 1.0, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def share_dragged_along(tracker: LucasKanade) -> float:
    """Share of tracked points of the still object that seem to move by half a pixel or more, over 16 transitions."""
    grid = [(x, y) for x in range(2, 256, 4) for y in range(2, 256, 4)]
    moved, seen = 0, 0
    for start in range(4, 32, 8):
        frames = [arm_over_boxes(start + t) for t in range(5)]
        tracks = tracker.track(frames, queries(grid))  # type: ignore[arg-type]
        for t in range(4):
            bar = np.abs(frames[t].astype(int) - (200, 190, 180)).max(-1) < 8
            bar = cv2.dilate(bar.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # its blended edge is no object
            x, y = np.rint(tracks.points[t]).astype(int).T
            on_object = (x >= 60) & (x <= 200) & (y >= 60) & (y <= 190) & ~bar[y.clip(0, 255), x.clip(0, 255)]
            both = tracks.visible[t] & tracks.visible[t + 1] & on_object
            step = np.linalg.norm(tracks.points[t + 1] - tracks.points[t], axis=1)
            moved, seen = moved + int((step[both] >= 0.5).sum()), seen + int(both.sum())
    assert seen > 200
    return moved / seen


def test_a_passing_arm_drags_few_points_of_a_still_object_along():
    """Corners between the arm's edge and the object's edges move with the arm, and look the same as they go."""
    believing = LucasKanade(worse=0.0, noise=-1.0)  # believes every displacement
    assert share_dragged_along(believing) > 0.15
    assert share_dragged_along(LucasKanade()) < 0.02
