"""The only way to the arm: every command goes through here, is limited, and is refused while anything is wrong.

Refused means held: the arm is stopped where it is, the reason is said, and where a person has to look, it asks. A fault
of that kind is latched: it stays until `resume`, even if the controller no longer shows it. Nothing here ever tells the
arm to recover.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot.action import Action, target_of
from robot.arm import Arm, ArmError, ArmState, Target
from robot.clock import Clock
from robot.pose import Pose
from robot.safety import Limits, Step, broken, limited, within_second
from robot.watch import Seen, Watch


@dataclass(frozen=True)
class Event:
    """Something that a person should know."""

    time: float  # seconds of the clock
    kind: str  # a few words, to be counted: "stale picture", "arm error", ...
    message: str  # one line
    ask: bool  # whether a person has to look before it goes on


@dataclass(frozen=True, eq=False)
class Sent:
    """What the arm was really sent, and the limits that it met."""

    target: Target
    met: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """Nothing was sent: the arm holds where it is."""

    event: Event


class Guard:
    """Between any policy and one arm. `told` hears of every event, once where it lasts.

    Safe to use from two threads: the control loop's and the watchdog's.
    """

    def __init__(
        self, arm: Arm, limits: Limits, clock: Clock, told: Callable[[Event], None] = lambda event: None
    ) -> None:
        self.arm, self.limits, self.clock, self.told = arm, limits, clock, told
        self.latched: Event | None = None
        self.log: list[Event] = []
        self._lock = threading.RLock()
        self._last: Pose | None = None  # commanded last; none while held
        self._steps: deque[Step] = deque()
        self._heard = self._fresh = clock.now()  # the last command; the last time that all was fresh
        self._watch = Watch(limits)
        self._lasting = ""  # kind of the event that lasts

    def act(self, action: Action, seen: Seen) -> Sent | Held:
        """Send the arm where an action wants it, made of what was seen: or hold it, and say why."""
        with self._lock:
            now = self.clock.now()
            wrong = self._wrong(seen, now)
            if wrong is not None:
                return self._hold(wrong)
            self._fresh = now
            try:
                wish = target_of(action, seen.state)
            except ValueError as error:
                return self._hold(Event(now, "bad action", f"the policy's action is none: {error}", ask=False))
            return self._send(wish, seen.state, now)

    def watch(self) -> None:
        """Stop an arm that has heard no command for too long, since the loop that commands it hangs. Called by a
        watchdog, several times a second."""
        with self._lock:
            silent = self.clock.now() - self._heard
            if self._last is not None and silent > self.limits.silence:
                self._hold(Event(self.clock.now(), "silence", f"no command for {silent:.2f} s: stopped", ask=False))

    def fault(self, kind: str, message: str) -> Held:
        """Hold and ask: of something that was noticed elsewhere."""
        with self._lock:
            return self._hold(Event(self.clock.now(), kind, message, ask=True))

    def rest(self) -> None:
        """Between episodes: hold, with nothing wrong."""
        with self._lock:
            self._last, self._lasting = None, ""
            self._stop()

    def resume(self) -> None:
        """A person has looked, and says that it goes on."""
        with self._lock:
            self.latched, self._lasting, self._last = None, "", None
            self._fresh = self._heard = self.clock.now()

    def _wrong(self, seen: Seen, now: float) -> Event | None:
        state, limits = seen.state, self.limits
        if self.latched is not None:
            return self.latched
        if state.errors or not state.mode.obeys:
            named = ", ".join(state.errors) or "no error named"
            return Event(now, "arm error", f"the arm is in mode '{state.mode.value}' ({named})", ask=True)
        late = self._late(seen, now)
        if late is None:
            return None
        lost = now - self._fresh
        if lost > limits.lost:
            return Event(now, late.kind, f"{late.message}; so for {lost:.1f} s", ask=True)
        return late

    def _late(self, seen: Seen, now: float) -> Event | None:
        """What is too old, from the future, or no news although it says so."""
        kind, message = self._watch.wrong(seen, now)
        return Event(now, kind, message, ask=False) if kind else None

    def _send(self, wish: Target, state: ArmState, now: float) -> Sent | Held:
        last = self._last
        if last is None:
            last = Pose(np.clip(state.pose.position, self.limits.low, self.limits.high), state.pose.quaternion)
        used = within_second(self._steps, now)
        found = limited(wish, last, state, used, self.limits)
        if isinstance(found, str):
            return self._hold(Event(now, "out of reach", found, ask=True))
        if wrong := broken(found.target, last, state, used, self.limits):
            return self._hold(Event(now, "limit", f"a command would break: {', '.join(wrong)}", ask=True))
        try:
            sent = self.arm.send(found.target)
        except ArmError as error:
            return self._hold(Event(now, "arm error", str(error), ask=True))
        while self._steps and self._steps[0].time <= now - 1:
            self._steps.popleft()
        self._steps.append(Step(now, found.step, found.turn))
        self._last, self._heard, self._lasting = found.target.pose, now, ""
        return Sent(sent, found.met)

    def _hold(self, event: Event) -> Held:
        if event.ask and self.latched is None:
            self.latched = event
        if event.kind != self._lasting:  # told once, not ten times a second
            self._lasting = event.kind
            self.log.append(event)
            self.told(event)
        self._last = None
        self._stop()
        return Held(event)

    def _stop(self) -> None:
        try:
            self.arm.stop()
        except ArmError as error:
            if self.latched is None or self.latched.kind != "cannot stop":
                self.latched = Event(self.clock.now(), "cannot stop", f"the arm did not stop: {error}", ask=True)
                self.log.append(self.latched)
                self.told(self.latched)
