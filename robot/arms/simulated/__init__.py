"""A Franka in Franka Kitchen under Cartesian impedance control, behind the interfaces of the real one: the twin.

In lockstep its time passes when a loop sleeps on its clock, as fast as this machine can and always the same; in real
time it runs in a process of its own. Physics needs no OpenGL, cameras do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from robot.arms.simulated.arm import SimulatedArm
from robot.arms.simulated.cameras import SimulatedCamera
from robot.arms.simulated.distant import Distant
from robot.arms.simulated.expert import DoorExpert
from robot.arms.simulated.eyes import CAMERAS
from robot.arms.simulated.impedance import Gains
from robot.arms.simulated.operator import SimulatedOperator
from robot.arms.simulated.world import Lockstep, World
from robot.clock import Clock, WallClock
from robot.safety.limits import Limits
from tracking.errors import UserError

TASK = "microwave"
# The microwave stands to the arm's left and lower than its base: not in the box of a table before it.
LIMITS = Limits(low=(-0.05, 0.30, -0.10), high=(0.70, 0.85, 0.60))


@dataclass(frozen=True)
class Twin:
    """What a session needs, all of one world. Neither arm nor cameras are entered."""

    arm: SimulatedArm
    cameras: tuple[SimulatedCamera, ...]  # world, wrist
    clock: Clock
    operator: SimulatedOperator
    expert: DoorExpert
    limits: Limits  # whose workspace holds the microwave
    world: World


def check_task(task: str) -> None:
    """Raises UserError for one that there is no scene of."""
    if task != TASK:
        raise UserError(f"the simulated arm has no task '{task}'; there is {TASK}")


@contextmanager
def simulated(
    task: str = TASK,
    size: tuple[int, int] = (128, 128),
    real_time: bool = False,
    gains: Gains | None = None,
) -> Iterator[Twin]:
    """A world for as long as the context lasts. `size`: of the pictures, height and width.

    Raises UserError for what cannot be simulated, and, in real time, ArmError for a simulation that does not start.
    """
    check_task(task)
    if min(size) < 16 or size[0] % 2 or size[1] % 2:
        raise UserError(f"pictures of {size[0]} x {size[1]} pixels: even sides (for video), 16 at least")
    if real_time:
        with Distant(size, gains) as distant:
            yield _twin(distant, WallClock())
    else:
        with closing(Lockstep(size, gains)) as here:
            yield _twin(here, here)


def _twin(world: World, clock: Clock) -> Twin:
    cameras = tuple(SimulatedCamera(world, name) for name in CAMERAS)
    operator, expert = SimulatedOperator(world), DoorExpert(lambda: world.measured().door)
    return Twin(SimulatedArm(world), cameras, clock, operator, expert, LIMITS, world)
