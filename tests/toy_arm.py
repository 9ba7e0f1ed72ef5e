"""A clock that is wound by hand, and an arm that follows its target a little late and fails when it is told to.

It limits nothing: what it was sent is in `sent`, with the times of the clock.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from robot.hardware.arm import Arm, ArmError, ArmFeatures, ArmState, Mode, Target
from robot.hardware.pose import Pose, between

HOME = Pose(np.array([0.5, 0.0, 0.4]), np.array([1.0, 0, 0, 0]))  # tool down


class ToyClock:
    """Seconds, moved on by who sleeps or by hand. Set `time` for a clock that runs wrong."""

    def __init__(self, now: float = 0.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        self.time = max(self.time, deadline)

    def advance(self, seconds: float) -> None:
        self.time += seconds


class ToyArm(Arm):
    """First-order response to the target, with `lag` seconds as its time constant. As a real one it does not go home in
    a mode that does not obey.

    Faults: `errors` and `mode`; `late`, seconds by which states are stamped too old; `lost`, which repeats the last
    state; `wrong`, fields put into a state as they are (NaN, say); `raising`, names of methods that raise; and
    `deaf`, whether a `send` that raises did not reach the controller.
    """

    def __init__(self, clock: ToyClock, pose: Pose = HOME, lag: float = 0.1) -> None:
        self.clock, self.pose, self.lag = clock, pose, lag
        self.errors: tuple[str, ...] = ()
        self.mode = Mode.IDLE
        self.late, self.lost, self.deaf = 0.0, False, True
        self.wrong: dict[str, Any] = {}
        self.raising: set[str] = set()
        self.sent: list[tuple[float, Target]] = []
        self.stops: list[float] = []
        self.recovers = 0
        self.travelled = 0.0  # metres on its own, not by hand
        self._pull, self._width, self._at = pose, 0.08, clock.now()
        self._state: ArmState | None = None

    def __exit__(self, *_: object) -> None:
        self._follow()
        self._pull = self.pose

    @property
    def features(self) -> ArmFeatures:
        return ArmFeatures("toy", real=False, home=HOME)

    def state(self) -> ArmState:
        self._fail("state")
        self._follow()
        if self._state is None or not self.lost:
            new = ArmState(self.pose, np.zeros(7), self._width, self.clock.now() - self.late, self.mode, self.errors)
            self._state = replace(new, **self.wrong)
        return self._state

    def send(self, target: Target) -> Target:
        if "send" not in self.raising or not self.deaf:
            self._follow()
            self.sent.append((self.clock.now(), target))
            self._pull, self._width = target.pose, target.width
        self._fail("send")
        return target

    def home(self) -> None:
        self._fail("home")
        if not self.mode.obeys:
            raise ArmError(f"the toy does not go home in mode '{self.mode.value}': let it recover")
        self.pose = self._pull = HOME

    def stop(self) -> None:
        self._fail("stop")
        self._follow()
        self._pull = self.pose
        self.stops.append(self.clock.now())

    def recover(self) -> None:
        self._fail("recover")
        self.recovers += 1
        self.errors, self.mode = (), Mode.IDLE

    def push(self, by: np.ndarray, rotvec: np.ndarray) -> None:
        """By hand: metres [3] along, and radians [3] about, the base's axes."""
        self._follow()
        self.pose = self.pose.moved(by, Rotation.from_rotvec(rotvec))

    def _fail(self, name: str) -> None:
        if name in self.raising:
            raise ArmError(f"the toy was told to fail at {name}")

    def _follow(self) -> None:
        past, self._at = self.clock.now() - self._at, self.clock.now()
        if past > 0 and self.mode.obeys:
            before, self.pose = self.pose, between(self.pose, self._pull, 1 - math.exp(-past / self.lag))
            self.travelled += float(np.linalg.norm(self.pose.position - before.position))
