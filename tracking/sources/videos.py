"""Video files by their headers: is it there, how long, how large, how fast. Decodes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tracking.errors import BadVideo
from tracking.video import VideoFrames, opened

MOST = 1e9  # of a video's seconds, rate, width and height
SAMPLE = 1 << 20  # bytes at each end of a video, by which it is known again
SUFFIXES = (".mp4", ".MP4", ".mkv", ".webm", ".mov", ".avi")


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video; None is unknown."""

    seconds: float | None = None
    rate_hz: float | None = None
    width: int | None = None
    height: int | None = None

    @classmethod
    def told(cls, *values: object) -> VideoInfo:
        """As annotations tell it, in the order of the fields; what is no number above 0 is unknown."""
        return cls(*(v if isinstance(v, int | float) and 0 < v < MOST else None for v in values))  # type: ignore


@lru_cache(4096)
def probe(path: Path) -> VideoInfo | None:
    """What the header says; None where there is no such file. Raises BadVideo for a file that is no video."""
    if not path.is_file():
        return None
    return _header(path)[0]


def seconds_of(path: Path, frame: int) -> float:
    """When a frame (counted from 0) is shown, in seconds from the first; past the ends as if the video went on.

    A video that is not as long as its frames at one rate is asked for every frame's own stamp. Raises BadVideo, for a
    missing file too.
    """
    if not path.is_file():
        raise BadVideo(f"video {path} does not exist")
    info, even = _header(path)
    if even and info.rate_hz:
        return frame / info.rate_hz
    times = _times(path)
    step = np.median(np.diff(times)) if len(times) > 1 else 0.0
    nearest = min(max(frame, 0), len(times) - 1)
    return float(times[nearest] + (frame - nearest) * step)


def video_digest(path: Path) -> bytes:
    """Of its length and both its ends, by which it is known again. A file that cannot be read has one, too."""
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
    return digest.digest()


def first_there(candidates: Iterable[Path]) -> Path:
    """The first path that is a file, else the first path."""
    candidates = list(candidates)
    return next((path for path in candidates if path.is_file()), candidates[0])


@lru_cache(4096)
def _header(path: Path) -> tuple[VideoInfo, bool]:
    """What the header says, and whether its frames at one rate last as long as it says."""
    with opened(path) as (container, stream):
        seconds: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        mean, tick = stream.average_rate, float(stream.base_rate or 0)
        even = seconds is not None and abs(stream.frames - seconds * tick) < 0.5
        return VideoInfo(seconds, float(mean) if mean else None, stream.width, stream.height), even


@lru_cache(64)
def _times(path: Path) -> NDArray[np.float64]:
    return VideoFrames(path).times
