"""A SpaceMouse through pyspacemouse (hidraw; without 3Dconnexion's driver), in its right-handed convention "ros".

Pushed or turned, the cap reports every 8 ms, moves and turns apart; let go, it reports zeros and falls silent
(SpaceNavigator, github.com/FreeSpacenav/spacenavd/issues/108). So a cap that was deflected and reports no more is not
believed. The kernel keeps 64 reports that nobody read and drops what comes after: after a pause they tell of the past.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from robot.hardware.clock import Clock, WallClock
from robot.teleop.device import OPEN, SHUT, LetGo, Wish
from robot.teleop.keys import Keys
from robot.teleop.operator import Mark

SILENT = 0.1  # seconds without a report, after which the cap is at rest, or lost
_PAUSE = 0.2  # seconds between two readings, beyond which the kernel has dropped reports
REPORTS = 256  # more than the kernel keeps: reading ends
RETRY = 2.0  # seconds between looking for an unplugged one: that takes some milliseconds
NO_HID = "is libhidapi-hidraw0 installed, and may you read /dev/hidraw* (a udev rule)?"
_GRIPS = (SHUT, OPEN)  # of the first two buttons


class SpaceMouse(AbstractContextManager["SpaceMouse"]):
    """As `about` has it, seen by who stands behind the arm's base with the device facing the same way."""

    about = """cap           pushed, lifted or turned: the arm does the same, in the axes of its base
left, right   (its first two buttons) shut, open the gripper"""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or WallClock()
        self._device: Any = None
        self._let_go = LetGo(6)
        self._last: NDArray[np.float64] | None = None  # deflections; none: not known
        self._grip = OPEN

    def __enter__(self) -> SpaceMouse:
        try:
            self._package = importlib.import_module("pyspacemouse")
            self._gone = importlib.import_module("easyhid").HIDException
        except ModuleNotFoundError as error:
            raise UserError("a SpaceMouse needs the package pyspacemouse: pip install -e '.[teleop]'") from error
        except OSError as error:  # the C library
            raise UserError(f"pyspacemouse cannot be loaded ({error}): {NO_HID}") from error
        try:
            self._open()
        except (RuntimeError, OSError) as error:
            raise UserError(f"no SpaceMouse: {str(error).rstrip('.')}; {NO_HID}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._drop()

    def read(self) -> Wish:
        now = self.clock.now()
        if self._device is None and now - self._tried > RETRY:
            with suppress(RuntimeError, OSError):
                self._open()
        values = self._poll(now)
        lost = "" if self._device is not None else "the SpaceMouse is unplugged: nothing is asked for"
        return Wish(values[:3], values[3:], self._grip, lost)

    def rest(self) -> None:
        if self._device is not None:
            self._poll(self.clock.now())
        self._grip = OPEN
        self._let_go.forget()

    def mark(self) -> Mark | None:
        """Never: its buttons are the gripper's."""
        return None

    def _poll(self, now: float) -> NDArray[np.float64]:
        """Deflections [6], zeros where they are not known."""
        paused, self._looked, grip = now - self._looked > _PAUSE, now, self._grip
        if self._drain():
            self._heard = now
        elif now - self._heard > SILENT:
            self._last = np.zeros(6)
        if paused:
            self._last, self._heard, self._grip = None, now, grip
        if self._device is None or self._last is None:
            return np.zeros(6)
        return self._let_go(self._last)

    def _drain(self) -> bool:
        """Read all reports, so that the newest counts; whether there was any."""
        device, any_new = self._device, False
        for _ in range(REPORTS):
            if device is None:
                return False
            try:
                state = device.read()
            except self._gone:
                self._drop()
                return False
            if state.t == self._stamp:  # set when a report is read
                break
            self._stamp, any_new = state.t, True
            for button, grip in enumerate(_GRIPS[: len(state.buttons)]):
                self._grip = grip if state.buttons[button] else self._grip
            self._last = np.clip([state.x, state.y, state.z, state.roll, state.pitch, state.yaw], -1, 1)
        return any_new

    def _open(self) -> None:
        self._tried = self._looked = self._heard = self.clock.now()
        self._device = self._package.open(axis_convention=self._package.AxisConvention.ROS)
        self._stamp, self._last = -1.0, None
        self._let_go.forget()

    def _drop(self) -> None:
        device, self._device, self._last = self._device, None, None
        if device is not None:
            with suppress(self._gone):
                device.close()


def device(keys: Keys) -> SpaceMouse:
    """By the name in the registry."""
    return SpaceMouse()
