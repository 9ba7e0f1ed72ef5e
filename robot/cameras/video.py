"""A recorded video in a camera's place: its frames at their own times, the first when it was entered.

There is no thread: the frame that is due is decoded when it is asked for, by whoever asks (some milliseconds). At the
end the last frame stays, with its own time, so that it grows stale as a camera's would.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.video import VideoFrames
from mpr.core.errors import BadVideo
from robot.hardware.camera import CameraError, CameraFeatures, CameraImage
from robot.hardware.clock import Clock, WallClock


class VideoCamera:
    """A `Camera`. Asked for its features it opens the file. Raises CameraError for one that is no video."""

    def __init__(self, path: Path | str, name: str = "", clock: Clock | None = None) -> None:
        self.path, self.name, self.clock = Path(path), name or Path(path).stem, clock or WallClock()
        self._start: float | None = None
        self._newest: CameraImage | None = None

    @property
    def features(self) -> CameraFeatures:
        return CameraFeatures(self.name, *self._size, self._frames.rate_hz)

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Height, width. Seen once: the first frame again would be a seek back in the middle of a session."""
        height, width, _ = self._image(0).shape
        return height, width

    def __enter__(self) -> VideoCamera:
        self._image(0)
        self._start, self._newest = self.clock.now(), None
        return self

    def __exit__(self, *_: object) -> None:
        self._start = None
        self._frames.close()

    def latest(self) -> CameraImage:
        if self._start is None:
            raise CameraError(f"camera {self.name} is not connected")
        for _ in range(2):  # not looked at for long, it catches up with what went by, and others come due meanwhile
            number = self._due(self.clock.now() - self._start)
            if self._newest is None or self._newest.number != number:
                time = self._start + float(self._times[number])
                self._newest = CameraImage(self._image(number), time, number)
        assert self._newest is not None
        return self._newest

    def _due(self, seconds: float) -> int:
        return max(int(np.searchsorted(self._times, seconds, side="right")) - 1, 0)

    @cached_property
    def _times(self) -> NDArray[np.float64]:
        return self._frames.times - self._frames.times[0]  # whose sound may begin before its images

    @cached_property
    def _frames(self) -> VideoFrames:
        try:
            return VideoFrames(self.path)
        except BadVideo as error:
            raise CameraError(str(error)) from error

    def _image(self, number: int) -> np.ndarray:
        try:
            return self._frames[number]
        except BadVideo as error:
            raise CameraError(str(error)) from error
