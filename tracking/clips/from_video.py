"""From a video file to a TrackedClip without weights: a box, masks carried from it, crop, point tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.boundaries import BY_SECONDS, Boundaries
from mpr.core.data.clip import (
    REMARKS,
    ClipSource,
    FrameSource,
    MaskSource,
    Picked,
    PointTracker,
    Recent,
    Square,
    TrackedClip,
)
from mpr.core.data.crop import OUTSIDE, crop_of_clips, crop_of_masks, cut_square, frames_outside
from mpr.core.data.retime import comes_at, pick_frames
from mpr.core.data.video import VideoFrames
from mpr.core.errors import BadVideo
from mpr.core.runs import versions
from tracking.masks.box_mask import CarriedMasks
from tracking.masks.lost import HeldMasks
from tracking.motion.segments import track_segments
from tracking.trackers.lucas_kanade import LucasKanade

CARRIED = "box + GrabCut, carried by optical flow"  # how these masks are made, in a clip's Source


class Cut:
    """Frames or masks of a source cut to a crop, when read."""

    def __init__(self, source: Any, crop: Square) -> None:
        self.source, self.crop = source, crop

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, t: int, /) -> Any:
        return cut_square(self.source[t], self.crop)


def track_video(
    path: Path | str,
    box: Sequence[float],
    box_frame: int = 0,
    start_s: float = 0.0,
    stop_s: float = np.inf,
    rate_hz: float = 0.0,
    tracker: PointTracker | None = None,
    like: Sequence[TrackedClip] = (),
) -> TrackedClip:
    """Track what a box holds through a video, or through its frames from `start_s` on and before `stop_s`.

    Both are seconds as players count them. `box` is (x0, y0, x1, y1) on frame `box_frame` of the stretch, as re-timed,
    in pixels as players show them: upright and square. `rate_hz` 0 keeps every frame. `tracker` is Lucas-Kanade unless
    given. Frames and masks are read from the video and a temporary file when asked for; `save_clip` keeps them. Where
    the masks have let go of the object they are empty (`tracking.masks.lost`). `like` are clips by the same camera:
    the square is made of their masks, not of this video's, and the frames in which its mask leaves it are counted; and
    where the video comes at their rate, that is its own, whatever stalls it has. Raises BadVideo and UserError.
    """
    path = Path(path)
    frames, times = stretch_of(path, start_s, stop_s, rate_hz)
    height, width = frames[0].shape[:2]
    crop = crop_of_clips(like, (width, height)) if like else None
    masks = HeldMasks(frames, CarriedMasks(frames, box, box_frame), times, box_frame)
    tracker = tracker or LucasKanade()
    source = ClipSource(
        dataset="file",
        uid=path.stem,
        start_s=float(times[0]),
        stop_s=float(times[-1]),
        narration="",
        licence="unknown",
        masks=CARRIED,
        tracker=tracker.name,
        group=path.stem,
        versions=versions(),
        extra={"box": [float(v) for v in box], "box_frame": box_frame, **remarks_of(frames, masks)},
    )
    return track_masked(frames, masks, times, rate_hz or rate_like(like, times), tracker, source, crop)


def rate_like(like: Sequence[TrackedClip], times: NDArray[np.float64]) -> float:
    """The rate of clips by the same camera, where frames at `times` [T] come at it; 0 where they do not.

    A median step of the frames' own would depend on what follows: what is a gap would, too.
    """
    rate = float(np.median([clip.rate_hz for clip in like])) if like else 0.0
    return rate if rate > 0 and comes_at(times, rate) else 0.0


def stretch_of(
    path: Path, start_s: float, stop_s: float, rate_hz: float, boundaries: Boundaries = BY_SECONDS
) -> tuple[Picked, NDArray[np.float64]]:
    """The frames of a stretch of a video, read when asked for, and their times [T] in seconds of the video.
    Raises BadVideo and UserError."""
    video = VideoFrames(path)
    if len(video) < 2:
        raise BadVideo(f"video {path} has one frame, a transition needs two")
    picked = pick_frames(video.times, start_s, stop_s, rate_hz, boundaries)
    return Picked(video, picked), video.times[picked]


def remarks_of(frames: FrameSource, masks: MaskSource) -> dict[str, list[str]]:
    """What a clip's `ClipSource.extra` keeps of what is to be said of its video's images and masks. Raises BadVideo."""
    told: list[str] = []
    for source in (frames, masks):
        while isinstance(source, Picked):
            source = source.source
        told += getattr(source, "remarks", ())
    return {REMARKS: told} if told else {}


def track_masked(
    frames: FrameSource,
    masks: MaskSource,
    times: NDArray[np.float64],
    rate_hz: float,
    tracker: PointTracker,
    source: ClipSource,
    crop: Square | None = None,
) -> TrackedClip:
    """The clip of an object whose masks are known: crop (the masks' own unless given) and point tracks.

    T frames [H, W, 3] uint8 RGB, T masks bool [H, W], `times` [T] seconds; `rate_hz` 0: as the times say. In how many
    frames a mask leaves a given crop is kept in the source's `extra`.
    """
    if crop is None:
        crop = crop_of_masks(masks)
    else:
        source = replace(source, extra={**source.extra, OUTSIDE: frames_outside(masks, crop)})
    cropped = Recent(Cut(frames, crop))  # segments look at a frame several times; going back in a video is slow
    cropped_masks = Cut(masks, crop)
    segments = track_segments(tracker, cropped, cropped_masks)
    rate = rate_hz or float(1 / np.median(np.diff(times)))
    return TrackedClip(cropped, cropped_masks, segments, times, rate, crop, source)
