"""Tracks a grid of points through a clip in segments, with a new grid when too many object points are lost.

Paper, VII-B: a 32 x 32 grid; re-sampled when more than 30 % of the segment's first object points are hidden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import (
    CROP_SIZE,
    FrameByFrameTracker,
    FrameSource,
    FrameWindow,
    MaskSource,
    PointsSeen,
    PointTracker,
    Tracks,
    TrackSegment,
)
from tracking.motion.points import points_inside

GRID = 32  # points a side
KEEP = 0.7  # share of a segment's first object points that must stay visible
# Transitions at once: memory does not grow with clip length, and where windows are tracked, early losses stay cheap.
FIRST_WINDOW, WINDOW = 2, 64

Asked = tuple[FrameSource, NDArray[np.float32]]  # frames and queries, as a tracker takes them


def grid_points(size: int = CROP_SIZE, grid: int = GRID) -> NDArray[np.float32]:
    """Cell centres of an even grid over size x size pixels, row-major, [grid^2, 2] as (x, y)."""
    at = (np.arange(grid, dtype=np.float32) + 0.5) * (size / grid) - 0.5
    return np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)


def track_segments(
    tracker: PointTracker, frames: FrameSource, masks: MaskSource, grid: int = GRID
) -> tuple[TrackSegment, ...]:
    """Segments that tile all transitions of `frames`; segment k+1 starts on the frame on which k ends.

    Where a segment's first frame shows no object point, the next frame starts a new one. A `FrameByFrameTracker` is
    asked for no frame beyond a segment's end; any other tracks windows, each twice as long as the last, from the
    segment's start. One that has a `context` is given that many frames at least, or all there are: near the end also
    frames from before the segment. Whatever it says, a point outside the image is not visible.
    """
    return segments_of_clips(tracker, [(frames, masks)], grid)[0]


def segments_of_clips(
    tracker: PointTracker, clips: Sequence[tuple[FrameSource, MaskSource]], grid: int = GRID
) -> list[tuple[TrackSegment, ...]]:
    """`track_segments` of several clips; a tracker that has a `track_batch` follows windows of one shape together."""
    if isinstance(tracker, FrameByFrameTracker):
        return [tuple(_streamed(tracker, frames, masks, grid)) for frames, masks in clips]
    context = getattr(tracker, "context", 1)
    walks = [_walk(frames, masks, grid, context) for frames, masks in clips]
    segments: list[tuple[TrackSegment, ...]] = [()] * len(clips)
    answers: dict[int, Any] = dict.fromkeys(range(len(clips)))  # clip -> what its walk waits for
    while answers:
        asked: dict[int, Asked] = {}
        for i, tracks in answers.items():
            try:
                asked[i] = walks[i].send(tracks)
            except StopIteration as done:
                segments[i] = done.value
        answers = _answers(tracker, asked)
    return segments


def _streamed(
    tracker: FrameByFrameTracker, frames: FrameSource, masks: MaskSource, grid: int
) -> Iterator[TrackSegment]:
    """One clip's segments; no transition is tracked twice."""
    all_of_them = islice(follow_frames(tracker, frames, masks, grid), len(frames) - 1)
    for start, some in groupby(all_of_them, key=lambda step: step.start):
        steps = list(some)
        tracks = Tracks.of([steps[0].before, *(step.after for step in steps)])
        yield TrackSegment(start, tracks.points, tracks.visible)


@dataclass(frozen=True)
class FollowedStep:
    """Where a segment's points are on frame t and on the next."""

    start: int  # the segment's first frame
    t: int
    before: PointsSeen
    after: PointsSeen


def follow_frames(
    tracker: FrameByFrameTracker, frames: FrameSource, masks: MaskSource, grid: int = GRID
) -> Iterator[FollowedStep]:
    """The transitions of `track_segments`, one after another, without an end.

    Frames may still be coming: for transition t frame t + 1 is the last that is read, and t the last mask.
    """
    start = 0
    points = grid_points(masks[0].shape[0], grid)
    while True:
        mask = masks[start]
        found = tracker.frame_by_frame(FrameWindow(frames, start, start + WINDOW + 1), _asked_at(0, points))
        before = _seen(next(found), mask.shape)
        first = before[1] & points_inside(mask, before[0])
        for t, there in enumerate(found, start):
            after = _seen(there, mask.shape)
            yield FollowedStep(start, t, before, after)
            before = after
            if not first.any() or after[1][first].mean() < KEEP:
                break
        start = t + 1


def _seen(found: PointsSeen, size: tuple[int, ...]) -> PointsSeen:
    points, visible = found
    return points, visible & _shown(points, size)


def _asked_at(t: int, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Queries [N, 3] of all points [N, 2] at frame t."""
    return np.concatenate([np.full((len(points), 1), t, np.float32), points], 1)


def _shown(points: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether points [..., 2] lie in an image of size (height, width)."""
    height, width = size
    return np.logical_and.reduce((points > -0.5) & (points < (width - 0.5, height - 0.5)), axis=-1)


def _walk(
    frames: FrameSource, masks: MaskSource, grid: int, context: int
) -> Generator[Asked, Tracks, tuple[TrackSegment, ...]]:
    """Through one clip by windows: yields what a tracker is to follow, is sent the tracks, returns the segments."""
    last, start, segments = len(frames) - 1, 0, []
    window = shortest = max(FIRST_WINDOW, context - 1)  # transitions
    size = masks[0].shape
    points = grid_points(size[0], grid)
    while start < last:
        stop = min(start + window, last)
        begin = max(0, min(start, stop + 1 - context))
        tracks = yield FrameWindow(frames, begin, stop + 1), _asked_at(start - begin, points)
        places = tracks.points[start - begin :]
        tracks = Tracks(places, tracks.visible[start - begin :] & _shown(places, size))
        first = tracks.visible[0] & points_inside(masks[start], tracks.points[0])
        if first.any():
            lost = np.flatnonzero(tracks.visible[1:, first].mean(1) < KEEP)
            length = int(lost[0]) + 1 if len(lost) else stop - start
            if not len(lost) and stop < last and 2 * window <= WINDOW:
                window *= 2  # nothing lost: look further before the segment is closed
                continue
        else:
            length = 1
        segments.append(TrackSegment(start, tracks.points[: length + 1], tracks.visible[: length + 1]))
        start, window = start + length, shortest
    return tuple(segments)


def _answers(tracker: PointTracker, asked: dict[int, Asked]) -> dict[int, Tracks]:
    track_batch = getattr(tracker, "track_batch", None)
    if track_batch is None:
        return {i: tracker.track(*stretch) for i, stretch in asked.items()}
    alike = defaultdict(list)
    for i, (frames, queries) in asked.items():
        alike[len(frames), frames[0].shape, len(queries)].append(i)
    answers = {}
    for clips in alike.values():
        answers |= zip(clips, track_batch(*zip(*(asked[i] for i in clips), strict=True)), strict=True)
    return answers
