"""Masks of a clip in a temporary file instead of in memory."""

from __future__ import annotations

import tempfile

import numpy as np
from numpy.typing import NDArray


class PackedMasks:
    """MaskSource bool [T] -> [H, W], eight pixels a byte in a nameless temporary file. What was never written is empty.

    Memory does not grow with T, and a file system with sparse files gives no room to empty stretches.
    """

    def __init__(self, length: int, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._length = length
        self._bytes = (shape[0] * shape[1] + 7) // 8
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the masks do
        self._file.truncate(length * self._bytes)

    def write(self, t: int, mask: NDArray[np.bool_]) -> None:
        """Keep mask t, bool [H, W]. Raises ValueError for another shape, IndexError for a frame that is not there."""
        if mask.shape != self.shape or mask.dtype != np.bool_:
            raise ValueError(f"mask {mask.dtype} {mask.shape}, not bool {self.shape}")
        self._file.seek(range(self._length)[t] * self._bytes)
        self._file.write(np.packbits(mask).tobytes())

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        self._file.seek(range(self._length)[t] * self._bytes)
        bits = np.frombuffer(self._file.read(self._bytes), np.uint8)
        return np.unpackbits(bits, count=self.shape[0] * self.shape[1]).reshape(self.shape).view(np.bool_)
