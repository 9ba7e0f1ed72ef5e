"""An arm and what stands around it, by name: what every `mpr robot` command opens first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Self

from mpr.core.errors import UserError
from rl.policies.base_policy import BasePolicy
from robot.arms.franka import SHUT
from robot.arms.registry import ARMS, SIMULATED, Reached, arm_driver, check_host
from robot.cameras.registry import camera_kind, make_camera
from robot.hardware.arm import Arm
from robot.hardware.camera import Camera
from robot.hardware.clock import Clock, WallClock
from robot.hardware.counting import FROM_LAST, FROM_MEASURED
from robot.safety.limits import Limits
from robot.teleop.keyboard_operator import KeyboardOperator
from robot.teleop.keys import Keys
from robot.teleop.operator import Operator

OPERATORS = ("keyboard", "scripted")


@dataclass(frozen=True)
class StationConfig:
    """What all commands beside an arm share. One made by hand is not `resolved` yet."""

    arm: str = SIMULATED  # simulated; franky (Franka Research 3, Panda); polymetis (through its server)
    host: str = ""  # of a real arm: franky's FCI host name, or HOST:PORT of the Polymetis server
    world: str = ""  # camera that stands, beside a real arm: a RealSense's serial number, a video file, KIND:WHAT
    wrist: str = ""  # camera on the hand, likewise; the simulated arm has its own two
    size: int = 128  # pixels: side of the simulated cameras' images
    real_time: bool = False  # simulated arm: in a process of its own on the wall clock; else as fast as it goes
    enforce_real_time: bool = True  # franky: refuse a kernel that is not real-time; false is for franky's simulator
    operator: str = ""  # keyboard, or scripted, which belongs to the simulated arm; none: what the arm calls for
    task: str = "microwave"  # what episodes are about; the simulated arm stands before it
    rate_hz: float = 10.0  # of commands
    # what an action's position and turn count from: measured, where the arm is (the paper's), or last, the last target
    targets: str = FROM_MEASURED
    limits: Limits = field(default_factory=Limits)  # of the guard: --limits.step and the like; simulated: its own box
    seed: int = 0  # of the first episode

    def __post_init__(self) -> None:
        ARMS.check(self.arm)
        if self.operator and self.operator not in OPERATORS:
            raise UserError(f"no operator '{self.operator}'; there is {', '.join(OPERATORS)}")
        if self.arm != SIMULATED:
            check_host(self.arm, self.host)
            if self.operator == "scripted":
                raise UserError("--operator scripted goes with --arm simulated: it looks into the simulator")
            if not self.world or not self.wrist:
                raise UserError(f"--arm {self.arm}: needs --world and --wrist, cameras' serial numbers or video files")
            for said in (self.world, self.wrist):
                camera_kind(said)
            if 0 < self.limits.narrowest < SHUT:
                told = f"--limits.narrowest {self.limits.narrowest:g} m"
                raise UserError(f"{told}: the hand closes altogether below {SHUT:g} m: 0, or no less than that")
        else:
            if given := [f"--{name}" for name in ("host", "world", "wrist") if getattr(self, name)]:
                raise UserError(f"{', '.join(given)}: of a real arm; the simulated one has cameras of its own")
            from robot.simulated.tasks import find_twin_task

            find_twin_task(self.task)
        if not 16 <= self.size <= 640 or self.size % 2:
            raise UserError(f"--size {self.size}: 16 to 640 pixels, even")
        if not 1 <= self.rate_hz <= 30:
            raise UserError(f"--rate_hz {self.rate_hz:g}: 1 to 30")
        if self.limits.silence < 2 / self.rate_hz:
            raise UserError(
                f"--limits.silence {self.limits.silence:g} s is under two beats of --rate_hz {self.rate_hz:g}"
            )
        if self.targets not in (FROM_MEASURED, FROM_LAST):
            raise UserError(f"no targets '{self.targets}'; there is {FROM_MEASURED}, {FROM_LAST}")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: 0 or more")

    def resolved(self) -> Self:
        """With what follows: beside the simulated arm its own workspace, and a person's pace where one sits there."""
        if self.arm != SIMULATED:
            return self
        from robot.simulated.tasks import find_twin_task

        limits, there = self.limits, find_twin_task(self.task).limits
        if (limits.low, limits.high) == (Limits.low, Limits.high):  # a table's: nobody asked for one
            limits = dataclasses.replace(limits, low=there.low, high=there.high)
        return dataclasses.replace(self, limits=limits, real_time=self.real_time or self.operator == "keyboard")

    @property
    def attended(self) -> bool:
        """Whether a person sits at the terminal."""
        return self.operator == "keyboard" or self.arm != SIMULATED

    @property
    def wall(self) -> bool:
        """Whether the session runs on the wall's time."""
        return self.arm != SIMULATED or self.real_time


@dataclass(frozen=True)
class Station:
    """Arm and cameras are not entered yet where `named_station` gave it, and are where `station` did."""

    arm: Arm
    cameras: tuple[Camera, ...]
    clock: Clock
    operator: Operator
    expert: BasePolicy | None = None  # that knows how the task is done; the simulated arm has one
    keys: Keys | None = None  # the terminal, where somebody sits at it


@contextmanager
def station(config: StationConfig) -> Iterator[Station]:
    """The named parts, entered: from here on an arm may move. Raises UserError, naming what is not there."""
    with named_station(config) as found, enter_station(found):
        yield found


@contextmanager
def enter_station(found: Station) -> Iterator[None]:
    """Terminal, arm and cameras connected, the terminal first: whether there is one is soon known."""
    with ExitStack() as stack:
        for part in (found.keys, found.arm, *found.cameras):
            if part is not None:
                stack.enter_context(part)
        yield


@contextmanager
def named_station(config: StationConfig) -> Iterator[Station]:
    """The named parts; nothing is connected.

    Raises ValueError for a config made in code whose `resolved()` was not asked for: beside the twin its limits would
    be those of a table.
    """
    if config != config.resolved():
        raise ValueError("a config made in code: give config.resolved(), as a command line's is")
    keys = Keys() if config.attended else None
    if config.arm == SIMULATED:
        from robot.simulated import simulated
        from robot.simulated.attended import AttendedOperator

        with simulated(config.task, (config.size, config.size), config.real_time) as twin:
            operator = AttendedOperator(keys, twin.operator) if keys else twin.operator
            yield Station(twin.arm, twin.cameras, twin.clock, operator, twin.expert, keys)
        return
    assert keys is not None
    clock = WallClock()
    cameras = tuple(make_camera(said, name, clock) for name, said in (("world", config.world), ("wrist", config.wrist)))
    arm = arm_driver(config.arm).make(Reached(config.host, clock, config.enforce_real_time))
    yield Station(arm, cameras, clock, KeyboardOperator(keys), keys=keys)
