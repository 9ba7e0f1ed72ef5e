"""Overlapping windows: what is stitched is what one pass would give, and a point that is lost stays lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.clip import Tracks
from tracking.trackers.stitching import track_in_windows, tracking_window_starts

FAR = 1000.0  # pixels between two points: where a query is tells which point it means


class Timetable:
    """A tracker that is a pure function of time: all points go the same way; `seen` [T, N] says when each is seen.

    Like real ones it takes a query's frame for seen, whatever is there, talks nonsense of the frames before it, and
    takes a point that is hidden to be elsewhere: where its neighbour is.
    """

    def __init__(self, seen) -> None:
        self.seen = np.asarray(seen, bool)
        self.path = np.cumsum(np.random.default_rng(0).integers(-9, 10, (len(self.seen), 2)), 0)
        self.asked: list[tuple[int, int, int]] = []

    def place(self, t: int, point: int) -> tuple[float, float]:
        return FAR * point + self.path[t, 0], self.path[t, 1]

    def queries(self, frames) -> np.ndarray:
        return np.array([[t, *self.place(t, i)] for i, t in enumerate(frames)], np.float32).reshape(-1, 3)

    def __call__(self, start: int, stop: int, queries: np.ndarray) -> Tracks:
        self.asked.append((start, stop, len(queries)))
        entered = start + queries[:, 0].astype(int)
        assert ((entered >= start) & (entered < stop)).all()
        point = np.rint((queries[:, 1] - self.path[entered, 0]) / FAR).astype(int)
        frame = np.arange(start, stop)
        visible = self.seen[start:stop, point] | (frame[:, None] == entered)
        taken_for = np.where(visible, point, (point + 1) % self.seen.shape[1])
        points = np.stack([FAR * taken_for, np.zeros(visible.shape)], -1) + self.path[frame, None]
        early = frame[:, None] < entered
        return Tracks(np.where(early[..., None], np.nan, points).astype(np.float32), visible | early)


def one_pass(tracker: Timetable, queries: np.ndarray) -> Tracks:
    """What the tracker says when it sees all frames at once; before its query's frame a point is hidden there."""
    found = tracker(0, len(tracker.seen), queries)
    early = np.arange(len(tracker.seen))[:, None] < queries[:, 0]
    return Tracks(np.where(early[..., None], queries[:, 1:], found.points), found.visible & ~early)


def longest_hidden(seen: np.ndarray) -> int:
    """The most frames in a row on which a point, having been seen, is not."""
    longest = run = 0
    for now in seen[np.argmax(seen) :]:
        run = 0 if now else run + 1
        longest = max(longest, run)
    return longest


sizes = st.integers(2, 9).flatmap(lambda w: st.tuples(st.just(w), st.integers(1, w - 1)))


@given(st.integers(1, 60), sizes)
def test_windows_are_whole_overlap_and_cover_the_clip(length, size):
    window, overlap = size
    starts = tracking_window_starts(length, window, overlap)
    assert starts[0] == 0 and starts[-1] == max(length - window, 0)
    steps = np.diff(starts)
    assert (steps > 0).all() and (window - steps >= overlap).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), sizes, st.lists(st.integers(0, 39), min_size=1, max_size=5))
def test_points_that_are_always_seen_go_on_as_in_one_pass(length, size, frames):
    tracker = Timetable(np.ones((length, len(frames))))
    queries = tracker.queries([t % length for t in frames])
    found = track_in_windows(tracker, length, queries, *size)
    expected = one_pass(tracker, queries)
    assert (found.points == expected.points).all() and (found.visible == expected.visible).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), sizes, st.integers(0, 2**32 - 1), st.floats(0.2, 1))
def test_so_do_points_that_are_hidden_for_less_than_an_overlap(length, size, seed, share):
    window, overlap = size
    rng = np.random.default_rng(seed)
    seen = rng.random((length, 6)) < share
    asked = rng.integers(0, length, 6)
    seen[asked, np.arange(6)] = True
    tracker = Timetable(seen)
    queries = tracker.queries(asked)
    found, expected = track_in_windows(tracker, length, queries, window, overlap), one_pass(tracker, queries)
    for i in range(6):
        if longest_hidden(expected.visible[:, i]) < overlap:
            assert (found.visible[:, i] == expected.visible[:, i]).all()
            assert (found.points[found.visible[:, i], i] == expected.points[found.visible[:, i], i]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), sizes, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_whatever_is_lost_a_point_is_seen_only_where_it_is(length, size, seed, share):
    rng = np.random.default_rng(seed)
    seen, asked = rng.random((length, 6)) < share, rng.integers(0, length, 6)
    tracker = Timetable(seen)
    queries = tracker.queries(asked)
    found, expected = track_in_windows(tracker, length, queries, *size), one_pass(tracker, queries)
    assert not (found.visible & ~expected.visible).any()
    assert (found.points[found.visible] == expected.points[found.visible]).all()
    assert np.isfinite(found.points).all()


def test_a_point_that_is_lost_does_not_come_back_though_a_tracker_would_attach_it():
    """Hidden on all of an overlap: what is seen there afterwards may be anything. Its neighbour goes on."""
    seen = np.ones((30, 2), bool)
    seen[8:20, 0] = False  # windows of 10 that overlap by 5: 5 .. 14 still knows frame 7, 10 .. 19 knows nothing
    tracker = Timetable(seen)
    found = track_in_windows(tracker, 30, tracker.queries([0, 0]), 10, 5)
    assert np.flatnonzero(found.visible[:, 0]).tolist() == list(range(8)) and found.visible[:, 1].all()
    assert (found.points[20:, 0] == found.points[14, 0]).all()


def test_a_point_that_comes_back_within_an_overlap_is_followed_from_where_it_was_seen():
    seen = np.ones((30, 1), bool)
    seen[8:12] = False
    tracker = Timetable(seen)
    found = track_in_windows(tracker, 30, tracker.queries([0]), 10, 5)
    assert (found.visible == seen).all()


def test_no_more_frames_than_a_window_are_looked_at_and_as_many_queries_each_time():
    tracker = Timetable(np.ones((95, 3)))
    track_in_windows(tracker, 95, tracker.queries([0, 40, 94]), 20, 10)
    assert all(stop - start == 20 and n == 3 for start, stop, n in tracker.asked)
    assert tracker.asked[-1][1] == 95


@pytest.mark.parametrize("length", [1, 5, 20])
def test_a_clip_that_fits_is_looked_at_once(length):
    tracker = Timetable(np.ones((length, 1)))
    track_in_windows(tracker, length, tracker.queries([0]), 20, 10)
    assert tracker.asked == [(0, length, 1)]
