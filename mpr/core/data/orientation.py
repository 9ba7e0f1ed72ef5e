"""Which way up a player shows a stored image: what a display matrix says, if it turns by right angles or mirrors."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ASKEW = 1 / 57  # as a share of the larger entry: a degree, which FFmpeg's player overlooks too


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a rectangle on itself: rows and columns exchanged or not, then each mirrored or not.

    Source: the matrix of ISO/IEC 14496-12, 8.3.2, as FFmpeg hands it on (libavutil/display.h): x' = a x + c y and
    y' = b x + d y for a pixel (x right, y down). Where it moves the image to, and how large it makes it, is nothing
    that a window shows.
    """

    exchanged: bool = False  # rows become columns
    right: int = 1  # -1: then mirrored left to right
    down: int = 1  # -1: then mirrored top to bottom

    @classmethod
    def of_matrix(cls, matrix: bytes) -> Orientation:
        """Nine little-endian int32 (a b u, c d v, x y w). Raises ValueError where it turns by no right angle."""
        a, b, _, c, d, *_ = struct.unpack("<9i", matrix)
        if not any((a, b, c, d)):  # players take it for none
            return cls()
        exchanged = abs(b) > abs(a)
        across, along, askew = (c, b, (a, d)) if exchanged else (a, d, (b, c))
        if max(map(abs, askew)) >= ASKEW * min(abs(across), abs(along)):
            turned = np.degrees(np.arctan2(b, a))
            raise ValueError(f"turns images by {turned:.0f} degrees, askew" if a and b else "distorts images")
        return cls(exchanged, 1 if across > 0 else -1, 1 if along > 0 else -1)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A stored image [H, W, 3] as it is shown: a view, [W, H, 3] where rows become columns."""
        if self.exchanged:
            image = image.swapaxes(0, 1)
        return image[:: self.down, :: self.right]

    @property
    def mirrors(self) -> bool:
        """Whether it shows what is written in an image in mirror writing."""
        return (self.right * self.down < 0) != self.exchanged

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown, of a stored image's."""
        return (height, width) if self.exchanged else (width, height)


def rotation_matrix(degrees: float) -> bytes:
    """The display matrix that turns counter-clockwise, as seen."""
    cosine, sine = (round(v * 65536) for v in (np.cos(np.radians(degrees)), np.sin(np.radians(degrees))))
    return struct.pack("<9i", cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30)
