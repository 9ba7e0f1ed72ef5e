"""Rewards by name: classes of mpr.reward.model.RewardModel. Imports none of them."""

from __future__ import annotations

from mpr.core.errors import UserError
from mpr.core.registry import Registry
from mpr.reward.model import RewardModel

REWARDS = Registry(
    "reward",
    "mpr.rewards",
    {
        "motion": "mpr.reward.motion:MotionReward",
        "any_motion": "mpr.reward.any_motion:AnyMotionReward",
        "vip": "mpr.reward.vip:VipReward",
        "vip_difference": "mpr.reward.vip:VipDifferenceReward",
        "time_rewarder": "mpr.reward.time_rewarder:TimeRewarderReward",
        "dense": "rl.environments.kitchen.dense:DenseReward",
        "environment": "mpr.reward.environment:EnvironmentReward",
        "none": "mpr.reward.none:NoReward",
        "paper_sparse": "mpr.reward.paper_sparse:PaperSparseReward",
        "wrong_direction": "mpr.reward.wrong_direction:WrongDirectionReward",
        "mean_motion": "mpr.reward.mean_motion:MeanMotionReward",
    },
)


RENAMED_REWARDS = {"sparse": "paper_sparse"}  # before -> now; raw numbers of before have the first


def reward_class(name: str) -> type[RewardModel]:
    """The class of that name. Raises UserError naming those that exist, and for what is no reward."""
    if name in RENAMED_REWARDS and name not in REWARDS.names():
        raise UserError(f"reward '{name}' is called '{RENAMED_REWARDS[name]}' now")
    found = REWARDS.load(name)
    if not (isinstance(found, type) and issubclass(found, RewardModel)):
        raise UserError(f"reward '{name}' is {found!r}, no class of mpr.reward.model.RewardModel")
    return found
