"""TimeRewarder: how far apart two frames of a clip are in time, and which came first (arXiv 2509.26627).

The arithmetic is `mpr.representations.temporal_distance`. Two frames u, v of a clip are drawn so that near ones come
more often, as the reward will ask about consecutive frames: the distance |v - u| with a chance in proportion to its
inverse, either order alike. (The paper weighs near ones by an exponential.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mpr.pretraining.objective import Objective
from mpr.representations.temporal_distance import DistanceHead, two_hot

if TYPE_CHECKING:
    from mpr.pretraining.config import PretrainConfig


class TemporalDistance(Objective):
    """Cross entropy of the distance between two frames, over 20 bins."""

    frames = 2
    order_in_words = "the predicted distance from the clip's first frame."

    def __init__(self, width: int) -> None:
        super().__init__(DistanceHead(width))

    @classmethod
    def of(cls, config: PretrainConfig, width: int) -> TemporalDistance:
        return cls(width)

    def draw(self, length: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Two frames [2] of a clip, never the same twice."""
        apart = np.arange(1, length)
        step = int(rng.choice(apart, p=1 / apart / (1 / apart).sum()))
        first = int(rng.integers(0, length - step))
        pair = np.array([first, first + step], np.intp)
        return pair if rng.random() < 0.5 else pair[::-1].copy()

    def loss(self, embedded: Tensor, progress: Tensor, rng: np.random.Generator) -> Tensor:
        """Of vectors [B, 2, D] at shares `progress` [B, 2] of their clips, whose difference is the distance."""
        logits = self.head(embedded[:, 0], embedded[:, 1])
        return F.cross_entropy(logits, two_hot(progress[:, 1] - progress[:, 0]))

    def order(self, embedded: Tensor) -> Tensor:
        """The predicted distance of each frame [T] from the first of a clip with vectors [T, D]."""
        return self.head.distance(embedded[:1].expand_as(embedded), embedded)
