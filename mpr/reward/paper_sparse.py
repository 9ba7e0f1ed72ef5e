"""The paper's sparse baseline: 1 on success, 0 otherwise.

With a discount it orders policies as `none` does, at a hundredth of its scale (gamma 0.99); under a fixed entropy
coefficient that is small enough for wandering to be worth more than success (docs/practice.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.reward.model import RewardModel

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode


class PaperSparseReward(RewardModel):
    """1 at every step: with offset and bonus, 0 until success and the bonus then. Time costs only what it discounts."""

    constant, neutral = True, 1.0

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """One for each step [T]: with offset and bonus, 1 on success and 0 otherwise."""
        return np.ones(len(episode), np.float32)
