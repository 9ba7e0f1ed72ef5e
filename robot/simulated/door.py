"""Where the door is that is to be opened: what a person would have measured with a ruler from the arm's base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl.environments.kitchen.tasks import Task

BASE_BODY = "panda0_link0"  # body whose frame the arm's poses are in


@dataclass(frozen=True, eq=False)
class TwinDoor:
    """Shut; metres and radians, in the frame of the arm's base. It turns about the base's z."""

    handle: NDArray[np.float64]  # [3]
    hinge: NDArray[np.float64]  # [3]
    facing: NDArray[np.float64]  # [3, 3] gripper to base, at the handle: looks along its z, fingers along its y
    sign: float  # of its turn about z when it opens


def door_of(task: Task, model: Any, data: Any) -> TwinDoor:
    """Of a kitchen in which the task's thing is shut, posed (mj_kinematics) as it stands."""
    base = data.body(BASE_BODY)
    to_world, origin = base.xmat.reshape(3, 3), base.xpos
    yaw = task.grasp.yaw if task.grasp else 0.0
    c, s = np.cos(yaw), np.sin(yaw)
    facing = np.array([[0.0, -c, -s], [0.0, -s, c], [-1.0, 0.0, 0.0]])  # gripper to world
    handle, hinge = data.site(task.handle).xpos, data.xanchor[model.joint(task.joint).id]
    return TwinDoor((handle - origin) @ to_world, (hinge - origin) @ to_world, to_world.T @ facing, task.sign)
