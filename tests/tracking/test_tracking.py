"""Crop, points, segments and camera compensation: hand-made cases and laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.clip import ClipSource, Square, TrackedClip, Tracks, TrackSegment
from mpr.core.data.crop import crop_of_masks, cut_square, square_around
from mpr.core.errors import BadClip, UserError
from tracking.motion.compensation import camera_motion, mean_background
from tracking.motion.points import Transition, points_inside
from tracking.motion.segments import GRID, WINDOW, grid_points, track_segments

SOURCE = ClipSource("test", "uid", 0.0, 1.0, "", "none", "drawn", "drawn")


def hand_made_clip(points, visible, mask, frames=None) -> TrackedClip:
    """One segment of given points [T, N, 2] over a mask that stands still."""
    points = np.asarray(points, np.float32)
    t = len(points)
    frames = np.zeros((t, *np.shape(mask), 3), np.uint8) if frames is None else frames
    segment = TrackSegment(0, points, np.asarray(visible, bool))
    masks = [np.asarray(mask, bool)] * t
    return TrackedClip(frames, masks, (segment,), np.arange(t) / 10, 10.0, Square(0, 0, 8), SOURCE)  # type: ignore[arg-type]


# Crop


def test_square_holds_the_object_and_its_margin_and_stays_in_the_image():
    square = square_around(np.array([40, 50]), np.array([59, 59]), (200, 100), margin=0.1)
    assert square.size == pytest.approx(20 * 1.2)
    assert (square.left, square.top) == pytest.approx((49.5 - 12, 54.5 - 12))
    corner = square_around(np.array([0, 90]), np.array([19, 99]), (200, 100))
    assert (corner.left, corner.top) == pytest.approx((-0.5, 99.5 - 24))
    assert corner.size == pytest.approx(24)


def test_square_larger_than_the_image_is_centred_over_its_border_and_padded_with_black():
    square = square_around(np.array([10, 0]), np.array([109, 49]), (200, 50))
    assert square.size == pytest.approx(120)
    assert square.top == pytest.approx((50 - 1) / 2 - 60)
    out = cut_square(np.full((50, 200, 3), 200, np.uint8), square, 120)
    assert (out[:30] == 0).all() and (out[-30:] == 0).all() and (out[40:80] == 200).all()


def test_crop_is_of_the_union_of_all_masks_in_x_and_y():
    masks = np.zeros((2, 40, 100), bool)  # taller numbers are columns: a swap of x and y would leave the image
    masks[0, 20, 60] = masks[1, 24, 79] = True
    square = crop_of_masks(list(masks), margin=0.0)  # type: ignore[arg-type]
    assert square.size == pytest.approx(20)
    assert (square.left, square.top) == pytest.approx((59.5, 12.0))
    with pytest.raises(UserError, match="empty in every frame"):
        crop_of_masks(list(np.zeros((2, 8, 8), bool)))  # type: ignore[arg-type]


@given(
    left=st.floats(-20, 20),
    top=st.floats(-20, 20),
    size=st.floats(3, 300),
    x=st.floats(-50, 50),
    y=st.floats(-50, 50),
)
def test_to_source_undoes_to_crop(left, top, size, x, y):
    square = Square(left, top, size)
    assert square.to_source(square.to_crop(np.array([x, y]))) == pytest.approx((x, y), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    x=st.integers(8, 90),
    y=st.integers(8, 40),
    size=st.floats(20, 60),
    dx=st.floats(0.3, 0.7),
    dy=st.floats(0.3, 0.7),
    out=st.sampled_from([32, 64, 256]),
)
def test_a_bright_pixel_lands_where_to_crop_says(x, y, size, dx, dy, out):
    image = np.zeros((48, 100), np.uint8)
    image[y, x] = 255
    square = Square(x - dx * size, y - dy * size, size)
    image = cut_square(image, square, out).astype(float)
    assert image.sum() > 0
    grid = np.stack(np.meshgrid(np.arange(out), np.arange(out)), -1)
    seen = (grid * image[..., None]).sum((0, 1)) / image.sum()
    tolerance = 0.5 + 0.3 * max(1.0, out / size)  # the square is sampled at whole pixels first
    assert np.abs(seen - square.to_crop(np.array([x, y]), out)).max() < tolerance


def test_cutting_a_mask_keeps_its_area_and_kind():
    mask = np.zeros((50, 90), bool)
    mask[10:30, 40:80] = True
    out = cut_square(mask, Square(39.5, 9.5, 40), 256)
    assert out.dtype == np.bool_
    assert out[:128].mean() == pytest.approx(1, abs=0.03) and out[128:].mean() == pytest.approx(0, abs=0.03)


# Points


def test_points_are_x_y_on_a_mask_that_is_not_square():
    mask = np.zeros((10, 30), bool)
    mask[2, 25] = True
    points = np.array([[25, 2], [2, 25], [25.4, 2.4], [25.6, 2], [-1, 2], [30, 2], [25, 10], [np.nan, 2]])
    assert points_inside(mask, points).tolist() == [True, False, True, False, False, False, False, False]


def test_object_background_and_hidden_points():
    mask = np.zeros((10, 12), bool)
    mask[:, 6:] = True
    before = np.array([[8, 1], [8, 2], [2, 3], [2, 4], [8, 5], [2, 6]])
    after = np.array([[9, 1], [3, 2], [3, 3], [9, 4], [8, 5], [2, 6]])  # 1 leaves the mask, 3 enters it
    visible = [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1]]
    transition = Transition.of(hand_made_clip([before, after], visible, mask), 0)
    assert transition.object.tolist() == [True, True, False, False, False, False]
    assert transition.background.tolist() == [False, False, True, True, False, False]
    assert transition.delta[0].tolist() == [1, 0]


@given(st.integers(0, 2**32 - 1))
def test_no_point_is_both_object_and_background_and_hidden_ones_are_neither(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2, 12, (3, 9, 2))
    visible = rng.random((3, 9)) < 0.7
    clip = hand_made_clip(points, visible, rng.random((10, 10)) < 0.5)
    for t in range(2):
        transition = Transition.of(clip, t)
        assert not (transition.object & transition.background).any()
        assert ((transition.object | transition.background) == (visible[t] & visible[t + 1])).all()


# Segments


class ScriptedTracker:
    """Points stand still; `lost[i]` is the frame of the video from which point i is hidden."""

    name = "scripted"

    def __init__(self, lost: dict[int, int]) -> None:
        self.lost, self.longest = lost, 0

    def track(self, frames, queries) -> Tracks:
        t, n = len(frames), len(queries)
        self.longest = max(self.longest, t)
        visible = np.ones((t, n), bool)
        for i, frame in self.lost.items():
            if frame > frames.start:  # a new grid sees the point again
                visible[max(0, frame - frames.start) :, i] = False
        return Tracks(np.repeat(queries[None, :, 1:], t, 0), visible)


def segments_of(tracker, length, mask) -> list[tuple[int, int]]:
    frames = np.zeros((length, *mask.shape, 3), np.uint8)
    segments = track_segments(tracker, frames, [mask] * length, grid=4)
    assert segments[0].start == 0 and segments[-1].stop == length - 1
    for a, b in itertools.pairwise(segments):
        assert a.stop == b.start
    return [(s.start, s.stop) for s in segments]


TEN_OBJECT_POINTS = np.ones((16, 16), bool)
TEN_OBJECT_POINTS[12:] = False  # grid rows at y = 1.5, 5.5, 9.5, 13.5: the last row of 4 is background ...
TEN_OBJECT_POINTS[8:12, 8:] = False  # ... and half of the third


def test_grid_points_are_x_y_cell_centres():
    points = grid_points(256, GRID)
    assert points.shape == (1024, 2)
    assert points[0].tolist() == [3.5, 3.5] and points[1].tolist() == [11.5, 3.5] and points[32].tolist() == [3.5, 11.5]
    assert points.max() == 251.5


def test_grid_is_drawn_anew_only_when_more_than_30_percent_of_the_object_points_are_lost():
    assert points_inside(TEN_OBJECT_POINTS, grid_points(16, 4)).sum() == 10
    three = {0: 5, 1: 5, 2: 5}
    assert segments_of(ScriptedTracker(three), 12, TEN_OBJECT_POINTS) == [(0, 11)]
    assert segments_of(ScriptedTracker({**three, 3: 6}), 12, TEN_OBJECT_POINTS) == [(0, 6), (6, 11)]
    background = {i: 3 for i in (10, 11, 12, 13, 14, 15)}
    assert segments_of(ScriptedTracker({**three, **background}), 12, TEN_OBJECT_POINTS) == [(0, 11)]


def test_points_that_were_no_object_points_on_the_first_frame_do_not_count():
    never_seen = ScriptedTracker({})
    never_seen.track_all = never_seen.track  # type: ignore[attr-defined]

    def track(frames, queries):
        tracks = ScriptedTracker.track(never_seen, frames, queries)
        tracks.visible[:, :6] = False  # 6 of the 10 cannot be tracked at all: they are not lost, they never were
        return tracks

    never_seen.track = track  # type: ignore[method-assign]
    assert segments_of(never_seen, 12, TEN_OBJECT_POINTS) == [(0, 11)]


def test_a_clip_is_tracked_in_windows_so_that_memory_does_not_grow_with_it():
    tracker = ScriptedTracker({})
    assert segments_of(tracker, 3 * WINDOW + 10, TEN_OBJECT_POINTS)[0] == (0, WINDOW)
    assert tracker.longest == WINDOW + 1


def test_without_an_object_point_every_frame_starts_anew():
    assert segments_of(ScriptedTracker({}), 4, np.zeros((16, 16), bool)) == [(0, 1), (1, 2), (2, 3)]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 15), st.integers(1, 20)), st.integers(2, 24))
def test_every_transition_lies_in_exactly_one_segment(lost, length):
    spans = segments_of(ScriptedTracker(lost), length, TEN_OBJECT_POINTS)
    assert [t for a, b in spans for t in range(a, b)] == list(range(length - 1))


# Clips


def test_a_clip_with_a_gap_between_segments_or_a_nan_is_refused():
    points, visible = np.zeros((2, 1, 2), np.float32), np.ones((2, 1), bool)
    clip = hand_made_clip(np.zeros((4, 1, 2)), np.ones((4, 1)), np.ones((4, 4)))
    for segments in ((TrackSegment(0, points, visible), TrackSegment(2, points, visible)), ()):
        with pytest.raises(BadClip, match="segment"):
            TrackedClip(clip.frames, clip.masks, segments, clip.times, 10.0, clip.crop, SOURCE)
    with pytest.raises(BadClip, match="NaN"):
        TrackSegment(0, points * np.nan, visible)
    TrackSegment(0, points * np.nan, ~visible)  # where a hidden point is means nothing


# Compensation


def test_a_pure_pan_leaves_nothing():
    before = np.random.default_rng(0).uniform(0, 10, (20, 2))
    mask = np.zeros((10, 10), bool)
    mask[:, :5] = True
    transition = Transition.of(hand_made_clip([before, before + np.array([3.25, -1.5])], np.ones((2, 20)), mask), 0)
    camera = mean_background(transition)
    assert camera.dtype == np.float32 and camera == pytest.approx((3.25, -1.5), abs=1e-5)
    assert np.abs(transition.delta - camera).max() < 1e-5


def test_the_mean_is_over_all_visible_background_points_and_no_other():
    mask = np.zeros((10, 10), bool)
    mask[:, 5:] = True
    before = np.array([[1, 1], [2, 2], [8, 8], [3, 3]])
    shift = np.array([[1, 0], [0, 3], [50, 50], [70, 70]])  # two of the background, one object point, one hidden
    clip = hand_made_clip([before, before + shift], [[1, 1, 1, 1], [1, 1, 1, 0]], mask)
    assert mean_background(Transition.of(clip, 0)).tolist() == [0.5, 1.5]


def test_without_background_there_is_nothing_to_compensate():
    clip = hand_made_clip([[[1, 1]], [[4, 4]]], [[1], [1]], np.ones((8, 8)))
    assert mean_background(Transition.of(clip, 0)).tolist() == [0, 0]


@given(st.floats(-0.1, 0.1), st.floats(-0.05, 0.05), st.tuples(st.floats(-6, 6), st.floats(-6, 6)))
def test_affine_compensation_takes_out_roll_and_approach_and_is_blind_to_a_passing_hand(angle, zoom, pan):
    """Where the mean leaves a field the affine fit leaves nothing, though some of the background goes its own way."""
    rng = np.random.default_rng(0)
    before = rng.uniform(0, 255, (200, 2)).astype(np.float32)
    before[:60, 0], before[60:, 0] = before[:60, 0] * 0.3, 80 + before[60:, 0] * 0.68
    mask = np.broadcast_to(np.arange(256) < 78, (256, 256))  # the object's points are the first 60
    turn = (1 + zoom) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    after = (before - 127.5) @ turn.T + 127.5 + pan
    after[170:] += 9.0  # the hand
    transition = Transition(0, before, after.astype(np.float32), np.ones(200, bool), [mask], 0.08, False)
    left = (transition.delta - camera_motion(transition, "affine"))[:170]
    assert np.abs(left).max() < 0.2
    assert camera_motion(transition, "none").tolist() == [[0, 0]] * 200
    np.testing.assert_allclose(camera_motion(transition, "mean")[7], mean_background(transition))
