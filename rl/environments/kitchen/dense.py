"""The privileged dense reward: how near the gripper is while the door is shut, and how far the door is open.

    near_t     = exp(-|gripper_t - handle_t| / REACH)                in (0, 1]
    progress_t = clip(travel_t / opened, 0, 1)                       in [0, 1]
    dense_t    = progress_t + (1 - progress_t) * near_t / 2          in [0, 1]

It grows with both, and the door counts double: the nearest gripper at a shut door earns 1/2, an open door 1 wherever
the gripper is. `opened` is the goal that is asked for (--goal_travel), else the task's own travel: microwave 0.45 rad,
hinge 1.15 rad, slide 0.25 m. It stands where agreement stands (before offset and bonus), and it sees what no camera
measures: positions out of the simulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.reward.model import Given, RewardModel
from rl.environments.kitchen.opening import asked_task
from rl.environments.kitchen.tasks import Task
from rl.environments.setting import OpeningOptions

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode

REACH = 0.1  # metres from the handle at which `near` has fallen to 1/e
FIRST_OBJECT = 18  # of the state: where the joints of objects begin; before them 9 robot joints, twice
ROBOT_JOINTS = 9


def dense(task: Task, gripper: NDArray, handle: NDArray, travel: NDArray) -> NDArray[np.float32]:
    """Float32 [T] in [0, 1]: the reward of step t is that of the frame it leads to.

    gripper, handle [T+1, 3] metres, world; travel [T+1] of the task's joint, 0 where shut. Raises ValueError for
    lengths that differ or values that are not finite.
    """
    gap, travel = np.asarray(handle, float) - np.asarray(gripper, float), np.asarray(travel, float)
    if gap.shape != (len(travel), 3):
        raise ValueError(f"positions must be [T+1, 3] and travel [T+1], got {gap.shape} and {travel.shape}")
    if not (np.isfinite(gap).all() and np.isfinite(travel).all()):
        raise ValueError("a position or a travel is NaN or infinite")
    near = np.exp(-np.linalg.norm(gap[1:], axis=1) / REACH)
    progress = np.clip(travel[1:] / task.opened, 0.0, 1.0)
    return (progress + (1 - progress) * near / 2).astype(np.float32)


class DenseReward(RewardModel):
    """`dense` of an episode's states [T+1, 62]."""

    only, of_states = "kitchen", True

    def __init__(self, task: Task) -> None:
        self.task = task

    @classmethod
    def of(cls, given: Given) -> DenseReward:
        return cls(asked_task(given.task, OpeningOptions(goal_travel=given.goal_travel)))

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """The dense reward of each step [T], from the gripper's way to the handle and the door's travel."""
        gap = episode.states[:, -3:]  # handle minus gripper
        joint = FIRST_OBJECT + self.task.qpos - ROBOT_JOINTS
        return dense(self.task, np.zeros_like(gap), gap, self.task.sign * episode.states[:, joint])
