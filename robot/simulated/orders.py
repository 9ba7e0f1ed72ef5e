"""What the simulated arm is told, and what takes it a while: going home, and a scene put back by somebody's hands.

An order that lasts is a generator that sets the physics before each step. A new order cuts the last one short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpr.core.errors import UserError
from rl.environments.kitchen.tasks import ARM, FINGER_JOINTS
from robot.hardware.arm import ArmError, Mode, Target
from robot.simulated.model import TIMESTEP
from robot.simulated.physics import JOINT_ZERO, TWIN_HAND_WIDEST_M, Physics

DRAW_BACK = 0.1  # metres along the hand: out of what it held, before the joints go their straight way
DRAW_BACK_TIME = 1.0  # seconds
JOINT_SPEED = 0.7  # rad/s of the fastest joint on the way home, on average; half as much again in its middle
THERE = 0.01  # radians off, at most, at home
_PATIENCE = 2.0  # seconds: for fingers to open, and for the arm to settle
SETTLING = 0.1  # seconds after the scene was put back: the cameras have seen it by then

Lasting = Iterator[None]


def pull(physics: Physics, target: Target) -> None:
    """Have the hand be pulled to a target."""
    physics.mode = Mode.MOVING
    physics.pull(target)


def hold(physics: Physics) -> None:
    """Have the arm stay where it is, unless a reflex already stopped it."""
    if physics.mode is not Mode.REFLEX:
        physics.mode = Mode.IDLE
        physics.stay()


def recover(physics: Physics) -> None:
    """From where the arm stands now."""
    physics.mode, physics.errors, physics.cause = Mode.IDLE, (), ""
    physics.stay()


def reflex(physics: Physics, errors: tuple[str, ...]) -> None:
    """As if something had touched it."""
    physics.latch(errors, "reflex provoked")


def home(physics: Physics) -> Lasting:
    """Open, draw back, go in the joints' straight line. Raises ArmError for an arm that does not come there."""
    _obeying(physics)
    physics.mode = Mode.MOVING
    physics.stay()
    physics.finger = TWIN_HAND_WIDEST_M / 2
    for _ in range(_steps(_PATIENCE)):
        if physics.data.qpos[FINGER_JOINTS].sum() > 0.99 * TWIN_HAND_WIDEST_M:
            break
        yield from _step(physics)
    if np.abs(_joints(physics) - physics.home).max() > THERE:
        yield from _back(physics)
        yield from _along_joints(physics)
    hold(physics)


def put_back(physics: Physics, base_offset: NDArray[np.float64]) -> Lasting:
    """The door shut, the arm led home by hand, its base `base_offset` [2] metres from the stock place."""
    physics.place(base_offset=base_offset)
    hold(physics)
    for _ in range(_steps(SETTLING)):
        yield


ORDERS: dict[str, Callable[..., Lasting | None]] = {
    "pull": pull,
    "hold": hold,
    "recover": recover,
    "reflex": reflex,
    "home": home,
    "put back": put_back,
}


class Controller:
    """Carries out one order at a time on the physics. `outcome` is what the last one failed with, if it did."""

    def __init__(self, physics: Physics) -> None:
        self.physics = physics
        self.outcome: UserError | None = None
        self._lasting: Lasting | None = None

    @property
    def busy(self) -> bool:
        return self._lasting is not None

    def order(self, name: str, *arguments: object) -> None:
        self.begin(ORDERS[name](self.physics, *arguments))

    def begin(self, lasting: Lasting | None) -> None:
        self._lasting, self.outcome = lasting, None

    def step(self) -> None:
        """One millisecond."""
        if self._lasting is not None:
            try:
                next(self._lasting)
            except StopIteration:
                self._lasting = None
            except UserError as error:
                self._lasting, self.outcome = None, error
                hold(self.physics)
        self.physics.step()


def _back(physics: Physics) -> Lasting:
    start = physics.pose()
    back = -DRAW_BACK * start.rotation.as_matrix()[:, 2]
    for share in np.linspace(0, 1, _steps(DRAW_BACK_TIME)):
        physics.draw(start.moved(share * back, Rotation.identity()))
        yield from _step(physics)


def _along_joints(physics: Physics) -> Lasting:
    start = _joints(physics)
    seconds = np.abs(physics.home - start).max() / JOINT_SPEED
    for share in np.linspace(0, 1, _steps(seconds) + 2):
        physics.joints = start + share * share * (3 - 2 * share) * (physics.home - start)
        yield from _step(physics)
    for _ in range(_steps(_PATIENCE)):
        off = np.abs(_joints(physics) - physics.home)
        if off.max() < THERE / 2 and np.abs(physics.data.qvel[ARM]).max() < THERE:
            return
        yield from _step(physics)
    joint = int(np.argmax(off))
    raise ArmError(
        f"home not reached: joint {joint + 1} is {off[joint]:.2f} rad away from it; is something in the way?"
    )


def _step(physics: Physics) -> Lasting:
    yield
    _obeying(physics)


def _obeying(physics: Physics) -> None:
    if physics.mode is Mode.REFLEX:
        raise ArmError(f"the arm stopped itself ({physics.cause}): recover it first")


def _joints(physics: Physics) -> NDArray[np.float64]:
    return physics.data.qpos[ARM] + JOINT_ZERO


def _steps(seconds: float) -> int:
    return round(seconds / TIMESTEP)
