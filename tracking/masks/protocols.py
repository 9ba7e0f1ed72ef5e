"""The three parts that find an object and follow it, and what they hand on. Pixels are the source video's, (x, y)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource, MaskSource

Frame = NDArray[np.uint8]  # [H, W, 3] RGB
Mask = NDArray[np.bool_]  # [H, W]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Follow = Callable[[Frame], Mask]  # the next frame in the direction of travel -> its mask
THRESHOLD = 0.1  # score under which the best box is no find
LOST = 0.25  # of a clip: an object without a mask for longer on end is lost


@dataclass(frozen=True)
class Detection:
    """The best box of a frame."""

    box: Box
    score: float  # 0..1
    word: str  # of the words asked for


@dataclass(frozen=True)
class Masked:
    """The task's object through a clip, and where it was found."""

    masks: MaskSource  # [T] -> bool [H, W] of the source
    frame: int  # on which it was found
    found: Detection


class Detector(Protocol):
    """Finds an object by its name."""

    def detect(self, frame: Frame, words: Sequence[str]) -> Detection | None:
        """The box that fits any of the words best, however low its score; None where none lies in the frame."""
        ...


class Segmenter(Protocol):
    """Cuts an object out of its box."""

    def segment(self, frame: Frame, box: Box) -> Mask: ...


class Propagator(Protocol):
    """Follows an object from one frame on."""

    def start(self, frame: Frame, prompt: Mask | Box, length: int) -> tuple[Mask, Follow]:
        """The mask on the first frame, and what follows it from there, with a memory of its own.

        `length` is that of the whole clip, in frames. Raises UserError for a prompt that it does not take.
        """
        ...


class Finder(Protocol):
    """All of it: the object of a clip by its name."""

    def __call__(self, frames: FrameSource, words: Sequence[str]) -> Masked:
        """Raises ObjectNotFound and ObjectLost."""
        ...
