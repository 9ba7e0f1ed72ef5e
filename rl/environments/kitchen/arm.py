"""Differential inverse kinematics of the arm, in the kitchen it stands in: damped least squares with a posture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl.environments.kitchen.tasks import ARM, END_EFFECTOR
from tracking.simulator.gl import mujoco

DAMPING = 1e-4
_MARGIN = 0.03  # radians kept from each joint limit
TURN_WEIGHT = 0.3  # metres a radian: what a radian of wrong orientation weighs against a metre of wrong position
_STEP = 0.2  # radians: the most a joint turns in one iteration


class KitchenArm:
    """Kinematics of the seven joints in a private copy of the state; the simulation is never touched."""

    def __init__(self, model: Any) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self.site = model.site(END_EFFECTOR).id
        self.low, self.high = model.jnt_range[ARM, 0] + _MARGIN, model.jnt_range[ARM, 1] - _MARGIN
        self._position, self._turn = np.zeros((3, model.nv)), np.zeros((3, model.nv))

    def pose(self, q: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gripper position [3] in metres and orientation [3, 3], gripper to world, at joints q [7]."""
        self.data.qpos[ARM] = q
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.site_xpos[self.site].copy(), self.data.site_xmat[self.site].reshape(3, 3).copy()

    def solve(
        self, position: NDArray, orientation: NDArray, start: NDArray, posture: NDArray, iterations: int = 60
    ) -> tuple[NDArray[np.float64], float]:
        """Joints [7] that put the gripper there, searched from `start`, leaning to `posture` where the arm is free.

        Returns the joints and the position error left in metres.
        """
        q, error = np.clip(start, self.low, self.high), np.zeros(6)
        for _ in range(iterations):
            error = self._error(q, position, orientation)
            pull = 0.1 * (posture - q)
            if np.linalg.norm(error) < 1e-3:
                break
            jacobian = np.vstack([self._position, self._turn * TURN_WEIGHT])[:, ARM]
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + DAMPING * np.eye(6))
            change = inverse @ error + pull - inverse @ (jacobian @ pull)
            q = np.clip(q + change * min(1.0, _STEP / np.abs(change).max()), self.low, self.high)
        return q, float(np.linalg.norm(error[:3]))

    def _error(self, q: NDArray, position: NDArray, orientation: NDArray) -> NDArray[np.float64]:
        """Weighted twist [6] that is still to go; fills the Jacobians."""
        here, facing = self.pose(q)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_jacSite(self.model, self.data, self._position, self._turn, self.site)
        r = orientation @ facing.T
        turn = 0.5 * np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
        return np.concatenate([position - here, TURN_WEIGHT * turn])
