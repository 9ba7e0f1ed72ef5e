"""The reward that says nothing: with offset and bonus, −1 a step until success."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.reward.model import RewardModel

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode


class NoReward(RewardModel):
    """0 at every step."""

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """Zero for each step [T]."""
        return np.zeros(len(episode), np.float32)
