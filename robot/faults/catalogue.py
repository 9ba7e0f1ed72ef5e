"""Every fault of the campaign: where it sits, when it begins, how long it lasts, and by what name it has to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from robot.faults import arm, camera, loop, policy, real_time
from robot.hardware.fault_kind import FaultKind

SHORT, LONG = 0.35, 2.5  # seconds: over before a person is asked, and not
CASE_EPISODES = 2  # of a session
_COMMANDS = (1, 9, 24, 45)  # on which it begins: at once, on the way, at the handle, pulling
EXPECTED_EVENTS = {  # kinds of event of which one has to be told; none: only limits catch it, and nothing need be said
    "error": {FaultKind.ARM_ERROR},
    "error that goes away": {FaultKind.ARM_ERROR},
    "reflex": {FaultKind.ARM_ERROR},
    "reflex without error": {FaultKind.ARM_ERROR},
    "stopped by its user": {FaultKind.ARM_ERROR},
    "led by hand": {FaultKind.ARM_ERROR},
    "state from before": {FaultKind.TIME_BACKWARDS, FaultKind.STALE_STATE},
    "state ahead of time": {FaultKind.TIME_AHEAD},
    "width not a number": {FaultKind.BAD_STATE},
    "pushed away": {FaultKind.OUT_OF_REACH},
    "state late": {FaultKind.STALE_STATE},
    "state lost": {FaultKind.ARM_ERROR},
    "command lost": {FaultKind.ARM_ERROR},
    "command lost, and does not stop": {FaultKind.CANNOT_STOP},
    "freeze": {FaultKind.STALE_IMAGE},
    "same image, new times": {FaultKind.FROZEN_IMAGE},
    "drop": {FaultKind.STALE_IMAGE},
    "black": {FaultKind.BLACK_IMAGE},
    "grey": {FaultKind.BAD_IMAGE},
    "another size": {FaultKind.BAD_IMAGE},
    "duplicate stamp": {FaultKind.DUPLICATE_STAMP},
    "time backwards": {FaultKind.TIME_BACKWARDS, FaultKind.STALE_IMAGE},
    "time ahead": {FaultKind.TIME_AHEAD},
    "unplugged": {FaultKind.CAMERA_ERROR},
    "not a number": {FaultKind.BAD_ACTION},
    "one not a number": {FaultKind.BAD_ACTION},
    "infinite": {FaultKind.BAD_ACTION},
    "slow": {FaultKind.STALE_IMAGE, FaultKind.STALE_STATE, FaultKind.STALE_COMMAND, FaultKind.SILENCE},
}


@dataclass(frozen=True)
class Case:
    """One fault of one session."""

    part: str  # arm, policy, a camera's name, loop, or real time
    kind: str
    command: int  # on which it begins
    seconds: float  # that it lasts; infinite: until a person mends it

    @property
    def name(self) -> str:
        if self.part in (loop.LOOP_PART, real_time.REAL_TIME_PART):
            return f"{self.part}: {self.kind}, after command {self.command}"
        lasts = "until mended" if math.isinf(self.seconds) else f"{self.seconds:g} s"
        return f"{self.part}: {self.kind}, from command {self.command}, {lasts}"

    @property
    def told_as(self) -> frozenset[FaultKind]:
        names = real_time.REAL_TIME_EVENTS if self.part == real_time.REAL_TIME_PART else EXPECTED_EVENTS
        return frozenset(names.get(self.kind, ()))

    @property
    def on_the_wall(self) -> bool:
        """Whether it takes real time: then nothing should run beside it."""
        return self.part == real_time.REAL_TIME_PART

    @property
    def breaks_off(self) -> bool:
        """Whether the session ends with the error that was injected."""
        return self.part == loop.LOOP_PART or self.kind == real_time.CTRL_C

    @property
    def episodes(self) -> int:
        """That the session saves at least."""
        if self.breaks_off:
            return 0
        return 1 if self.kind == real_time.KILLED else CASE_EPISODES  # its own: there is no arm for another


def catalogue(cameras: tuple[str, ...] = ("world", "wrist")) -> Iterator[Case]:
    """Every fault of a session: each part's, in each of its kinds, at each command, short and long."""
    for command in _COMMANDS:
        for kind in arm.ARM_FAULTS:
            lasting = (math.inf,) if kind in arm.FOR_GOOD else (SHORT, LONG)
            yield from (Case("arm", kind, command, seconds) for seconds in lasting)
        for name in cameras:
            for kind in camera.CAMERA_FAULTS:
                lasting = (LONG,) if kind == camera.UNMOVED else (SHORT, LONG)  # it shows once the arm has moved
                yield from (Case(name, kind, command, seconds) for seconds in lasting)
        yield from (
            Case("policy", kind, command, seconds) for kind in policy.POLICY_FAULTS for seconds in (SHORT, LONG)
        )
    yield from (
        Case(loop.LOOP_PART, kind, command, math.inf) for kind in loop.LOOP_FAULTS for command in loop.FAULTY_COMMANDS
    )
    yield from (
        Case(real_time.REAL_TIME_PART, kind, real_time.COMMAND, real_time.FROZEN) for kind in real_time.REAL_TIME_EVENTS
    )
