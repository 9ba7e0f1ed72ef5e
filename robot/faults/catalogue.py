"""Every fault of the campaign: where it sits, when it begins, how long it lasts, and by what name it has to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from robot.faults import arm, camera, loop, policy, real_time

SHORT, LONG = 0.35, 2.5  # seconds: over before a person is asked, and not
EPISODES = 2  # of a session
COMMANDS = (1, 9, 24, 45)  # on which it begins: at once, on the way, at the handle, pulling
NAMES = {  # kinds of event of which one has to be told; none: limits alone catch it, and nothing need be said
    "error": {"arm error"},
    "error that goes away": {"arm error"},
    "reflex": {"arm error"},
    "reflex without error": {"arm error"},
    "stopped by its user": {"arm error"},
    "led by hand": {"arm error"},
    "state from before": {"time backwards", "stale state"},
    "state ahead of time": {"time ahead"},
    "width not a number": {"bad state"},
    "pushed away": {"out of reach"},
    "state late": {"stale state"},
    "state lost": {"arm error"},
    "command lost": {"arm error"},
    "command lost, and does not stop": {"cannot stop"},
    "freeze": {"stale picture"},
    "same picture, new times": {"frozen picture"},
    "drop": {"stale picture"},
    "black": {"black picture"},
    "grey": {"bad picture"},
    "another size": {"bad picture"},
    "duplicate stamp": {"duplicate stamp"},
    "time backwards": {"time backwards", "stale picture"},
    "time ahead": {"time ahead"},
    "unplugged": {"camera error"},
    "not a number": {"bad action"},
    "one not a number": {"bad action"},
    "infinite": {"bad action"},
    "slow": {"stale picture", "stale state", "stale command", "silence"},
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
        if self.part in (loop.PART, real_time.PART):
            return f"{self.part}: {self.kind}, after command {self.command}"
        lasts = "until mended" if math.isinf(self.seconds) else f"{self.seconds:g} s"
        return f"{self.part}: {self.kind}, from command {self.command}, {lasts}"

    @property
    def told_as(self) -> frozenset[str]:
        names = real_time.NAMES if self.part == real_time.PART else NAMES
        return frozenset(names.get(self.kind, ()))

    @property
    def on_the_wall(self) -> bool:
        """Whether it takes real time: then nothing should run beside it."""
        return self.part == real_time.PART

    @property
    def breaks_off(self) -> bool:
        """Whether the session ends with the error that was injected."""
        return self.part == loop.PART or self.kind == real_time.CTRL_C

    @property
    def episodes(self) -> int:
        """That the session saves at least."""
        if self.breaks_off:
            return 0
        return 1 if self.kind == real_time.KILLED else EPISODES  # its own: there is no arm for another


def catalogue(cameras: tuple[str, ...] = ("world", "wrist")) -> Iterator[Case]:
    for command in COMMANDS:
        for kind in arm.KINDS:
            lasting = (math.inf,) if kind in arm.FOR_GOOD else (SHORT, LONG)
            yield from (Case("arm", kind, command, seconds) for seconds in lasting)
        for name in cameras:
            for kind in camera.KINDS:
                lasting = (LONG,) if kind == camera.UNMOVED else (SHORT, LONG)  # it shows once the arm has moved
                yield from (Case(name, kind, command, seconds) for seconds in lasting)
        yield from (Case("policy", kind, command, seconds) for kind in policy.KINDS for seconds in (SHORT, LONG))
    yield from (Case(loop.PART, kind, command, math.inf) for kind in loop.KINDS for command in loop.COMMANDS)
    yield from (Case(real_time.PART, kind, real_time.COMMAND, real_time.FROZEN) for kind in real_time.NAMES)
