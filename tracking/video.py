"""Video files through PyAV: frames with their true times, decoded only as far as asked for.

`VideoFrames` reads; `write_video` writes H.264 whose bytes depend on the frames alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from tracking.errors import BadVideo

KEYFRAME_EVERY = 8  # frames; random access decodes at most this many


class VideoFrames:
    """A FrameSource over a video file. `times` [T] are the frames' own seconds from the first frame.

    Holds one decoder and one frame. Sequential reads decode each frame once; going back seeks to the keyframe before.
    Raises BadVideo for a file that is no video, has no frame, or ends before its frames do.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadVideo(f"video {self.path} does not exist")
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise BadVideo(f"video {self.path} has no video stream")
                stream = container.streams.video[0]
                stamps = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.pts is not None]
                self._base = Fraction(stream.time_base or Fraction(1, 1))
        except av.error.FFmpegError as error:
            raise BadVideo(f"video {self.path} cannot be read ({error}): truncated, or not a video") from error
        if not stamps:
            raise BadVideo(f"video {self.path} has no frames")
        self._pts = sorted(pts for pts, _ in stamps)
        self._index = {pts: i for i, pts in enumerate(self._pts)}
        self._keys = sorted(self._index[pts] for pts, key in stamps if key)
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
        if self._frame is None or t < self._at or any(self._at < k <= t for k in self._keys):
            self._seek(t)
        while self._at < t:
            self._next(t)
        assert self._frame is not None
        return self._frame

    def _seek(self, t: int) -> None:
        try:
            if self._container is None:
                self._container = av.open(str(self.path))
            stream = self._container.streams.video[0]
            self._container.seek(self._pts[t], stream=stream, backward=True)
            self._decoder = self._container.decode(stream)
            self._at, self._frame = -1, None
        except av.error.FFmpegError as error:
            raise BadVideo(f"video {self.path}: cannot seek to frame {t} ({error})") from error

    def _next(self, t: int) -> None:
        try:
            frame = next(self._decoder)
        except (StopIteration, av.error.FFmpegError) as error:
            raise BadVideo(f"video {self.path} is truncated: frame {t} of {len(self)} does not decode") from error
        index = self._index.get(frame.pts)
        if index is None:
            return
        self._at = index
        if index >= t:
            self._frame = np.rot90(frame.to_ndarray(format="rgb24"), (frame.rotation or 0) // 90 % 4)

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        self._frame, self._at = None, -1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_container": None, "_decoder": None, "_frame": None, "_at": -1}


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
