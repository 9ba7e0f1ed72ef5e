"""From a video file to a TrackedClip without weights: a box, masks carried from it, crop, point tracks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.box_mask import CarriedMasks
from tracking.clip import FrameSource, MaskSource, Picked, PointTracker, Recent, Source, Square, TrackedClip
from tracking.crop import crop_of_masks, cut
from tracking.errors import BadVideo
from tracking.lucas_kanade import LucasKanade
from tracking.retime import pick_frames
from tracking.runs import versions
from tracking.segments import track_segments
from tracking.video import VideoFrames

CARRIED = "box + GrabCut, carried by optical flow"  # how these masks are made, in a clip's Source


class Cut:
    """Frames or masks of a source cut to a crop, when read."""

    def __init__(self, source: Any, crop: Square) -> None:
        self.source, self.crop = source, crop

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, t: int, /) -> Any:
        return cut(self.source[t], self.crop)


def track_video(
    path: Path | str,
    box: Sequence[float],
    box_frame: int = 0,
    start_s: float = 0.0,
    stop_s: float = np.inf,
    rate_hz: float = 0.0,
    tracker: PointTracker | None = None,
) -> TrackedClip:
    """Track what a box holds through a video, or the stretch start_s .. stop_s (seconds from its first frame) of it.

    `box` is (x0, y0, x1, y1) in source pixels on frame `box_frame` of the stretch, as re-timed. `rate_hz` 0 keeps
    every frame. `tracker` is Lucas-Kanade unless given. Frames and masks are read from the video and a temporary file
    when asked for; `tracking.store.save_clip` keeps them. Raises BadVideo and UserError.
    """
    path = Path(path)
    frames, times = stretch_of(path, start_s, stop_s, rate_hz)
    masks = CarriedMasks(frames, box, box_frame)
    tracker = tracker or LucasKanade()
    source = Source(
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
        extra={"box": [float(v) for v in box], "box_frame": box_frame},
    )
    return track_masked(frames, masks, times, rate_hz, tracker, source)


def stretch_of(path: Path, start_s: float, stop_s: float, rate_hz: float) -> tuple[Picked, NDArray[np.float64]]:
    """The frames of a stretch of a video, read when asked for, and their times [T] in seconds from the video's first.
    Raises BadVideo and UserError."""
    video = VideoFrames(path)
    if len(video) < 2:
        raise BadVideo(f"video {path} has one frame, a transition needs two")
    picked = pick_frames(video.times, start_s, stop_s, rate_hz)
    return Picked(video, picked), video.times[picked]


def track_masked(
    frames: FrameSource,
    masks: MaskSource,
    times: NDArray[np.float64],
    rate_hz: float,
    tracker: PointTracker,
    source: Source,
) -> TrackedClip:
    """The clip of an object whose masks are known: crop and point tracks. `rate_hz` 0: as the times say."""
    crop = crop_of_masks(masks)
    cropped = Recent(Cut(frames, crop))  # segments look at a frame several times; going back in a video is slow
    cropped_masks = Cut(masks, crop)
    segments = track_segments(tracker, cropped, cropped_masks)
    rate = rate_hz or float(1 / np.median(np.diff(times)))
    return TrackedClip(cropped, cropped_masks, segments, times, rate, crop, source)
