"""What a camera is to the rest of the house: its newest image, at once, with the time at which it was taken."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from robot.hardware.fault_kind import FaultKind
from robot.hardware.view import CameraPlacement


@dataclass(frozen=True, eq=False)
class CameraImage:
    """`time` is when it was taken, in seconds of the clock that the session runs on; `number` counts images."""

    image: NDArray[np.uint8]  # [H, W, 3] RGB
    time: float
    number: int


@dataclass(frozen=True)
class CameraFeatures:
    """What can be said of a camera without being connected to it."""

    name: str
    height: int  # pixels
    width: int
    rate_hz: float
    view: CameraPlacement | None = None  # where it stands, if that is known and it stands


class CameraError(UserError):
    """The camera cannot be reached, or gives nothing: one line."""

    reason = FaultKind.CAMERA_ERROR


class Camera(AbstractContextManager["Camera"], Protocol):
    """Entering connects and starts it, and waits for its first image; leaving lets go. Raises CameraError."""

    @property
    def features(self) -> CameraFeatures: ...

    def latest(self) -> CameraImage:
        """The newest image, without waiting: an old one if none has come since."""
        ...
