"""What a base policy is to the rest of the house: reset with a seed, then one action an observation.

A residual policy, an evaluation and the labelling of demonstrations know no more of it than this.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class BasePolicy(Protocol):
    """A policy of one episode at a time. It may remember: whoever begins an episode resets it."""

    def reset(self, seed: int) -> None:
        """Begin an episode: forget the action chunk and every history, and draw all sampling noise from `seed`."""
        ...

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [A], in the environment's units, for the observation [D] of the present step."""
        ...


class ZeroPolicy:
    """Always the zero action: a residual policy on it is plain reinforcement learning."""

    def __init__(self, width: int) -> None:
        self.width = width

    def reset(self, seed: int) -> None:
        """It remembers nothing and draws nothing."""

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        return np.zeros(self.width, np.float32)
