"""What the simulated arm can stand before, by name. A new task is a file that makes a TwinTask, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpr.core.errors import UserError
from mpr.core.registry import Registry
from rl.environments.kitchen.tasks import Task
from rl.policies.base_policy import BasePolicy
from robot.hardware.pose import Pose
from robot.safety.limits import Limits
from robot.simulated.door import TwinDoor

MICROWAVE_HOME_RAD = (
    1.649,
    0.935,
    0.13,
    -1.86,
    -1.705,
    1.51,
    0.426,
)  # radians: before the microwave, far from any limit
MICROWAVE_HOME_POSE = Pose(
    np.array([0.093814, 0.586678, 0.041864]), np.array([-0.092093, 0.701263, 0.092093, 0.700905])
)
TWIN_TASKS = Registry("task of the simulated arm", "mpr.twin_tasks", {"microwave": "robot.simulated.microwave:TWIN"})


@dataclass(frozen=True, eq=False)
class TwinTask:
    """A thing of the kitchen that opens, and how the arm stands to it."""

    kitchen: Task  # what opens, how far counts as success, how it is seen
    limits: Limits  # of the guard, whose workspace holds the thing: another box than a table's
    expert: Callable[[Callable[[], TwinDoor]], BasePolicy] | None = None  # made of what tells where the thing is
    home: tuple[float, ...] = (
        MICROWAVE_HOME_RAD  # joints [7] as a Franka reads them, radians, at which an episode begins
    )
    home_pose: Pose = MICROWAVE_HOME_POSE  # of the end effector there, in the frame of the arm's base


def find_twin_task(name: str) -> TwinTask:
    """The task of that name. Raises UserError naming those that exist, and for what is no task."""
    found = TWIN_TASKS.load(name)
    if not isinstance(found, TwinTask):
        raise UserError(f"task '{name}' of the simulated arm is {found!r}, no TwinTask of robot.simulated.tasks")
    return found
