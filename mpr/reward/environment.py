"""The environment's own reward, as it is: for an environment whose task no camera shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.reward.model import RewardModel

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode


class EnvironmentReward(RewardModel):
    """What the environment gave at each step: no agreement, and nothing is added to it."""

    whole = True

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """Float32 [T] of any size. Raises UserError for an episode that does not hold it."""
        if episode.log.reward is None or not np.isfinite(episode.log.reward).all():
            raise UserError("reward environment: the episode does not hold the environment's own finite rewards")
        return episode.log.reward.astype(np.float32)
