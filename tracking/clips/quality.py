"""How good a tracked clip is: a few figures by which to keep it, drop it or look at it first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import PointTracker, TrackedClip, TrackSegment
from mpr.core.data.steps import spacing
from tracking.masks.unseen import frames_showing
from tracking.motion.compensation import Compensation, camera_motion
from tracking.motion.points import Transition, points_inside, transitions


@dataclass(frozen=True)
class Quality:
    """Lengths in pixels of the crop (256 a side), per frame, gaps left out; NaN where there was nothing to measure."""

    seconds: float
    frames: int
    mean_rate_hz: float  # measured, gaps included
    gaps: int  # steps longer than 1.5 usual ones (mpr.core.data.steps)
    longest_gap_s: float  # 0 without one
    visible_share: float  # of frames whose mask shows the object
    object_points: float  # mean, a transition
    points_kept: float  # of a segment's first object points, those still visible on its last; mean
    track_length: float  # transitions a segment, mean; a gap ends one, here and for the share before
    background_raw: float  # median motion of background points, a transition; mean over transitions
    background_left: float  # the same, the camera's motion taken out
    motion_raw: float  # mean motion of object points
    motion: float  # the same, the camera's motion taken out
    there_and_back: float  # from a segment's first frame to its last and back: median distance from where it started


def track_quality(clip: TrackedClip, tracker: PointTracker) -> dict[str, float]:
    """Those figures that could be measured, by name (JSON knows no NaN), `tracker` following points there and back."""
    figures = dataclasses.asdict(quality(clip, there_and_back=tracked_back(clip, tracker)))
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def quality(clip: TrackedClip, compensate: Compensation = "mean", there_and_back: float = np.nan) -> Quality:
    """Figures of a clip; `there_and_back` is measured where the tracker is at hand, by `tracked_back`."""
    rows = np.array([_figures(x, compensate) for x in transitions(clip)]).reshape(-1, 5)  # a few numbers a frame
    objects, moved_raw, moved, background_raw, background_left = rows.T
    unbroken = list(_unbroken(clip))
    kept = [share for segment in unbroken if (share := _kept(clip, segment)) is not None]
    return Quality(
        seconds=float(clip.times[-1] - clip.times[0]),
        frames=len(clip.times),
        **spacing((clip.times, clip.gaps)),
        visible_share=float(frames_showing(clip).mean()),
        object_points=_mean(objects),
        points_kept=_mean(np.array(kept)),
        track_length=_mean(np.array([segment.stop - segment.start for segment in unbroken])),
        background_raw=_mean(background_raw[~np.isnan(background_raw)]),
        background_left=_mean(background_left[~np.isnan(background_left)]),
        motion_raw=_ratio(moved_raw, objects),
        motion=_ratio(moved, objects),
        there_and_back=there_and_back,
    )


def _figures(x: Transition, compensate: Compensation) -> tuple[float, float, float, float, float]:
    """Of a transition: object points, their summed motion raw and compensated, background's median motion likewise."""
    raw = np.linalg.norm(x.delta, axis=1)
    left = np.linalg.norm(x.delta - camera_motion(x, compensate), axis=1)
    background = _median(raw[x.background]), _median(left[x.background])
    return float(x.object.sum()), float(raw[x.object].sum()), float(left[x.object].sum()), *background


def tracked_back(clip: TrackedClip, tracker: PointTracker, segments: int = 3) -> float:
    """How far, in pixels, points followed back from where they ended come from where they had started: the median.

    Of the object's points in the longest `segments` segments. NaN where no point lasted. A tracker that is always right
    has 0.
    """
    longest = sorted(_unbroken(clip), key=lambda s: s.start - s.stop)[:segments]
    return _median(np.concatenate([np.zeros(0), *(_there_and_back(clip, tracker, segment) for segment in longest)]))


def _there_and_back(clip: TrackedClip, tracker: PointTracker, segment: TrackSegment) -> NDArray[np.float64]:
    lasting = segment.visible[[0, -1]].all(0) & points_inside(clip.masks[segment.start], segment.points[0])
    if not lasting.any():
        return np.zeros(0)
    frames = [clip.frames[t] for t in range(segment.start, segment.stop + 1)][::-1]
    ends = segment.points[-1][lasting]
    back = tracker.track(frames, np.column_stack([np.zeros(len(ends)), ends]).astype(np.float32))
    found = back.visible[-1]
    return np.linalg.norm(back.points[-1] - segment.points[0][lasting], axis=1)[found].astype(float)


def _unbroken(clip: TrackedClip) -> Iterator[TrackSegment]:
    """The clip's segments, cut at gaps."""
    for segment in clip.segments:
        start = segment.start
        while start < segment.stop:
            stop = min(clip.stretch(start)[1], segment.stop)
            if start < stop:
                a, b = start - segment.start, stop - segment.start + 1
                yield TrackSegment(start, segment.points[a:b], segment.visible[a:b])
            start = stop + 1


def _kept(clip: TrackedClip, segment: TrackSegment) -> float | None:
    first = segment.visible[0] & points_inside(clip.masks[segment.start], segment.points[0])
    return float(segment.visible[-1][first].mean()) if first.any() else None


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _median(values: NDArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _ratio(sums: NDArray, counts: NDArray) -> float:
    return float(sums.sum() / counts.sum()) if counts.any() else float("nan")
