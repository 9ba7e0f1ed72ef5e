"""Where the microwave's door is: what a person would have measured with a ruler from the arm's base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl.kitchen.expert import GRASPS
from rl.kitchen.tasks import MICROWAVE

BASE = "panda0_link0"  # body whose frame the arm's poses are in


@dataclass(frozen=True, eq=False)
class Door:
    """Shut; metres and radians, in the frame of the arm's base. It turns about the base's z."""

    handle: NDArray[np.float64]  # [3]
    hinge: NDArray[np.float64]  # [3]
    facing: NDArray[np.float64]  # [3, 3] gripper to base, at the handle: looks along its z, fingers along its y
    sign: float  # of its turn about z when it opens


def microwave_door(model: Any, data: Any) -> Door:
    """Of a kitchen whose microwave is shut, posed (mj_kinematics) as it stands."""
    base = data.body(BASE)
    to_world, origin = base.xmat.reshape(3, 3), base.xpos
    c, s = np.cos(GRASPS["microwave"].yaw), np.sin(GRASPS["microwave"].yaw)
    facing = np.array([[0.0, -c, -s], [0.0, -s, c], [-1.0, 0.0, 0.0]])  # gripper to world
    handle, hinge = data.site(MICROWAVE.handle).xpos, data.xanchor[model.joint(MICROWAVE.joint).id]
    return Door((handle - origin) @ to_world, (hinge - origin) @ to_world, to_world.T @ facing, MICROWAVE.sign)
