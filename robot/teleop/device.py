"""What a person's hand tells the arm, whatever device it holds, and the action that follows from it.

Devices tell only deflections: they know no arm, no limits and no episode.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from robot.hardware.action import RobotAction
from robot.teleop.operator import Mark

POSITION, TURN = 0.5, 0.1  # of a full deflection: units of action, radians (the authors' own)
DEADZONE = 0.1  # deflections below are none: a hand on the device is not an order
SHUT, OPEN = -1.0, 1.0


@dataclass(frozen=True, eq=False)
class Wish:
    """Deflections in -1..1, in the axes of the arm's base: along x, y, z, and about them."""

    move: NDArray[np.float64]  # [3]
    turn: NDArray[np.float64]  # [3]
    grip: float  # what the gripper is asked to be: -1 shut, 1 open
    trouble: str = ""  # in one line why the device cannot be heard, where it cannot: then the wish is idle

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for but the gripper to stay."""
        return bool(np.abs([*self.move, *self.turn]).max() <= DEADZONE)


NO_NUMBERS = "the device tells what is no number: it is not followed"


def heard(wish: Wish, grip: float) -> Wish:
    """The wish as it may be followed: one that is not finite asks for nothing, and says so.

    The gripper's then stays `grip`, what was asked for last.
    """
    if np.isfinite([*wish.move, *wish.turn, wish.grip]).all():
        return wish
    return Wish(np.zeros(3), np.zeros(3), grip, NO_NUMBERS)


class Teleop(AbstractContextManager["Teleop"], Protocol):
    """Entering opens the device. Raises UserError where it is not there, or its package is not installed.

    A device that goes silent or is unplugged asks for nothing, whatever it asked for last; `Wish.trouble` says so, and
    it is heard again when it is back. What is deflected while it is opened, comes back or `rest` is called counts once
    it has been let go: nothing starts with a jump. Used from one thread.
    """

    @property
    def about(self) -> str:
        """Lines to show to who holds it: which part does what."""
        ...

    def read(self) -> Wish:
        """What is asked for now; never waits. The gripper's wish stays until it is changed."""
        ...

    def rest(self) -> None:
        """An episode begins, the arm is home: the gripper's wish is open, and what is deflected has to be let go."""
        ...

    def mark(self) -> Mark | None:
        """What was said with the device itself since it was last asked; never waits."""
        ...


class LetGo:
    """Lets a deflection through once its axis has been seen at rest.

    A trigger that SDL has not heard of yet reads half pressed; a stick may be held while the pad is plugged in.
    """

    def __init__(self, axes: int) -> None:
        self._seen = np.zeros(axes, bool)

    def forget(self) -> None:
        """From now on each axis has to be let go first."""
        self._seen[:] = False

    def __call__(self, deflections: ArrayLike) -> NDArray[np.float64]:
        """Deflections [axes], those of axes that were not let go yet as 0."""
        values = np.asarray(deflections, np.float64)
        self._seen |= np.abs(values) <= DEADZONE
        return np.where(self._seen, values, 0.0)


def action_of_wish(wish: Wish) -> RobotAction:
    """Deflections beyond the dead zone, from 0 at its edge, scaled to an action."""
    moves, turns = (np.sign(v) * np.clip((np.abs(v) - DEADZONE) / (1 - DEADZONE), 0, 1) for v in (wish.move, wish.turn))
    quaternion = Rotation.from_rotvec(TURN * turns).as_quat(canonical=True)
    return np.concatenate([POSITION * moves, quaternion, [np.clip(wish.grip, -1, 1)]])
