"""Per-dimension min-max to [-1, 1]. The statistics are buffers: they travel with the weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

RANGE_FLOOR = 1e-2  # in the data's own units (radians, metres, radians/s, action units)


class Normaliser(nn.Module):
    """Maps each of `width` dimensions so that the fitted data spans [-1, 1]; before `fit` it is the identity.

    A dimension that spans less than `floor` in the data is treated as if it spanned that much about its middle: a
    constant one becomes 0, and a burner knob that only ever showed sensor noise is not blown up to a full range, where
    the first real deviation would look like a hundred.
    """

    centre: Tensor  # [width]
    half_range: Tensor  # [width]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("half_range", torch.ones(width))

    def fit(self, values: NDArray[np.floating], floor: float = RANGE_FLOOR) -> Normaliser:
        """Take the statistics of values [N, width]. Raises ValueError for none, or for NaN or infinity in them."""
        if values.ndim != 2 or not len(values) or values.shape[1] != len(self.centre):
            raise ValueError(f"values of shape {values.shape} cannot fit a normaliser of {len(self.centre)} dimensions")
        if not np.isfinite(values).all():
            raise ValueError("values to normalise hold NaN or infinity")
        low, high = values.min(0).astype(np.float64), values.max(0).astype(np.float64)
        self.centre.copy_(torch.from_numpy((low + high) / 2))
        self.half_range.copy_(torch.from_numpy(np.maximum(high - low, floor) / 2))
        return self

    def forward(self, values: Tensor) -> Tensor:
        """Values [..., width] in their own units to normalised ones."""
        return (values - self.centre) / self.half_range

    def inverse(self, normalised: Tensor) -> Tensor:
        """Normalised values [..., width] back to their own units."""
        return normalised * self.half_range + self.centre
