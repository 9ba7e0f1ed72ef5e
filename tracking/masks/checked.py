"""Masks of others, held to what all else counts on: one a frame, as large as it, and nothing but inside and outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import MaskSource
from mpr.core.errors import UserError

_INSIDE = (1, 255)  # how images of masks say so; 0 is outside


class CheckedMasks:
    """The masks [T] of a source as bool [H, W], each checked when it is asked for.

    `whose` names the source in messages. Numbers will do where they are 0 and 1, or 0 and 255. Raises UserError for
    another number of masks than `length` at once, and for a mask of another size, or one that is not one of these, when
    it comes.
    """

    def __init__(self, masks: MaskSource, length: int, size: tuple[int, int], whose: str) -> None:
        if len(masks) != length:
            raise UserError(f"{whose}: {len(masks)} masks of {length} frames: one each is needed")
        self.masks, self.size, self.whose = masks, size, whose

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        mask = np.asarray(self.masks[t])
        if mask.shape != self.size:
            raise UserError(f"{self.whose}: mask {t} is {mask.shape}, its frame {self.size} (height, width)")
        if mask.dtype == bool:
            return mask
        levels = np.unique(mask) if mask.dtype.kind in "uif" else np.array([np.nan])
        inside = levels[levels != 0]
        if len(inside) > 1 or not np.isin(inside, _INSIDE).all():
            shown = f"{mask.dtype} from {levels[0]:g} to {levels[-1]:g}"
            raise UserError(f"{self.whose}: mask {t} is {shown}; a mask is true and false, 0 and 1, or 0 and 255")
        return mask != 0
