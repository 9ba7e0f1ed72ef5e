"""What an arm is to the rest of the house: it says where it is, takes a target, goes home, stops, recovers when told.

An adapter does no more than this. It limits nothing and watches over nothing: between any policy and `Arm.send` stands
`robot.safety.guard.Guard`. Nothing moves, and nothing is connected, before the arm is entered.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from robot.hardware.fault_kind import FaultKind
from robot.hardware.pose import Pose


class Mode(Enum):
    """What the controller says it is at: a latched reflex shows here even where every error flag is 0."""

    IDLE = "idle"
    MOVING = "moving"
    GUIDING = "guiding"  # a person leads it by hand
    REFLEX = "reflex"  # it stopped itself, and stays so until it is told to recover
    STOPPED = "stopped by its user"  # the button
    RECOVERING = "recovering"
    OTHER = "other"

    @property
    def obeys(self) -> bool:
        """Whether a command would be carried out."""
        return self in (Mode.IDLE, Mode.MOVING)


@dataclass(frozen=True, eq=False)
class ArmState:
    """One measurement."""

    pose: Pose  # of the end effector
    joints: NDArray[np.float64]  # [7] radians
    width: float  # metres between the fingers
    time: float  # when it was measured, seconds of the clock that the session runs on
    mode: Mode
    errors: tuple[str, ...] = ()  # names, as the controller gives them


@dataclass(frozen=True, eq=False)
class Target:
    """Where the impedance controller is to pull the end effector, and the gripper's width in metres."""

    pose: Pose
    width: float


@dataclass(frozen=True, eq=False)
class ArmFeatures:
    """What can be said of an arm without being connected to it."""

    name: str
    real: bool  # moves metal
    home: Pose  # of the end effector after `home`, by which the quaternions' order is checked


class ArmError(UserError):
    """The arm cannot be reached, or did not do what it was told: one line, in the controller's words."""

    reason = FaultKind.ARM_ERROR


class Arm(AbstractContextManager["Arm"], Protocol):
    """Entering connects and starts the impedance controller where the arm stands; leaving holds it there and lets go.

    Every method raises ArmError; `state` and `send` return within a control period.
    """

    @property
    def features(self) -> ArmFeatures: ...

    def state(self) -> ArmState:
        """The newest measurement. Where none is new, the last one, with its own time."""
        ...

    def send(self, target: Target) -> Target:
        """Pull there from now on, without waiting. Returns what was really sent."""
        ...

    def home(self) -> None:
        """Open the gripper and go to the home joints, on a path of the arm's own; waits until it is there."""
        ...

    def stop(self) -> None:
        """Hold where it is. Never raises for an arm that has stopped already."""
        ...

    def recover(self) -> None:
        """Clear errors and take commands again: because a person said so, never otherwise."""
        ...
