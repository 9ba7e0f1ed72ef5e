"""Video files through PyAV: frames with their true times, decoded only as far as asked for.

`VideoFrames` reads; `write_video` writes H.264 whose bytes depend on the frames alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tracking.errors import BadVideo

# PyAV's IndexError: a packet of a stream that was not there when the file was opened.
DAMAGED = (av.error.FFmpegError, IndexError)
KEYFRAME_EVERY = 8  # frames; random access decodes at most this many


class VideoFrames:
    """A FrameSource over a video file. `times` [T] are the frames' own seconds from the first frame.

    Holds one decoder and one frame. Sequential reads decode each frame once; going back seeks to the keyframe before
    (in MP4 and Matroska; elsewhere seeking is not exact, so it starts over). Rotation flags and edit lists are obeyed.
    Raises BadVideo for a file that is no video, has no frame or no time stamps, or ends before its frames do.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadVideo(f"video {self.path} " + ("is not a file" if self.path.exists() else "does not exist"))
        about = self.path.stat()
        index = _indexed(self.path, about.st_size, about.st_mtime_ns)
        self._base, self._exact_seek, self._pts, self._keys = index.base, index.exact_seek, index.pts, index.keys
        self._index = {pts: i for i, pts in enumerate(self._pts)}
        self.times: NDArray[np.float64] = np.array([float((p - self._pts[0]) * self._base) for p in self._pts])
        self._container: Any = None
        self._decoder: Any = None
        self._at = -1  # index of the frame held
        self._frame: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self._pts)

    @property
    def rate_hz(self) -> float:
        """Median measured rate."""
        return float(1 / np.median(np.diff(self.times))) if len(self) > 1 else 0.0

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        t = range(len(self))[t]
        key = bisect_right(self._keys, t) - 1
        if self._frame is None or t < self._at or (self._exact_seek and self._at + 1 < self._keys[key]):
            self._seek(t, key)
        while self._at < t:
            self._next(t)
        if self._at != t:
            raise BadVideo(f"video {self.path}: frame {t} of {len(self)} is missing; encode it anew")
        assert self._frame is not None
        return self._frame

    def _seek(self, t: int, key: int) -> None:
        """Put the decoder before frame t: on its keyframe, by the keyframe's own stamp, or on the start of the file."""
        exact = self._exact_seek and key > 0
        if not exact:
            self.close()
        self._open()
        stream = self._container.streams.video[0]
        if exact:
            try:
                self._container.seek(self._pts[self._keys[key]], stream=stream, backward=True)
            except DAMAGED as error:
                raise BadVideo(f"video {self.path}: cannot seek to frame {t} ({error})") from error
        self._decoder = self._container.decode(stream)

    def _open(self) -> None:
        if self._container is None:
            self._container = av.open(str(self.path), metadata_errors="replace")
        self._frame, self._at = None, -1

    def _next(self, t: int) -> None:
        """Decode the next frame; convert it if it is t or later. Where that fails none is held: the next read seeks."""
        index, self._frame = None, None
        while index is None:
            try:
                frame = next(self._decoder)
            except (StopIteration, *DAMAGED) as error:
                raise BadVideo(f"video {self.path} is truncated: frame {t} of {len(self)} does not decode") from error
            index = self._index.get(frame.pts)
        self._at = index
        if index >= t:
            # One thread: swscale would start as many as there are cores, for every frame anew.
            # The flag says how far to turn the picture counter-clockwise; so does rot90.
            try:
                picture = frame.to_ndarray(format="rgb24", threads=1)
            except DAMAGED as error:
                raise BadVideo(
                    f"video {self.path}: frame {t} of {len(self)} has colours unknown here: encode it anew"
                ) from error
            turned = np.rot90(picture, (frame.rotation or 0) // 90 % 4)
            self._frame = np.ascontiguousarray(turned)  # torch refuses what rot90 gives

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        self._frame, self._at = None, -1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_container": None, "_decoder": None, "_frame": None, "_at": -1}


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file's container and its first video stream. Raises BadVideo where it is none, or of a codec unknown here.

    Titles in another encoding than UTF-8, as old cameras write them, are no fault.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise BadVideo(f"video {path} has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise BadVideo(f"video {path}: its codec is unknown here: encode it anew, if it is not damaged")
            yield container, stream
    except DAMAGED as error:
        why = getattr(error, "strerror", "a stream begins amid it")
        raise BadVideo(f"video {path} cannot be read ({why}): truncated, or not a video") from error


@dataclass(frozen=True)
class _Index:
    """Where a video's frames are."""

    base: Fraction  # seconds a unit of pts
    exact_seek: bool
    pts: tuple[int, ...]  # of the frames, in order of time
    keys: tuple[int, ...]  # frames that decode by themselves; 0 is taken for one


@lru_cache(maxsize=4)
def _indexed(path: Path, size: int, changed_ns: int) -> _Index:
    """All packets are looked at, which reads the whole file: once a video, of which there may be hundreds of actions;
    again where its size or time of change is another. Raises BadVideo."""
    with opened(path) as (container, stream):
        packets = [(p.pts, p.is_keyframe, p.is_corrupt) for p in container.demux(stream) if p.size and not p.is_discard]
        base = Fraction(stream.time_base or Fraction(1, 1))
        exact_seek = "mp4" in container.format.name or "matroska" in container.format.name
    if not packets:
        raise BadVideo(f"video {path} has no frames")
    stamps = [(pts, key) for pts, key, _ in packets if pts is not None]
    if len(stamps) < len(packets):
        raise BadVideo(f"video {path} has frames without time stamps: put it into an MP4 file first")
    if any(corrupt for _, _, corrupt in packets):
        raise BadVideo(f"video {path} is truncated: after {len(packets) - 1} frames the file ends within one")
    pts = sorted({pts for pts, _ in stamps})
    place = {pts: i for i, pts in enumerate(pts)}
    return _Index(base, exact_seek, tuple(pts), tuple(sorted({place[pts] for pts, key in stamps if key} | {0})))


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], times: NDArray, crf: int = 14) -> None:
    """Write uint8 RGB frames [H, W, 3] with their own times (seconds, increasing) as H.264 4:2:0.

    One thread, no variable metadata: the same frames give the same bytes. Raises ValueError where H or W is odd.
    """
    base = Fraction(1, 90000)
    stamps = np.round((np.asarray(times) - times[0]) / float(base)).astype(int)
    options = {"crf": str(crf), "preset": "veryfast", "g": str(KEYFRAME_EVERY), "threads": "1", "bf": "0"}
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream: Any = None
        for i, image in enumerate(frames):
            if stream is None:
                h, w = image.shape[:2]
                if h % 2 or w % 2:
                    raise ValueError(f"H.264 needs even sizes, got {w}x{h}")
                rate = Fraction((len(stamps) - 1) / max(times[-1] - times[0], 1e-9)).limit_denominator(1001)
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
                stream.time_base = stream.codec_context.time_base = base
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = int(stamps[i]), base
            for packet in stream.encode(frame):
                container.mux(packet)
        if stream is not None:
            for packet in stream.encode():
                container.mux(packet)
