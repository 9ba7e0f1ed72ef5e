"""From a reward model's agreement to the rewards that are learned from; and the rewards known by name.

r_t = agreement_t - 1 + bonus * [success at step t] for every reward. What `agreement` is, is the reward's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from mpr.reward import BONUS, training_reward
from mpr.rewards import RewardModel
from mpr.rewards.none import NoReward
from mpr.rewards.sparse import SparseReward
from tracking.errors import UserError

REWARDS = ("none", "sparse", "dense")


def find_reward(name: str, task: str) -> RewardModel:
    """The reward of that name for a kitchen task. Raises UserError naming those that exist."""
    if name == "none":
        return NoReward()
    if name == "sparse":
        return SparseReward()
    if name == "dense":
        from rl.kitchen.dense import DenseReward
        from rl.kitchen.tasks import find_task

        return DenseReward(find_task(task))
    raise UserError(f"no reward '{name}' here; there is {', '.join(REWARDS)}")


def step_rewards(reward: RewardModel, episode: Episode, bonus: float = BONUS) -> NDArray[np.float32]:
    """r_t float32 [T]; a success is at the last step. Raises ValueError for agreement of another shape or range."""
    agreement = reward.score(episode)
    if agreement.shape != (len(episode),):
        raise ValueError(f"{type(reward).__name__} gave {agreement.shape} for an episode of {len(episode)} steps")
    success = np.zeros(len(episode), bool)
    success[-1] = episode.success
    return training_reward(agreement, success, bonus)
