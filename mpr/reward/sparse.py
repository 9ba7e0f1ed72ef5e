"""The environment's own reward: 1 on success, 0 otherwise (the paper's sparse baseline)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode


class SparseReward:
    """1 at every step: with offset and bonus, 0 until success and the bonus then. Time costs only what it discounts."""

    def score(self, episode: Episode) -> NDArray[np.float32]:
        return np.ones(len(episode), np.float32)
