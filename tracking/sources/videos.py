"""Video files by their headers: is it there, how long, how large, how fast. Decodes only the first image."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.boundaries import STAMPS, Boundaries, differ, frames_of, window_text
from mpr.core.data.video import (
    VIDEO_ERRORS,
    VideoFrames,
    container_start,
    first_display,
    first_image,
    is_there,
    open_video_stream,
)
from mpr.core.errors import BadVideo, NoSuchFrame
from tracking.sources.video_info import VideoInfo

SAMPLE = 1 << 20  # bytes at each end of a video, by which it is known again
SUFFIXES = (".mp4", ".MP4", ".mkv", ".webm", ".mov", ".avi")


@lru_cache(4096)
def probe(path: Path) -> VideoInfo | None:
    """What the header says; None where there is no such file. Raises BadVideo for a file that is no video."""
    if not is_there(path):
        return None
    return _header(path).info


def seconds_of(path: Path, frame: int) -> float:
    """When a frame (counted from 0) is shown, as a player counts seconds; past the ends as if the video went on.

    A video that is not as long as its frames at one rate is asked for every frame's own stamp. Raises BadVideo, for a
    missing file too.
    """
    if not is_there(path):
        raise BadVideo(f"video {path} does not exist")
    header = _header(path)
    if header.even and header.info.rate_hz:
        return header.first_s + frame / header.info.rate_hz
    times = _times(path)
    step = np.median(np.diff(times)) if len(times) > 1 else 0.0
    nearest = min(max(frame, 0), len(times) - 1)
    return float(times[nearest] + (frame - nearest) * step)


def between_frames(path: Path, boundaries: Boundaries, info: VideoInfo | None) -> tuple[float, float] | None:
    """Seconds half way between the frames that boundaries name and their neighbours.

    From the first and up to (not including) the second, the video has those frames. None where no rate is known. Of a
    missing video `info` tells.

    They are for the eye, and to choose by: which frames they are, tracking asks the video itself. Only one that is not
    as long as its frames at one rate is read for its stamps here. Raises BadVideo and NoSuchFrame.
    """
    at, there = boundaries, is_there(path)
    own, first, even, _ = _header(path) if there else _Header(info or VideoInfo(), 0.0, True, "")
    if not even:
        return _between_stamps(_times(path), at)
    rate = own.rate_hz or at.rate_hz
    if not rate:
        return None
    counted = 1.0 if at.mean == STAMPS else at.rate_hz if at.rate_hz and differ(at.rate_hz, rate) else rate
    start = first + max(at.start / counted - 0.5 / rate, 0.0)
    stop = first + at.stop / counted + (0.5 if at.stop_included else -0.5) / rate
    end = own.seconds or math.inf
    if at.start / counted < -0.5 / rate or stop > end + (0.25 if there else 1.0) / rate:
        raise NoSuchFrame(f"{window_text(0, 0, at)} is not in video {path}")
    return start, min(stop, end)


def _between_stamps(times: NDArray[np.float64], at: Boundaries) -> tuple[float, float]:
    frames = frames_of(times, 0.0, 0.0, at)
    edges = np.concatenate([[times[0] - _step(times)], times, [times[-1] + _step(times)]])
    start, stop = (float(edges[k : k + 2].mean()) for k in (frames.start, frames.stop))
    return max(start, 0.0), stop


def last_end(path: Path, told_s: float) -> float:
    """Until when the last frame is shown: as told, but where that is a file's header that its frames do not agree with.
    Raises BadVideo."""
    if not is_there(path) or _header(path).even:
        return told_s
    times = _times(path)
    return max(told_s, float(times[-1] + _step(times)))


def _step(times: NDArray[np.float64]) -> float:
    """Seconds a frame is shown, as a rule."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


def video_digest(path: Path) -> bytes:
    """The SHA-256 digest by which a video file is known again: of its length, both its ends, and how it is shown.

    Of when its images begin, and of what they undergo to be shown: what was made of one while seconds were counted
    from its first image, or images taken as they are stored, is made again. A file that cannot be read has one,
    too.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            digest.update(str(size).encode())
            for at in (0, max(0, size - SAMPLE)):
                file.seek(at)
                digest.update(file.read(SAMPLE))
    except (OSError, ValueError) as error:  # a name with a NUL
        digest.update(type(error).__name__.encode())
    with suppress(BadVideo, ValueError):
        header = _header(path) if is_there(path) else None
        if header and header.first_s:
            digest.update(repr(header.first_s).encode())
        if header and header.changed:
            digest.update(header.changed.encode())
    return digest.digest()


def first_there(candidates: Iterable[Path]) -> Path:
    """The first path that is a file, else the first path."""
    candidates = list(candidates)
    return next((path for path in candidates if is_there(path)), candidates[0])


class _Header(NamedTuple):
    info: VideoInfo
    first_s: float  # when the first image is shown
    even: bool  # whether its frames at one rate last as long as the header says
    changed: str  # what its images undergo to be shown


@lru_cache(4096)
def _header(path: Path) -> _Header:
    with open_video_stream(path) as (container, stream):
        seconds: float | None = None
        stamp = (stream.start_time or 0) * Fraction(stream.time_base or 1)
        first_s = float(first_image(stamp, container_start(container, stream)))
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:  # from the container's start on
            seconds = container.duration / av.time_base - first_s
        mean, tick = stream.average_rate, float(stream.base_rate or 0)
        even = seconds is not None and abs(stream.frames - seconds * tick) < 0.5
        end = None if seconds is None else first_s + seconds
        width, height, changed = stream.width, stream.height, ""
        with suppress(*VIDEO_ERRORS):  # which is found when it is read
            if display := first_display(path, container, stream):
                (width, height), changed = display.size, display.changed
        return _Header(VideoInfo(end, float(mean) if mean else None, width, height), first_s, even, changed)


@lru_cache(64)
def _times(path: Path) -> NDArray[np.float64]:
    return VideoFrames(path).times
