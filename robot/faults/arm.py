"""What can go wrong with an arm, between it and whoever reads and commands it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from robot.faults.through import Through
from robot.faults.trigger import Trigger
from robot.hardware.arm import Arm, ArmError, ArmState, Mode, Target

PUSHED = np.array([0.0, 0.25, 0.0])  # metres, by a person's hand
FOR_GOOD = ("error", "reflex", "reflex without error")  # until a person has it recover

_SEEN: dict[str, Callable[[ArmState], ArmState]] = {
    "error": lambda s: replace(s, mode=Mode.OTHER, errors=("joint_velocity_violation",)),
    "error that goes away": lambda s: replace(s, errors=("cartesian_reflex",)),
    "reflex": lambda s: replace(s, mode=Mode.REFLEX, errors=("cartesian_reflex",)),
    "reflex without error": lambda s: replace(s, mode=Mode.REFLEX, errors=()),
    "stopped by its user": lambda s: replace(s, mode=Mode.STOPPED),
    "led by hand": lambda s: replace(s, mode=Mode.GUIDING),
    "state from before": lambda s: replace(s, time=s.time - 1.0),
    "state ahead of time": lambda s: replace(s, time=s.time + 1.0),
    "width not a number": lambda s: replace(s, width=float("nan")),
    "pushed away": lambda s: replace(s, pose=s.pose.moved(PUSHED, s.pose.rotation * s.pose.rotation.inv())),
}
_CALLS = ("state late", "state lost", "command lost", "command lost, and does not stop")
ARM_FAULTS = (*_SEEN, *_CALLS)


class FaultyArm(Through):
    """An Arm with one fault, on while its trigger is."""

    def __init__(self, arm: Arm, kind: str, trigger: Trigger) -> None:
        super().__init__(arm)
        self.arm, self.kind, self.trigger = arm, kind, trigger
        self._late: ArmState | None = None

    def state(self) -> ArmState:
        if not self.trigger.on:
            self._late = None
            return self.arm.state()
        if self.kind == "state lost":
            raise ArmError("no state from the arm: connection lost")
        if self.kind == "state late":
            self._late = self._late or self.arm.state()
            return self._late
        return _SEEN.get(self.kind, lambda s: s)(self.arm.state())

    def send(self, target: Target) -> Target:
        if self.trigger.on and self.kind in ("command lost", "command lost, and does not stop"):
            raise ArmError("the arm refused the command: motion aborted by reflex")
        sent = self.arm.send(target)
        self.trigger.sent()
        return sent

    def home(self) -> None:
        if self.trigger.on and self.kind in (*FOR_GOOD, "state lost"):
            raise ArmError("the arm does not go home: it takes no command")
        self.arm.home()

    def stop(self) -> None:
        self.arm.stop()
        if self.trigger.on and self.kind == "command lost, and does not stop":
            raise ArmError("no answer to stop")

    def recover(self) -> None:
        self.trigger.mended()
        self.arm.recover()
