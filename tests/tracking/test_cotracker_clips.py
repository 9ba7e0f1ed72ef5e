"""What is built around CoTracker3's predictors, on ones that only look like its own: clips, streams, batches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.clip import Tracks
from mpr.core.errors import UserError
from tests.tracking.test_cotracker import QUERIES, WINDOW, H, W, video
from tracking.motion.segments import segments_of_clips, track_segments
from tracking.trackers.cotracker import CoTrackerOffline, CoTrackerOnline


class Offline(torch.nn.Module):
    """Points of clip c go (2 + c, -1) pixels a frame; nonsense before the query. Frame t of it is all (t, c, c)."""

    def __init__(self, window: int = WINDOW) -> None:
        super().__init__()
        self.model = SimpleNamespace(window_len=window)
        self.videos: list[torch.Tensor] = []

    def forward(self, video, queries):
        self.videos.append(video)
        relative = torch.arange(video.shape[1])[None, :, None] - queries[:, None, :, 0]  # [B, T, N]
        going = torch.stack([2.0 + video[:, 0, 1, 0, 0], -torch.ones(len(video))], -1)  # [B, 2]
        points = queries[:, None, :, 1:] + relative[..., None] * going[:, None, None]
        early = relative < 0
        return torch.where(early[..., None], torch.nan, points), torch.ones_like(early)


class Online(torch.nn.Module):
    """The same, as a stream: refuses chunks that are not half a window on, and forgets between videos."""

    def __init__(self, window: int = WINDOW) -> None:
        super().__init__()
        self.model = SimpleNamespace(window_len=window, init_video_online_processing=self.forget)
        self.step, self.forgot = window // 2, 0
        self.queries, self.seen, self.longest = None, 0, 0

    def forget(self) -> None:
        self.forgot += 1
        self.queries, self.seen = None, 0

    def forward(self, video_chunk, is_first_step=False, queries=None):
        if is_first_step:
            self.forget()
            self.queries = queries
            return None, None
        length = video_chunk.shape[1]
        self.longest = max(self.longest, length)
        start = int(video_chunk[0, 0, 0, 0, 0])
        assert length <= 2 * self.step and start == max(self.seen - self.step, 0)
        assert length > self.step or not self.seen
        self.seen = start + length
        whole = video_chunk[:, :1].expand(-1, self.seen, -1, -1, -1)
        return Offline(self.seen)(whole, self.queries)


def numbered(length: int, clip: int = 0) -> list[np.ndarray]:
    return [np.full((8, 12, 3), (t, clip, clip), np.uint8) for t in range(length)]


def expected_tracks(length: int, queries, clip: int = 0) -> Tracks:
    relative = np.arange(length)[:, None] - queries[:, 0]
    points = queries[:, 1:] + np.maximum(relative, 0)[..., None] * np.array([2.0 + clip, -1.0])
    return Tracks(points.astype(np.float32), relative >= 0)


@pytest.mark.parametrize(("kind", "fake"), [(CoTrackerOffline, Offline), (CoTrackerOnline, Online)])
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.lists(st.integers(0, 69), min_size=1, max_size=4))
def test_clips_of_any_length_and_queries_on_any_frame(kind, fake, length, asked):
    queries = np.array([[t % length, 10 + 7 * i, 90 - i] for i, t in enumerate(asked)], np.float32)
    predictor = fake()
    found, expected = kind(predictor).track(numbered(length), queries), expected_tracks(length, queries)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-3)
    assert (found.visible == expected.visible).all()
    longest = predictor.longest if fake is Online else max(v.shape[1] for v in predictor.videos)
    assert longest <= WINDOW


def test_the_predictor_is_given_what_it_takes():
    """Float [B, T, 3, H, W] of 0 .. 255 in RGB, row y and column x where the frame has them."""
    frames = video(4)
    predictor = Offline()
    CoTrackerOffline(predictor).track(frames, QUERIES[:2])
    (given_video,) = predictor.videos
    assert given_video.shape == (1, 4, 3, H, W) and given_video.dtype == torch.float32
    assert given_video[0, 3, :, 7, 150].tolist() == frames[3][7, 150].tolist()


def test_the_stream_lets_go_of_what_it_remembers_and_the_next_video_starts_anew():
    predictor = Online()
    tracker = CoTrackerOnline(predictor)
    first, second = (tracker.track(numbered(length), QUERIES[:2]) for length in (30, 5))
    assert predictor.queries is None and len(first.points) == 30
    np.testing.assert_allclose(second.points, expected_tracks(5, QUERIES[:2]).points)


@pytest.mark.parametrize(("kind", "fake"), [(CoTrackerOffline, Offline), (CoTrackerOnline, Online)])
def test_a_batch_keeps_clips_and_points_apart(kind, fake):
    asked = [QUERIES + np.float32([0, shift, 0]) for shift in (0, 100, 1000)]
    found = kind(fake()).track_batch([numbered(20, clip) for clip in range(3)], asked)
    for clip, queries in enumerate(asked):
        np.testing.assert_allclose(found[clip].points, expected_tracks(20, queries, clip).points, atol=1e-3)


def test_no_query_no_track():
    found = CoTrackerOffline(Offline()).track(numbered(4), np.zeros((0, 3), np.float32))
    assert found.points.shape == (4, 0, 2) and found.visible.shape == (4, 0)


@pytest.mark.parametrize(
    ("clips", "queries", "word"),
    [
        ([numbered(4)], [[[4, 1, 1]]], "none of the clip's 4"),
        ([numbered(4)], [[[-1, 1, 1]]], "none of the clip's 4"),
        ([numbered(4)], [[[0, np.nan, 1]]], "not finite"),
        ([numbered(4)], [[[1, 1]]], "t, x, y"),
        ([numbered(4), numbered(5)], [[[0, 1, 1]]] * 2, "one length"),
        ([numbered(4), video(4)], [[[0, 1, 1]]] * 2, "one length and size"),
        ([numbered(4)] * 2, [[[0, 1, 1]], [[0, 1, 1]] * 2], "as many queries"),
        ([[]], [[[0, 1, 1]]], "without frames"),
        ([], [], "no clip"),
    ],
)
def test_queries_and_clips_that_do_not_fit_are_refused(clips, queries, word):
    with pytest.raises(UserError, match=word):
        CoTrackerOffline(Offline()).track_batch(clips, [np.array(q, np.float32) for q in queries])


def test_segments_of_clips_of_several_lengths_are_tracked_in_batches():
    predictor = Offline()
    lengths = (30, 9, 30)
    clips = [(numbered(n, clip), [np.ones((8, 8), bool)] * n) for clip, n in enumerate(lengths)]
    together = segments_of_clips(CoTrackerOffline(predictor), clips, grid=3)  # type: ignore[arg-type]
    assert sorted({len(v) for v in predictor.videos}) == [1, 2]  # the two of 30 frames side by side
    for clip, segments in zip(clips, together, strict=True):
        alone = track_segments(CoTrackerOffline(Offline()), *clip, grid=3)  # type: ignore[arg-type]
        assert [(s.start, s.stop) for s in segments] == [(s.start, s.stop) for s in alone]
        assert all((a.points == b.points).all() for a, b in zip(segments, alone, strict=True))
