"""A loop around a guard that faults are put into. It checks every command that gets out, by an oracle of its own:
distances by numpy, turns by scipy, time as it truly passed.

What is in force is what the arm was sent last; once the arm has stopped, where it is measured to stand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from robot.hardware.arm import ArmError, ArmState, Mode, Target
from robot.hardware.camera import CameraImage
from robot.hardware.counting import FROM_MEASURED
from robot.hardware.pose import Pose
from robot.safety.guard import Event, Guard, Held, Sent
from robot.safety.limits import Limits
from robot.safety.watch import Seen
from tests.toy_arm import HOME, ToyArm, ToyClock

LIMITS = Limits()
RIGHT = np.array([0, 1, 0, 0, 0, 0, 1, 0.0])
NAN, INF = float("nan"), float("inf")


def apart(one: Pose, other: Pose) -> tuple[float, float]:
    turn = one.rotation * other.rotation.inv()
    return float(np.linalg.norm(one.position - other.position)), float(turn.magnitude())


class Session:
    """A loop around a guard that faults are put into; checks every command that gets out."""

    def __init__(self, pose: Pose = HOME, limits: Limits = LIMITS, targets: str = FROM_MEASURED) -> None:
        self.clock, self.true = ToyClock(100.0), 0.0  # the clock may run wrong; this is the time that passed
        self.arm = ToyArm(self.clock, pose)
        self.told: list[Event] = []
        self.guard = Guard(self.arm, limits, self.clock, self.told.append, targets)
        self.number = 0
        self.force: Pose | None = None  # none: the arm was stopped
        self.stops = 0
        self.sent: float | None = None  # when a command got out; none after a person's word
        self.steps: list[tuple[float, float, float]] = []  # true time, metres, radians

    def pass_time(self, seconds: float, clock: float | None = None) -> None:
        self.true += seconds
        self.clock.advance(seconds if clock is None else clock)

    def images(self) -> dict[str, CameraImage]:
        self.number += 1
        image = np.full((4, 4, 3), 40 + self.number % 200, np.uint8)
        return {"world": CameraImage(image, self.clock.now() - 0.02, self.number)}

    def seen(self) -> Seen:
        return Seen(self.arm.state(), self.images(), self.clock.now())

    def act(self, action: Any, change: Callable[[Seen], Seen] = lambda seen: seen) -> Sent | Held | None:
        """One turn of the loop; none where the arm did not even give its state."""
        latched, already = self.guard.latched, len(self.arm.sent)
        if len(self.arm.stops) > self.stops:  # by a person, or the watchdog
            self.force = None
        try:
            seen = change(self.seen())
        except ArmError as error:
            line = str(error)
            self.told_of(lambda: self.guard.fault("arm error", line))
            return None
        done = self.told_of(lambda: self.guard.act(action, seen))
        commands = [target for _, target in self.arm.sent[already:]]
        assert len(commands) <= 1 and not (latched and commands), "sent something while latched"
        assert isinstance(done, Held) or len(commands) == 1
        for command in commands:
            self.check(command, seen.state)
        self.force, self.stops = commands[0].pose if isinstance(done, Sent) else None, len(self.arm.stops)
        assert self.guard.latched is latched or latched is None, "an error cleared itself"
        if isinstance(done, Held) and self.guard.latched is not None:
            assert done.event is self.guard.latched
        return done

    def told_of(self, does: Callable[[], Any]) -> Any:
        """Does it; nothing is told twice while nothing gets out."""
        before = len(self.told)
        done = does()
        assert self.told == self.guard.log
        kinds = [(told.kind, told.ask) for told in self.told[before:]]
        assert len(kinds) <= 2 and len(set(kinds)) == len(kinds)
        return done

    def check(self, command: Target, state: ArmState) -> None:
        pose = command.pose
        assert np.isfinite([*pose.position, *pose.quaternion, command.width]).all()
        assert abs(np.linalg.norm(pose.quaternion) - 1) < 1e-9
        for side, end in ((1, LIMITS.low), (-1, LIMITS.high)):
            assert (side * pose.position >= side * np.array(end) - 1e-8).all()
        assert LIMITS.narrowest <= command.width <= LIMITS.widest
        lead, step = apart(pose, state.pose), apart(pose, self.force or state.pose)
        assert lead[0] <= LIMITS.lead + 1e-8 and lead[1] <= LIMITS.lead_turn + 2e-6
        assert step[0] <= LIMITS.step + 1e-8 and step[1] <= LIMITS.turn + 2e-6
        self.steps.append((self.true, *step))
        second = [moved for moved in self.steps if moved[0] >= self.true - 1]  # ends with every command: any window
        assert sum(moved[1] for moved in second) <= LIMITS.second + 1e-6
        assert sum(moved[2] for moved in second) <= LIMITS.second_turn + 1e-4


# What goes wrong in a turn of the loop: with the arm, or with what is seen. Those named in HELD are always noticed.
def arm_with(**fields: Any) -> Callable[[ToyArm], None]:
    def change(arm: ToyArm) -> None:
        for name, value in fields.items():
            setattr(arm, name, value)

    return change


ARM = {
    "error": arm_with(errors=("cartesian_reflex",)),
    "reflex, no flag": arm_with(mode=Mode.REFLEX),
    "button": arm_with(mode=Mode.STOPPED),
    "guided": arm_with(mode=Mode.GUIDING),
    "late": arm_with(late=0.15),
    "a little late": arm_with(late=0.09),
    "lost": arm_with(lost=True),
    "ahead": arm_with(late=-5.0),
    "no time": arm_with(wrong={"time": NAN}),
    "endless time": arm_with(wrong={"time": INF}),
    "joints": arm_with(wrong={"joints": np.full(7, NAN)}),
    "width": arm_with(wrong={"width": NAN}),
    "state raises": arm_with(raising={"state"}),
    "send raises": arm_with(raising={"send"}),
    "send raises, heard": arm_with(raising={"send"}, deaf=False),
    "stop raises": arm_with(raising={"stop"}),
    "all raise": arm_with(raising={"send", "stop"}, deaf=False),
}


def image_with(late: float = 0.0, **fields: Any) -> Callable[[Seen], Seen]:
    def change(seen: Seen) -> Seen:
        changed = {name: replace(one, **{"time": one.time - late, **fields}) for name, one in seen.images.items()}
        return replace(seen, images=changed)

    return change


SEEN = {
    "stale": image_with(late=0.09),  # with the 0.02 s that any image takes
    "long stale": image_with(late=0.5),
    "a little late": image_with(late=0.07),
    "image ahead": image_with(late=-9.0),
    "image without time": image_with(time=NAN),
    "black": image_with(image=np.zeros((4, 4, 3), np.uint8)),
    "frozen": image_with(image=np.full((4, 4, 3), 99, np.uint8)),
    "one number": image_with(number=1),
    "no uint8": image_with(image=np.full((4, 4, 3), NAN)),
    "no image": lambda seen: replace(seen, images={}),
    "old": lambda seen: replace(seen, time=seen.time - 0.5),
    "of no time": lambda seen: replace(seen, time=NAN),
}
HELD = set(ARM) - {"a little late", "lost", "stop raises", "state raises"} | set(SEEN) - {
    "a little late", "frozen", "one number", "no image"
}  # fmt: skip


def run(session: Session, count: int, action: Any = RIGHT, change: Any = lambda seen: seen) -> list[Any]:
    made = []
    for _ in range(count):
        session.pass_time(0.1)
        made.append(session.act(action, change))
    return made


def kinds(session: Session) -> list[tuple[str, bool]]:
    return [(told.kind, told.ask) for told in session.told]
