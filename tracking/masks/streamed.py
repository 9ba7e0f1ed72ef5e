"""Masks of frames that come one after another: those of `HeldMasks` on `CarriedMasks`, as soon as they are settled.

A mask is settled when nothing that follows can change it. Whether one that has come back is back is told from as much
as BLINK seconds of what follows: until then it waits, and the frames after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.masks.box_mask import MaskCarrier
from tracking.masks.lost import BLINK, FILLS, Look, held_masks, stretches


@dataclass(frozen=True)
class MaskedFrame:
    """A frame and where the object is on it."""

    frame: NDArray[np.uint8]  # [H, W, 3]
    mask: NDArray[np.bool_]  # [H, W]
    time_s: float


class StreamedMasks:
    """Takes frames in their order and gives them back masked. The object is boxed on the first."""

    def __init__(self, box: Sequence[float]) -> None:
        self._box = box
        self._carrier: MaskCarrier | None = None
        self._waiting: deque[MaskedFrame] = deque()
        self._size: list[float] = []
        self._own: list[float] = []
        self._times: list[float] = []

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the masks, from the first frame on."""
        return (FILLS,) if self._carrier is not None and self._look.fills else ()

    def push(self, frame: NDArray[np.uint8], time_s: float) -> list[MaskedFrame]:
        """The next frame [H, W, 3]: what is settled now. Raises UserError as `MaskCarrier` does for the first."""
        if self._carrier is None:
            self._carrier = MaskCarrier(frame, self._box)
            mask = self._carrier.full_size(self._carrier.mask)
            self._look = Look(frame, mask)
        else:
            mask = self._carrier.full_size(self._carrier.carry_to(frame))
        size, own = self._look(lambda: frame, mask)
        self._size.append(size)
        self._own.append(own)
        self._times.append(time_s)
        self._waiting.append(MaskedFrame(frame, mask, time_s))
        return self._given(self._settled(self._shown()))

    def end(self) -> list[MaskedFrame]:
        """What is settled since no frame follows."""
        return self._given(len(self._times)) if self._waiting else []

    def _shown(self) -> NDArray[np.bool_]:
        return held_masks(np.array(self._size), np.array(self._own), np.array(self._times), 0)

    def _settled(self, shown: NDArray[np.bool_]) -> int:
        """How many of the frames so far: up to where a mask came back too lately to be believed."""
        if not shown[-1]:
            return len(shown)
        first = stretches(shown)[-1][0]
        young = self._times[-1] - self._times[first] < BLINK - 1e-9
        return first if first and young else len(shown)

    def _given(self, until: int) -> list[MaskedFrame]:
        shown, given = self._shown(), []
        for t in range(len(self._times) - len(self._waiting), until):
            one = self._waiting.popleft()
            given.append(one if shown[t] else MaskedFrame(one.frame, np.zeros_like(one.mask), one.time_s))
        return given
