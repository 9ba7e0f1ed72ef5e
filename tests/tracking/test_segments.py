"""Segments for trackers that want to see many frames at once, and the same segments as ever for those that do not."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.clip import CROP_SIZE, FrameWindow, Tracks, TrackSegment
from tests.core.test_scene import scene
from tracking.motion.points import points_inside
from tracking.motion.segments import KEEP, grid_points, segments_of_clips, track_segments
from tracking.simulator.mujoco_scene import ExactTracker
from tracking.trackers.lucas_kanade import LucasKanade

MASK = np.ones((16, 16), bool)
MASK[12:] = False


class Forgetful:
    """Points stand still; point i is hidden from frame `lost[i]` on, unless it was asked for there or later."""

    name = "forgetful"

    def __init__(self, lost: dict[int, int], context: int | None = None) -> None:
        self.lost = lost
        self.calls: list[tuple[int, int, int]] = []  # first frame, frames, frame asked for
        if context is not None:
            self.context = context

    def track(self, frames, queries) -> Tracks:
        (asked,) = set(queries[:, 0].astype(int))
        self.calls.append((frames.start, len(frames), frames.start + asked))
        t = frames.start + np.arange(len(frames))
        visible = np.ones((len(frames), len(queries)), bool)
        for i, frame in self.lost.items():
            if frame > frames.start + asked:
                visible[t >= frame, i] = False
        visible[:asked] = True  # of frames before the query a tracker may say anything
        points = np.repeat(queries[None, :, 1:], len(frames), 0)
        points[:asked] = -1e6
        return Tracks(points, visible)


def segments_of(tracker, length: int) -> tuple[TrackSegment, ...]:
    segments = track_segments(tracker, np.zeros((length, 16, 16, 3), np.uint8), [MASK] * length, grid=4)  # type: ignore[arg-type]
    assert segments[0].start == 0 and segments[-1].stop == length - 1
    assert all(a.stop == b.start for a, b in pairwise(segments))
    return segments


losses = st.dictionaries(st.integers(0, 15), st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(losses, st.integers(2, 40), st.integers(2, 60))
def test_a_tracker_gets_the_context_it_wants_or_all_there_is_even_for_a_stub(lost, length, context):
    tracker = Forgetful(lost, context)
    segments = segments_of(tracker, length)
    for start, frames, asked in tracker.calls:
        assert 0 <= start <= asked and start + frames <= length
        assert frames >= min(context, length)
    assert {s.start for s in segments} <= {asked for _, _, asked in tracker.calls}


@settings(max_examples=60, deadline=None)
@given(losses, st.integers(2, 40), st.integers(41, 65))
def test_context_does_not_change_what_a_tracker_says_that_needs_none(lost, length, context):
    """Up to the length that is tracked at once: segments end where points are lost, and hold nothing from before."""
    plain, wide = segments_of(Forgetful(lost), length), segments_of(Forgetful(lost, context), length)
    assert [(s.start, s.stop) for s in plain] == [(s.start, s.stop) for s in wide]
    for a, b in zip(plain, wide, strict=True):
        assert (a.points == b.points).all() and (a.visible == b.visible).all()


def test_a_window_that_cannot_be_doubled_within_bounds_is_not():
    tracker = Forgetful({}, context=60)
    assert [(s.start, s.stop) for s in segments_of(tracker, 130)] == [(0, 59), (59, 118), (118, 129)]
    assert tracker.calls == [(0, 60, 0), (59, 60, 59), (70, 60, 118)]


def test_several_clips_are_each_cut_as_alone():
    lengths, lost = (12, 30, 12, 2), {i: 7 for i in range(6)}
    clips = [(np.zeros((n, 16, 16, 3), np.uint8), [MASK] * n) for n in lengths]
    together = segments_of_clips(Forgetful(lost), clips, grid=4)  # type: ignore[arg-type]
    for n, found in zip(lengths, together, strict=True):
        assert [(s.start, s.stop) for s in found] == [(s.start, s.stop) for s in segments_of(Forgetful(lost), n)]


# As before there was a context


def plain_segments(tracker, frames, masks, grid: int) -> list[TrackSegment]:
    """The loop without context: 2 transitions at first, twice as many while nothing is lost, 64 at most."""
    last, start, window, segments = len(frames) - 1, 0, 2, []
    points = grid_points(masks[0].shape[0], grid)
    while start < last:
        stop = min(start + window, last)
        queries = np.concatenate([np.zeros((len(points), 1), np.float32), points], 1)
        tracks = tracker.track(FrameWindow(frames, start, stop + 1), queries)
        first = tracks.visible[0] & points_inside(masks[start], tracks.points[0])
        if first.any():
            lost = np.flatnonzero(tracks.visible[1:, first].mean(1) < KEEP)
            length = int(lost[0]) + 1 if len(lost) else stop - start
            if not len(lost) and stop < last and window < 64:
                window *= 2
                continue
        else:
            length = 1
        segments.append(TrackSegment(start, tracks.points[: length + 1], tracks.visible[: length + 1]))
        start, window = start + length, 2
    return segments


def same(found, expected) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.start == b.start and a.points.tobytes() == b.points.tobytes()
        assert a.visible.tobytes() == b.visible.tobytes()


@settings(max_examples=60, deadline=None)
@given(losses, st.integers(2, 150))
def test_without_context_frames_and_queries_are_those_of_the_plain_loop(lost, length):
    tracker, plain = Forgetful(lost), Forgetful(lost)
    found = segments_of(tracker, length)
    same(found, plain_segments(plain, np.zeros((length, 16, 16, 3), np.uint8), [MASK] * length, 4))
    assert tracker.calls == plain.calls


class Streaming(Forgetful):
    """The same, frame after frame; notes which frames were asked for."""

    def frame_by_frame(self, frames, queries):
        found = self.track(frames, queries)
        for t, (points, visible) in enumerate(zip(found.points, found.visible, strict=True)):
            self.calls.append((frames.start, 1, frames.start + t))
            yield points, visible


@settings(max_examples=60, deadline=None)
@given(losses, st.integers(2, 150), st.integers(0, 20))
def test_a_tracker_that_goes_frame_by_frame_is_asked_for_no_frame_beyond_a_segment(lost, length, hidden):
    """The same segments, without a window that is tracked again; `hidden`: the object is seen from this frame on."""
    frames, masks = np.zeros((length, 16, 16, 3), np.uint8), [MASK & (t >= hidden) for t in range(length)]
    tracker = Streaming(lost)
    found = track_segments(tracker, frames, masks, grid=4)  # type: ignore[arg-type]
    same(found, plain_segments(Forgetful(lost), frames, masks, 4))
    asked = [(start, t) for start, count, t in tracker.calls if count == 1]
    assert asked == [(s.start, t) for s in found for t in range(s.start, s.stop + 1)]


def test_lucas_kanade_segments_are_bit_for_bit_those_of_the_plain_loop():
    coarse = np.random.default_rng(0).normal(128, 40, (24, 40, 1)).clip(0, 255).astype(np.uint8)
    texture = np.repeat(cv2.resize(coarse, (160, 96), interpolation=cv2.INTER_CUBIC)[..., None], 3, 2)
    frames = [np.roll(texture, (t, 2 * t), (0, 1)) for t in range(14)]
    for t, frame in enumerate(frames):
        frame[:, 110 - 6 * t : 130 - 6 * t] = 128  # something flat passes
    masks = [np.ones((96, 160), bool)] * 14
    found = track_segments(LucasKanade(), frames, masks, grid=12)  # type: ignore[arg-type]
    same(found, plain_segments(LucasKanade(), frames, masks, 12))
    assert len(found) > 1 and any(len(s.points) > 3 for s in found)


def test_exact_segments_are_bit_for_bit_those_of_the_plain_loop():
    toy = scene(length=9, arm=0.0)
    crop = toy.crop(stride=16)
    at = crop.to_source(grid_points(CROP_SIZE, CROP_SIZE).astype(float))
    masks = [toy.object_pixels(at, t).reshape(CROP_SIZE, CROP_SIZE) for t in range(9)]
    frames = np.zeros((9, 1, 1, 3), np.uint8)
    tracker = ExactTracker(toy, crop)
    found = track_segments(tracker, frames, masks, grid=12)  # type: ignore[arg-type]
    same(found, plain_segments(tracker, frames, masks, 12))
    assert any(s.visible.any() and not s.visible.all() for s in found)


@pytest.mark.parametrize("tracker", [LucasKanade, ExactTracker])
def test_trackers_that_go_from_frame_to_frame_ask_for_no_context(tracker):
    assert callable(tracker.frame_by_frame)
    assert not hasattr(tracker, "context") and not hasattr(tracker, "track_batch")
