"""Tracks a grid of points through a clip in segments, with a new grid when too many object points are lost.

Paper, VII-B: a 32 x 32 grid; re-sampled when more than 30 % of the segment's first object points are hidden.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking.clip import CROP_SIZE, FrameSource, FrameWindow, MaskSource, PointTracker, TrackSegment
from tracking.points import inside

GRID = 32  # points a side
KEEP = 0.7  # share of a segment's first object points that must stay visible
FIRST_WINDOW, WINDOW = 2, 64  # frames tracked at once: memory does not grow with clip length, early losses stay cheap


def grid_points(size: int = CROP_SIZE, grid: int = GRID) -> NDArray[np.float32]:
    """Cell centres of an even grid over size x size pixels, row-major, [grid^2, 2] as (x, y)."""
    at = (np.arange(grid, dtype=np.float32) + 0.5) * (size / grid) - 0.5
    return np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)


def track_segments(
    tracker: PointTracker, frames: FrameSource, masks: MaskSource, grid: int = GRID
) -> tuple[TrackSegment, ...]:
    """Segments that tile all transitions of `frames`; segment k+1 starts on the frame on which k ends.

    Where a segment's first frame shows no object point, the next frame starts a new one.
    """
    last, start, window, segments = len(frames) - 1, 0, FIRST_WINDOW, []
    points = grid_points(masks[0].shape[0], grid)
    while start < last:
        stop = min(start + window, last)
        queries = np.concatenate([np.zeros((len(points), 1), np.float32), points], 1)
        tracks = tracker.track(FrameWindow(frames, start, stop + 1), queries)
        first = tracks.visible[0] & inside(masks[start], tracks.points[0])
        if first.any():
            lost = np.flatnonzero(tracks.visible[1:, first].mean(1) < KEEP)
            length = int(lost[0]) + 1 if len(lost) else stop - start
            if not len(lost) and stop < last and window < WINDOW:
                window *= 2  # nothing lost: look further before the segment is closed
                continue
        else:
            length = 1
        segments.append(TrackSegment(start, tracks.points[: length + 1], tracks.visible[: length + 1]))
        start, window = start + length, FIRST_WINDOW
    return tuple(segments)
