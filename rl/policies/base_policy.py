"""What a base policy is to the rest of the house: reset with a seed, then one action an observation.

A residual policy, an evaluation and the labelling of demonstrations know no more of it than this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rl.data.demonstrations import FrameSize
from rl.policies.registry import Around

# Step of the episode -> camera -> its frame of that step, [H, W, 3].
CameraFrames = Callable[[int], Mapping[str, NDArray[np.uint8]]]


class BasePolicy(Protocol):
    """A policy of one episode at a time. It may remember: whoever begins an episode resets it."""

    @property
    def cameras(self) -> Mapping[str, FrameSize]:
        """The cameras that it sees with, and how large their frames are; none: the observation is all it is given."""
        ...

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        """Begin an episode: forget the action chunk and every history, and draw all sampling noise from `seed`.

        `look` shows it this episode's frames; without, it looks where it always does.
        """
        ...

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [A], in the environment's units, for the observation [D] of the present step."""
        ...


class ZeroPolicy:
    """Always the same action: zero, or the middle [A] of what the environment takes.

    A residual policy on it is plain reinforcement learning.
    """

    def __init__(self, width: int, middle: NDArray[np.floating[Any]] | float = 0.0) -> None:
        self.width, self.middle = width, middle

    @property
    def cameras(self) -> Mapping[str, FrameSize]:
        return {}

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        """It remembers nothing and draws nothing."""

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The same action [A] for any observation [D]."""
        return np.full(self.width, self.middle, np.float32)


def zero(around: Around) -> ZeroPolicy:
    """By the name in the registry."""
    return ZeroPolicy(around.action, around.middle)
