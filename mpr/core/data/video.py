"""Video files through PyAV: frames with their true times, as a player shows them, decoded only as far as asked for.

`VideoFrames` reads; `write_video` writes H.264 whose bytes depend only on the frames.
"""

from __future__ import annotations

import errno
import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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

from mpr.core.data.colour import ColourTags
from mpr.core.data.display import Display, shown_stream
from mpr.core.data.stamps import FORWARD_S, FrameStamp, anew
from mpr.core.errors import BadVideo

# PyAV's IndexError: a packet of a stream that was not there when the file was opened.
VIDEO_ERRORS = (av.error.FFmpegError, IndexError)
MICRO = Fraction(2, 1_000_000)  # seconds: FFmpeg rounds a container's start to microseconds
LATEST = 86_400  # seconds: images that begin a day after the sound are a damaged stamp
_CUT = "cut it there, or encode it anew as one video"
SLICE = 5  # H.264's kind of unit that holds an image that decodes by itself
STAMPS_MAY_JUMP = 0x0200  # FFmpeg's AVFMT_TS_DISCONT, of a container's format
KEYFRAME_EVERY = 8  # frames; random access decodes at most this many


def is_there(path: Path) -> bool:
    """Whether there is such a file. There is none of a name longer than any file's, as a damaged table may hold."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


class VideoFrames:
    """A FrameSource over a video file, whose `times` [T] are the frames' own seconds.

    They are counted from where a player starts to count: the start of the container, which may be sound before the
    first image.

    Holds one decoder and one frame. Sequential reads decode each frame once; going back seeks to the keyframe before
    (in MP4 and Matroska; elsewhere seeking is not exact, so it starts over). Edit lists and display matrices are
    obeyed, pixels made square, colours eight bits of BT.709 (`display.py`, `colour.py`).

    Raises BadVideo for a file that is no video, has no frame or no time stamps, or ends before its frames do; whose
    stamps start anew midway, or whose images change their size there: when it is opened if the last ones are unlike
    the first, else when one unlike it is read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not is_there(self.path):
            raise BadVideo(f"video {self.path} " + ("is not a file" if os.path.exists(self.path) else "does not exist"))
        about = self.path.stat()
        index = _indexed(self.path, about.st_size, about.st_mtime_ns)
        self._exact_seek, self._pts, self._keys, self._stream = index.exact_seek, index.pts, index.keys, index.stream
        self._index = {pts: i for i, pts in enumerate(self._pts)}
        self.times = index.times
        self._display: Display | None = None
        self._tags = ColourTags()
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
        if exact and self._display is None:
            self._display = displayed(self.path)
        self._open()
        stream = self._container.streams[self._stream]
        if exact:
            try:
                self._container.seek(self._pts[self._keys[key]], stream=stream, backward=True)
            except VIDEO_ERRORS as error:
                raise BadVideo(f"video {self.path}: cannot seek to frame {t} ({error})") from error
        self._decoder = self._container.decode(stream)

    def _open(self) -> None:
        if self._container is None:
            self._container = av.open(str(self.path), metadata_errors="replace")
            self._tags = ColourTags.of(self._container.streams[self._stream])
        self._frame, self._at = None, -1

    def _next(self, t: int) -> None:
        """Decode the next frame; convert it if it is t or later. Where that fails none is held: the next read seeks."""
        index, self._frame = None, None
        while index is None:
            try:
                frame = next(self._decoder)
            except (StopIteration, *VIDEO_ERRORS) as error:
                raise BadVideo(f"video {self.path} is truncated: frame {t} of {len(self)} does not decode") from error
            display = self._display  # None: at the start of the file
            if display is None:
                stream = self._container.streams[self._stream]
                display = display_of(self.path, self._container, stream, frame, self._tags)
            self._display, index = display, self._index.get(frame.pts)
            if change := display.change(frame):
                raise BadVideo(f"video {self.path}: {_when(self.times, index)} its {change}: {_CUT}")
        self._at = index
        if index >= t:
            try:
                self._frame = display.image(frame)
            except VIDEO_ERRORS as error:
                raise BadVideo(
                    f"video {self.path}: frame {t} of {len(self)} has colours unknown here: encode it anew"
                ) from error

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user is told of the images, if there is anything.

        Colours that were converted or are not as they were meant, pixels that were not square. Raises BadVideo.
        """
        if self._display is None:
            self._display = displayed(self.path)
        return self._display.remarks

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        self._frame, self._at = None, -1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_container": None, "_decoder": None, "_frame": None, "_at": -1}


@contextmanager
def open_video_stream(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file's container and the video stream that is shown, open inside the `with`.

    Titles in another encoding than UTF-8, as old cameras write them, are no fault. Raises BadVideo where there is no
    stream, or one of a codec unknown here.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = shown_stream(container)
            if stream is None:
                has = "a cover image, and no video" if container.streams.video else "no video stream"
                raise BadVideo(f"video {path} has {has}")
            if stream.codec_context is None:
                raise BadVideo(f"video {path}: its codec is unknown here: encode it anew, if it is not damaged")
            yield container, stream
    except VIDEO_ERRORS as error:
        why = getattr(error, "strerror", "a stream begins amid it")
        raise BadVideo(f"video {path} cannot be read ({why}): truncated, or not a video") from error


def displayed(path: Path) -> Display:
    """How a video is shown, by its first image. Raises BadVideo."""
    with open_video_stream(path) as (container, stream):
        if display := first_display(path, container, stream):
            return display
    raise BadVideo(f"video {path} has no frames")


def first_display(path: Path, container: InputContainer, stream: VideoStream) -> Display | None:
    """The same, of a file that was just opened; None where it has no image. Raises BadVideo."""
    tags = ColourTags.of(stream)
    frame = next(container.decode(stream), None)
    return frame and display_of(path, container, stream, frame, tags)


def display_of(
    path: Path, container: InputContainer, stream: VideoStream, frame: av.VideoFrame, tags: ColourTags
) -> Display:
    """The same, by the first image and the file's tags. Raises BadVideo for one that no window shows upright."""
    try:
        return Display.of(container, stream, frame, tags)
    except ValueError as error:
        raise BadVideo(f"video {path}: its display matrix {error}: encode it anew, upright") from error


@dataclass(frozen=True)
class _Index:
    """Where a video's frames are."""

    stream: int  # the file's stream that is shown
    exact_seek: bool
    pts: tuple[int, ...]  # of the frames, in order of time
    times: NDArray[np.float64]  # theirs in seconds
    keys: tuple[int, ...]  # frames that decode by themselves; 0 is taken for one


@lru_cache(maxsize=4)
def _indexed(path: Path, size: int, changed_ns: int) -> _Index:
    """All packets are looked at, which reads the whole file: once a video, of which there may be hundreds of actions;
    again where its size or time of change is another. Raises BadVideo."""
    with open_video_stream(path) as (container, stream):
        base, start = Fraction(stream.time_base or Fraction(1, 1)), container_start(container, stream)
        mp4 = "mp4" in container.format.name
        plain = mp4 and stream.codec_context.name == "h264"
        forward = float(FORWARD_S / base) if container.format.flags & STAMPS_MAY_JUMP else math.inf
        packets = [
            (p.pts, p.dts, p.is_keyframe, p.is_corrupt, p.is_keyframe and not (plain and _goes_on(p)))
            for p in container.demux(stream)
            if p.size and not p.is_discard
        ]
        at, exact_seek = stream.index, mp4 or "matroska" in container.format.name
    if not packets:
        raise BadVideo(f"video {path} has no frames")
    stamps = [FrameStamp(pts, dts, key) for pts, dts, key, *_ in packets if pts is not None]
    if len(stamps) < len(packets):
        raise BadVideo(f"video {path} has frames without time stamps: put it into an MP4 file first")
    if (broken := anew(stamps, forward)) is not None:
        before = [stamp.pts for stamp in stamps[:broken]]
        second = _seconds([min(before), max(before)], base, start)[1]
        raise BadVideo(f"video {path}: after second {second:.2f} its stamps start anew: {_CUT}")
    pts = sorted({stamp.pts for stamp in stamps})
    place = {pts: i for i, pts in enumerate(pts)}
    keys = {place[stamp.pts] for stamp in stamps if stamp.keyframe} | {0}
    times = _seconds(pts, base, start)
    if (corrupt := next((k for k, row in enumerate(packets) if row[3]), None)) is not None:
        if corrupt == len(packets) - 1:
            raise BadVideo(f"video {path} is truncated: after {corrupt} frames the file ends within one")
        raise BadVideo(f"video {path} is damaged {_when(times, place[stamps[corrupt].pts])}: {_CUT}")
    index = _Index(at, exact_seek, tuple(pts), times, tuple(sorted(keys)))
    if any(described for *_, described in packets[1:]):
        _refuse_change(path, index)
    return index


def _goes_on(packet: av.Packet) -> bool:
    """Whether a keyframe of H.264 in an MP4 file describes nothing anew, so that its size is as it was: no other entry
    of the file's table goes with it, and it begins with an image at once."""
    return not packet.has_sidedata("new_extradata") and packet.size > 4 and memoryview(packet)[4] & 31 == SLICE


def _refuse_change(path: Path, index: _Index) -> None:
    """Raises BadVideo where the last keyframe is not shown as the first image is: by when that began."""
    display = None
    with (
        suppress(BadVideo),
        open_video_stream(path) as (container, stream),
    ):  # what does not decode is found when it is read
        first = first_display(path, container, stream)
        container.seek(index.pts[index.keys[-1]], stream=stream, backward=True)
        last = next(container.decode(stream), None)
        if first and last and first.change(last):
            display = first
    if display is None:
        return
    with open_video_stream(path) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        for frame in container.decode(stream):
            if change := display.change(frame):
                at = index.pts.index(frame.pts) if frame.pts in index.pts else None
                raise BadVideo(f"video {path}: {_when(index.times, at)} its {change}: {_CUT}")


def _when(times: NDArray[np.float64], index: int | None) -> str:
    return "midway" if index is None else f"at second {times[index]:.2f}"


def container_start(container: InputContainer, images: VideoStream) -> Fraction | None:
    """Where a player starts to count, in seconds of the streams' stamps, if that is before the images start.

    None where the images are the earliest stream, or the file does not say. FFmpeg (the command's -ss, ffprobe's
    format start_time) tells it in microseconds; the stream's own is exact.
    """
    if container.start_time is None:
        return None
    told = Fraction(container.start_time, av.time_base)
    starts = {
        s.index: s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base
    }
    if abs(starts.get(images.index, told) - told) <= MICRO:
        return None
    return min((start for start in starts.values() if abs(start - told) <= MICRO), default=told)


def first_image(stamp: Fraction, start: Fraction | None) -> Fraction:
    """Seconds from where a player starts to count to the first image, whose own stamp is given."""
    late = 0 if start is None else stamp - start
    return Fraction(late) if MICRO < late < LATEST else Fraction(0)


def _seconds(pts: list[int], base: Fraction, start: Fraction | None) -> NDArray[np.float64]:
    start = pts[0] * base - first_image(pts[0] * base, start)
    whole = math.lcm(base.denominator, start.denominator)  # so that each is the float nearest to the stamp
    unit, zero = int(base * whole), int(start * whole)
    times = np.array([(p * unit - zero) / whole for p in pts])
    times.setflags(write=False)  # of every reader of the file
    return times


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
