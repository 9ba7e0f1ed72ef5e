"""How good a tracked clip is: a few figures by which to keep it, drop it or look at it first."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.clip import PointTracker, TrackedClip, TrackSegment
from tracking.compensation import Compensation, camera_motion
from tracking.points import Transition, inside

LEAST_SHOWN = 0.002  # of the crop's pixels: a mask with fewer shows nothing of the object


@dataclass(frozen=True)
class Quality:
    """Lengths in pixels of the crop (256 a side), per frame; NaN where there was nothing to measure."""

    seconds: float
    frames: int
    visible_share: float  # of frames whose mask shows the object
    object_points: float  # mean, a transition
    points_kept: float  # of a segment's first object points, those still visible on its last frame; mean
    track_length: float  # transitions a segment, mean
    background_raw: float  # median motion of background points, a transition; mean over transitions
    background_left: float  # the same, the camera's motion taken out
    motion_raw: float  # mean motion of object points
    motion: float  # the same, the camera's motion taken out
    there_and_back: float  # from a segment's first frame to its last and back: median distance from where it started


def measured(clip: TrackedClip, tracker: PointTracker) -> dict[str, float]:
    """Those figures that could be measured, by name (JSON knows no NaN), `tracker` following points there and back."""
    figures = dataclasses.asdict(quality(clip, there_and_back=tracked_back(clip, tracker)))
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def quality(clip: TrackedClip, compensate: Compensation = "mean", there_and_back: float = np.nan) -> Quality:
    """Figures of a clip; `there_and_back` is measured where the tracker is at hand, by `tracked_back`."""
    rows = np.array([_figures(clip, t, compensate) for t in range(len(clip.times) - 1)])  # a few numbers a frame
    objects, moved_raw, moved, background_raw, background_left = rows.T
    shown = [clip.masks[t].mean() >= LEAST_SHOWN for t in range(len(clip.times))]
    kept = [share for segment in clip.segments if (share := _kept(clip, segment)) is not None]
    return Quality(
        seconds=float(clip.times[-1] - clip.times[0]),
        frames=len(clip.times),
        visible_share=float(np.mean(shown)),
        object_points=float(np.mean(objects)),
        points_kept=_mean(np.array(kept)),
        track_length=float(np.mean([segment.stop - segment.start for segment in clip.segments])),
        background_raw=_mean(background_raw[~np.isnan(background_raw)]),
        background_left=_mean(background_left[~np.isnan(background_left)]),
        motion_raw=_ratio(moved_raw, objects),
        motion=_ratio(moved, objects),
        there_and_back=there_and_back,
    )


def _figures(clip: TrackedClip, t: int, compensate: Compensation) -> tuple[float, float, float, float, float]:
    """Of a transition: object points, their summed motion raw and compensated, background's median motion likewise."""
    x = Transition(clip, t)
    raw = np.linalg.norm(x.delta, axis=1)
    left = np.linalg.norm(x.delta - camera_motion(x, compensate), axis=1)
    background = _median(raw[x.background]), _median(left[x.background])
    return float(x.object.sum()), float(raw[x.object].sum()), float(left[x.object].sum()), *background


def tracked_back(clip: TrackedClip, tracker: PointTracker, segments: int = 3) -> float:
    """Follow the object's points of the longest segments back from where they ended: median distance, in pixels, from
    where they had started. NaN where no point lasted. A tracker that is always right has 0."""
    longest = sorted(clip.segments, key=lambda s: s.start - s.stop)[:segments]
    return _median(np.concatenate([np.zeros(0), *(_there_and_back(clip, tracker, segment) for segment in longest)]))


def _there_and_back(clip: TrackedClip, tracker: PointTracker, segment: TrackSegment) -> NDArray[np.float64]:
    lasting = segment.visible[[0, -1]].all(0) & inside(clip.masks[segment.start], segment.points[0])
    if not lasting.any():
        return np.zeros(0)
    frames = [clip.frames[t] for t in range(segment.start, segment.stop + 1)][::-1]
    ends = segment.points[-1][lasting]
    back = tracker.track(frames, np.column_stack([np.zeros(len(ends)), ends]).astype(np.float32))
    found = back.visible[-1]
    return np.linalg.norm(back.points[-1] - segment.points[0][lasting], axis=1)[found].astype(float)


def _kept(clip: TrackedClip, segment: TrackSegment) -> float | None:
    first = segment.visible[0] & inside(clip.masks[segment.start], segment.points[0])
    return float(segment.visible[-1][first].mean()) if first.any() else None


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _median(values: NDArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _ratio(sums: NDArray, counts: NDArray) -> float:
    return float(sums.sum() / counts.sum()) if counts.any() else float("nan")
