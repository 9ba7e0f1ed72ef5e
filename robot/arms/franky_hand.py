"""The Franka Hand through franky: told widths without waiting, and its width read all the while, in a thread.

The hand carries out one command at a time, and franky blocks who gives it a second one: the newest wish waits here
until the command under way has ended. A command that ends short of its width (something is between the fingers) is no
error; the measured width tells.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from robot.arms.franka import wished
from robot.arms.franky_link import arm_errors
from robot.hardware.arm import ArmError
from robot.hardware.within import Newest, within

_EVERY = 0.02  # seconds between readings
STUCK = 10.0  # seconds after which a command that has not ended is a fault
_CLOSING = 3.0  # seconds for a command to end before the hand is let go: the fingers' whole way takes 1.6
_OPENING = 0.01  # metres by which an open hand may fall short


class FrankyHand:
    """Connects at once. Every method raises ArmError where the hand is lost, and none but `open` waits."""

    def __init__(self, franky: Any, hostname: str, speed: float, force: float, deadline: float) -> None:
        self._franky, self._speed, self._force = franky, speed, force
        self._running: Any = None  # the command under way: a franky.BoolFuture
        self._wish: float | None = None
        with arm_errors(f"the gripper of {hostname} is not reached"):
            self._gripper: Any = within(deadline, lambda: franky.Gripper(hostname))
            self.widest = within(deadline, lambda: float(self._gripper.max_width))
            if not self.widest > _OPENING:
                raise ArmError(f"the gripper of {hostname} opens {self.widest:.3f} m: have it find its range, in Desk")
            self._newest = Newest(self._turn, "hand")
            self._newest.start(deadline)
        self._told = self.width

    @property
    def width(self) -> float:
        """Measured, metres."""
        return self._newest.get()

    def wish(self, width: float) -> float:
        """Go there as soon as the command under way has ended. Returns the width that the hand is really told."""
        self._newest.get()  # raises where the hand is lost
        self._wish = wish = wished(width, self._told, self.widest)
        return wish

    def drop(self) -> None:
        """Forget the wish. The command under way ends by itself: opening the fingers now could drop what they hold."""
        self._wish = None

    def open(self) -> None:
        """Open, and wait for it. Given anew although it was told so before: that may have ended short."""
        self._told = self.width
        self.wish(self.widest)
        until = time.monotonic() + STUCK
        while self.width < self.widest - _OPENING or self._running is not None:
            if time.monotonic() > until:
                raise ArmError(f"the gripper did not open: {self.width:.3f} m of {self.widest:.3f}")
            time.sleep(_EVERY)

    def close(self) -> None:
        """Read no more, and let go of the hand once the command under way has ended: franky carries it out in a thread
        that crashes the process where the gripper is gone. A command that does not end keeps the gripper."""
        self._newest.stop()
        gripper, running = self._gripper, self._running
        self._gripper = self._running = None
        if running is not None:
            with suppress(Exception):  # it is left, come what may
                within(_CLOSING, lambda: (running.wait(), gripper))

    def _turn(self) -> float:
        """In the thread: read the width, see the command under way end, give the next one."""
        time.sleep(_EVERY)
        with arm_errors("the gripper is lost"):
            width = float(self._gripper.width)
            if self._running is not None:
                if self._running.wait(0.0):
                    self._end()
                elif time.monotonic() > self._until:
                    raise ArmError(f"the gripper has not ended a command within {STUCK:g} s")
            wish = self._wish
            if self._running is None and wish is not None and wish != self._told:
                self._begin(wish)
        return width

    def _begin(self, wish: float) -> None:
        if wish <= 0:  # on whatever is there
            given = self._gripper.grasp_async(0.0, self._speed, self._force, epsilon_outer=1.0)
        else:
            given = self._gripper.move_async(wish, self._speed)
        self._told, self._running, self._until = wish, given, time.monotonic() + STUCK

    def _end(self) -> None:
        running, self._running = self._running, None
        with suppress(self._franky.CommandException):  # it met something: the width tells
            running.get()
