"""The connection to an arm through franky: reads it 200 times a second in a thread, and commands nothing.

So nobody waits for a packet, and a reading's age is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.arms.franka import StateStamp, normal
from robot.hardware.arm import ArmError, Mode
from robot.hardware.clock import Clock
from robot.hardware.pose import Pose
from robot.hardware.within import Newest, within

_EVERY = 0.005  # seconds between readings
RECENT = 0.05  # seconds: of a reading's age, up to which the arm still stands about there
_PATIENCE = 2.0  # seconds for something to show in the readings
_MODES = {
    "Idle": Mode.IDLE,
    "Move": Mode.MOVING,
    "Guiding": Mode.GUIDING,
    "Reflex": Mode.REFLEX,
    "UserStopped": Mode.STOPPED,
    "AutomaticErrorRecovery": Mode.RECOVERING,
}  # by the names of franky.RobotMode


@contextmanager
def arm_errors(what: str) -> Iterator[None]:
    """Turn what franky raises into an ArmError. Its errors share no base class, and a lost link is a RuntimeError."""
    try:
        yield
    except ArmError:
        raise
    except Exception as error:
        raise ArmError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error


@dataclass(frozen=True, eq=False)
class Reading:
    """What the arm said of itself at one moment."""

    pose: Pose
    joints: NDArray[np.float64]  # [7] radians
    time: float  # seconds of our clock
    mode: Mode
    errors: tuple[str, ...]
    controlled: bool  # a motion of ours runs

    def __str__(self) -> str:
        return f"mode {self.mode.value}; {', '.join(self.errors) or 'no error named'}"


class Link:
    """The connection to one arm, which connects at once and never heals; a new one may.

    Every method raises ArmError where the link was lost: a second after it was, during which the readings grow stale.
    """

    def __init__(
        self, franky: Any, hostname: str, realtime: bool, thresholds: Mapping[str, float], deadline: float, clock: Clock
    ) -> None:
        self._clock, self._stamp = clock, StateStamp()
        self._names = [name for name in dir(franky.Errors) if not name.startswith("_")]
        config = franky.RealtimeConfig.Enforce if realtime else franky.RealtimeConfig.Ignore
        with arm_errors(f"the arm at {hostname} is not reached"):
            self.robot: Any = within(deadline, lambda: franky.Robot(hostname, realtime_config=config, **thresholds))
            self._newest = Newest(self._read, "arm")
            self._newest.start(deadline)

    def reading(self) -> Reading:
        """The newest."""
        return self._newest.get()

    def recent(self) -> Reading | None:
        """One no older than RECENT; none where for as long none comes."""
        deadline = time.monotonic() + RECENT
        while self._clock.now() - (reading := self.reading()).time > RECENT:
            if time.monotonic() > deadline:
                return None
            time.sleep(_EVERY)
        return reading

    def fresh(self) -> Reading:
        """One that is asked for from now on."""
        now = self._clock.now()
        return self.wait(lambda reading: reading.time >= now, "the arm says nothing new")

    def wait(self, until: Callable[[Reading], bool], otherwise: str) -> Reading:
        """The first reading that is so."""
        deadline = time.monotonic() + _PATIENCE
        while not until(reading := self.reading()):
            if time.monotonic() > deadline:
                raise ArmError(f"{otherwise} ({reading})")
            time.sleep(_EVERY)
        return reading

    def close(self) -> None:
        """Let go of the arm, which takes one connection at a time: franky gives it up with its object."""
        self._newest.stop()
        self.robot = None

    def _read(self) -> Reading:
        """In the thread."""
        time.sleep(_EVERY)
        asked = self._clock.now()
        with arm_errors("the arm is lost"):
            controlled, state = self.robot.is_in_control, self.robot.state
            mode = _MODES.get(state.robot_mode.name, Mode.OTHER)
            errors = self._raised(state.current_errors)
            if mode is Mode.REFLEX and not errors:  # latched: the flags are down again
                errors = self._raised(state.last_motion_errors)
            pose = Pose(np.asarray(state.O_T_EE.translation), normal(state.O_T_EE.quaternion))
            when = self._stamp.of(state.time.to_sec(), asked)
            return Reading(pose, np.array(state.q, np.float64), when, mode, errors, controlled)

    def _raised(self, errors: Any) -> tuple[str, ...]:
        """The flags that are up. The object itself counts as true where none is."""
        return tuple(name for name in self._names if getattr(errors, name) is True)
