"""The fair sparse reward, which says nothing of the way: with offset and bonus, −1 a step until success.

Under a discount gamma its values are (V - 1) / (1 - gamma), V being those of 1 at success and 0 before: both order
policies alike. Its scale is that of every other reward here, 1 a step, which `paper_sparse` is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.reward.model import RewardModel

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode


class NoReward(RewardModel):
    """0 at every step."""

    constant = True

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """Zero for each step [T]."""
        return np.zeros(len(episode), np.float32)
