"""What an objective of pre-training is: which frames of a clip it looks at, its loss, the order it sees in a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from mpr.pretraining.config import PretrainConfig

FEWEST_FRAMES = 5  # of a clip that is trained on


class Objective(ABC):
    """A loss, and what is trained on top of an encoder for it and saved beside it: its `head`."""

    frames: ClassVar[int]  # of a clip that make a sample, K
    order_in_words: ClassVar[str]  # what `order` gives

    def __init__(self, head: nn.Module | None = None) -> None:
        self.head: Any = nn.Identity() if head is None else head

    @classmethod
    @abstractmethod
    def of(cls, config: PretrainConfig, width: int) -> Self:
        """The one that a config asks for, on vectors of `width` numbers."""

    @abstractmethod
    def draw(self, length: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Which frames [K] of a clip of so many, at least `FEWEST_FRAMES`, make a sample."""

    @abstractmethod
    def loss(self, embedded: Tensor, progress: Tensor, rng: np.random.Generator) -> Tensor:
        """Of a batch's vectors [B, K, D], taken at shares `progress` [B, K] (0 to 1) of their clips."""

    @abstractmethod
    def order(self, embedded: Tensor) -> Tensor:
        """What grows along a clip [T], if its vectors [T, D] know the order of its frames."""
