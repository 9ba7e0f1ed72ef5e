"""A Franka in Franka Kitchen under Cartesian impedance control, behind the interfaces of the real one: the twin.

In lockstep its time passes when a loop sleeps on its clock, as fast as this machine can and always the same; in real
time it runs in a process of its own. Physics needs no OpenGL, cameras do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from mpr.core.errors import UserError
from rl.policies.base_policy import BasePolicy
from robot.hardware.clock import Clock, WallClock
from robot.safety.limits import Limits
from robot.simulated.arm import SimulatedArm
from robot.simulated.camera_renderer import TWIN_CAMERAS
from robot.simulated.cameras import SimulatedCamera
from robot.simulated.distant import Distant
from robot.simulated.impedance import Gains
from robot.simulated.operator import SimulatedOperator
from robot.simulated.tasks import find_twin_task
from robot.simulated.world import Lockstep, World


@dataclass(frozen=True)
class Twin:
    """What a session needs, all of one world. Neither arm nor cameras are entered."""

    arm: SimulatedArm
    cameras: tuple[SimulatedCamera, ...]  # world, wrist
    clock: Clock
    operator: SimulatedOperator
    expert: BasePolicy | None
    limits: Limits  # whose workspace holds what the task is about
    world: World


@contextmanager
def simulated(
    task: str = "microwave",
    size: tuple[int, int] = (128, 128),
    real_time: bool = False,
    gains: Gains | None = None,
) -> Iterator[Twin]:
    """A world for as long as the context lasts. `size`: of the images, height and width.

    Raises UserError for what cannot be simulated, and, in real time, ArmError for a simulation that does not start.
    """
    found = find_twin_task(task)
    if min(size) < 16 or size[0] % 2 or size[1] % 2:
        raise UserError(f"images of {size[0]} x {size[1]} pixels: even sides (for video), 16 at least")
    if real_time:
        with Distant(found, size, gains) as distant:
            yield _twin(distant, WallClock())
    else:
        with closing(Lockstep(found, size, gains)) as here:
            yield _twin(here, here)


def _twin(world: World, clock: Clock) -> Twin:
    cameras = tuple(SimulatedCamera(world, name) for name in TWIN_CAMERAS)
    task = world.task
    expert = task.expert(lambda: world.measured().door) if task.expert else None
    return Twin(SimulatedArm(world), cameras, clock, SimulatedOperator(world), expert, task.limits, world)
