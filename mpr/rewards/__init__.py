"""Reward models: an episode in, one number per step out, before offset and bonus."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode


class RewardModel(Protocol):
    """Scores each of an episode's T steps."""

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """Float32 [T] in [0, 1], before offset and bonus (mpr.reward.training_reward adds them)."""
        ...
