"""What a person's hand tells the arm, whatever device it holds, and the action that follows from it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.action import Action

POSITION, TURN = 0.5, 0.1  # of a full deflection: units of action, radians (the authors' own)
DEADZONE = 0.1  # deflections below are none: a hand on the device is not an order


@dataclass(frozen=True, eq=False)
class Wish:
    """Deflections in -1..1, in the axes of the arm's base: along x, y, z, and about them."""

    move: NDArray[np.float64]  # [3]
    turn: NDArray[np.float64]  # [3]
    grip: float  # what the gripper is asked to be: -1 shut, 1 open

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for but the gripper to stay."""
        return bool(np.abs([*self.move, *self.turn]).max() <= DEADZONE)


class Teleop(AbstractContextManager["Teleop"], Protocol):
    """Entering opens the device. Raises UserError where it is not there, or its package is not installed."""

    def read(self) -> Wish:
        """What is asked for now; never waits. The gripper's wish stays until it is changed."""
        ...


def action_of_wish(wish: Wish) -> Action:
    """Deflections beyond the dead zone, from 0 at its edge, scaled to an action."""
    moves, turns = (np.sign(v) * np.clip((np.abs(v) - DEADZONE) / (1 - DEADZONE), 0, 1) for v in (wish.move, wish.turn))
    quaternion = Rotation.from_rotvec(TURN * turns).as_quat(canonical=True)
    return np.concatenate([POSITION * moves, quaternion, [wish.grip]])
