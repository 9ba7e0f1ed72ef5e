"""A camera whose device makes one wait for images: they are waited for in a thread, off the control path."""

from __future__ import annotations

from abc import ABC, abstractmethod

from robot.hardware.camera import CameraError, CameraFeatures, CameraImage
from robot.hardware.within import Newest


class Grabber(ABC):
    """A `Camera` of three methods that wait.

    While no image comes, `latest` gives the old one, with its own time, so that it is seen to grow stale. Once the
    device is gone it raises what `_read` raised: CameraError.
    """

    first = 5.0  # seconds to wait for the first image

    @property
    @abstractmethod
    def features(self) -> CameraFeatures: ...

    @abstractmethod
    def _open(self) -> None:
        """Connect and start. Raises CameraError."""

    @abstractmethod
    def _read(self) -> CameraImage | None:
        """Wait for the next image, a second at most: None where none came. Raises CameraError for a device that is
        gone. Called in the thread, which makes the images; whoever gets one does not write into it."""

    @abstractmethod
    def _close(self) -> None:
        """Stop, and let go: after `_open`, also one that failed halfway."""

    def __enter__(self) -> Grabber:
        self._newest = Newest(self._read, self.features.name)
        try:
            self._open()
            self._newest.start(self.first)
        except TimeoutError as error:
            self.__exit__()
            raise CameraError(f"camera {self.features.name} is there, and gives no image: {error}") from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._newest.stop()
        self._close()

    def latest(self) -> CameraImage:
        return self._newest.get()
