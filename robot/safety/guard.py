"""The only way to the arm: every command goes through here, is limited, and is refused while anything is wrong.

Refused means held: the arm is stopped where it is, the reason is said, and where a person has to look, it asks. A fault
of that kind is latched: it stays until `resume`, even if the controller no longer shows it. Nothing here ever tells the
arm to recover.

What is in force is what the arm was sent last; once it has stopped, where it is measured after that. The steps of a
second count on through a stop: with the lead they bound how far the arm goes in a second, whatever stops between.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from robot.hardware.action import RobotAction, target_of
from robot.hardware.arm import Arm, ArmState, Target
from robot.hardware.clock import Clock
from robot.hardware.counting import FROM_LAST, FROM_MEASURED
from robot.hardware.fault_kind import FaultKind
from robot.hardware.pose import Pose
from robot.safety.limits import Limits, OutOfReach, Step, broken, limited, within_second
from robot.safety.watch import CLOCK_TOLERANCE_S, SafetyWatch, Seen

ONCE = 1.0  # second without it, in which commands went out, after which an event is told again


@dataclass(frozen=True)
class Event:
    """Something that a person should know."""

    time: float  # seconds of the clock
    kind: FaultKind
    message: str  # one line
    ask: bool  # whether a person has to look before it goes on


@dataclass(frozen=True, eq=False)
class Sent:
    """What the arm was really sent, and the limits that it met."""

    target: Target
    counted_from: Pose  # what the action moved and turned
    met: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """Nothing was sent: the arm holds where it is. Because of what is latched, where something is."""

    event: Event


class Guard:
    """Between any policy and one arm. `on_event` hears of every event, once where it lasts; it has to return at once.
    `targets`: what actions count from, the measured pose or the last target; after a stop both are the measured one.

    Safe to use from two threads: the control loop's and the watchdog's.
    """

    def __init__(
        self,
        arm: Arm,
        limits: Limits,
        clock: Clock,
        on_event: Callable[[Event], None] = lambda event: None,
        targets: str = FROM_MEASURED,
    ) -> None:
        self.targets = targets
        self.arm, self.limits, self.clock, self.on_event = arm, limits, clock, on_event
        self.latched: Event | None = None
        self.log: list[Event] = []
        self._lock = threading.RLock()
        self._watch = SafetyWatch(limits)
        self._last: Pose | None = None  # commanded last; none while held
        self._still, self._stopped = True, float("-inf")  # whether the arm has stopped, and when
        self._steps: deque[Step] = deque()
        self._now = clock.now()  # the newest time
        self._heard: float | None = None  # when `act` was last called; none before the first time in an episode
        self._since: float | None = None  # since when nothing was sent; none before there was anything to send
        self._lasting: dict[tuple[str, bool], float] = {}  # kinds of events that were told, and their newest time

    def act(self, action: RobotAction, seen: Seen) -> Sent | Held:
        """Send the arm where an action wants it, made of what was seen: or hold it, and say why."""
        with self._lock:
            try:
                if self.latched is not None:
                    return self._hold(self.latched)
                now = self._heard = self.clock.now()
                wrong = self._wrong(seen, now) or self._silent(now)
                if wrong is not None:
                    return self._refuse(wrong)
                origin = self._last if self.targets == FROM_LAST and self._last is not None else seen.state.pose
                try:
                    wish = target_of(action, replace(seen.state, pose=origin))
                except ValueError as error:
                    why = f"the policy's action is none: {error}"
                    return self._refuse(Event(now, FaultKind.BAD_ACTION, why, ask=False))
                return self._send(wish, origin, seen.state, now)
            except BaseException as error:  # a mistake of ours, or Ctrl-C: never with the arm in motion
                self._hold(Event(self._now, FaultKind.GUARD_FAILED, f"{type(error).__name__}: {error}", ask=True))
                raise

    def watch(self) -> None:
        """Stop an arm that has heard no command for too long, since the loop that commands it hangs.

        Ask where that lasts; try again where it did not stop. Called by a watchdog, several times a second.
        """
        if not self._lock.acquire(timeout=self.limits.silence):  # it hangs in the arm itself: no time for manners
            self._hold(Event(self._now, FaultKind.SILENCE, "the arm does not answer: told to stop", ask=True))
            return
        try:
            now = self.clock.now()
            silent = 0.0 if self._heard is None else now - self._heard
            if self.latched is not None:
                if not self._still:
                    self._hold(self.latched)
            elif silent > self.limits.lost:
                self._hold(Event(now, FaultKind.SILENCE, f"no command for {silent:.1f} s", ask=True))
            elif not self._still and not 0 <= silent <= self.limits.silence:
                short = Event(now, FaultKind.SILENCE, f"no command for {silent:.2f} s", ask=False)
                self._hold(self._backwards(now) or short)
        finally:
            self._lock.release()

    def fault(self, kind: FaultKind, message: str) -> Held:
        """Hold and ask: of something that was noticed elsewhere."""
        with self._lock:
            return self._hold(Event(self.clock.now(), kind, message, ask=True))

    def check(self, state: ArmState) -> None:
        """Hold and ask, if the arm itself says that something is wrong: where nothing is sent, between episodes."""
        with self._lock:
            if wrong := self._troubled(state, self.clock.now()):
                self._hold(wrong)

    def rest(self) -> None:
        """Between episodes: hold, with nothing wrong. What is latched stays so."""
        with self._lock:
            self._heard = self._since = None
            if self.latched is None:
                self._lasting = {}
            self._watch.looked(self.clock.now())
            self._halt()

    def resume(self) -> None:
        """A person has looked, and says that it goes on: from where the arm stands, stopped."""
        with self._lock:
            self.latched, self._heard, self._since, self._lasting = None, None, None, {}
            now = self._now = self.clock.now()
            self._stopped = min(self._stopped, now)
            self._steps = deque(replace(step, time=min(step.time, now)) for step in self._steps)  # a clock set back
            self._watch.looked(now)
            if not self._still:
                self._halt()

    def _wrong(self, seen: Seen, now: float) -> Event | None:
        if backwards := self._backwards(now):
            return backwards
        self._now, state = now, seen.state
        if troubled := self._troubled(state, now):
            return troubled
        wrong = self._watch.wrong(seen, now)
        if wrong is None and self._last is None and state.time < self._stopped - CLOCK_TOLERANCE_S:
            wrong = FaultKind.STALE_STATE, "the arm's state is from before it stopped"
        return Event(now, *wrong, ask=wrong[0] == FaultKind.ARM_JUMPED) if wrong else None

    def _troubled(self, state: ArmState, now: float) -> Event | None:
        if not state.errors and state.mode.obeys:
            return None
        named = ", ".join(state.errors) or "no error named"
        return Event(now, FaultKind.ARM_ERROR, f"the arm is in mode '{state.mode.value}' ({named})", ask=True)

    def _silent(self, now: float) -> Event | None:
        """Nothing is wrong any more, but for so long nothing was sent that who knows what stands there now."""
        silent = 0.0 if self._since is None else now - self._since
        if silent <= self.limits.lost:
            return None
        return Event(now, FaultKind.SILENCE, f"nothing was sent for {silent:.1f} s", ask=True)

    def _backwards(self, now: float) -> Event | None:
        if now >= self._now:
            return None
        return Event(now, FaultKind.CLOCK_BACKWARDS, f"the clock went from {self._now:.3f} to {now:.3f} s", ask=True)

    def _refuse(self, event: Event) -> Held:
        """Hold; and ask, once nothing was sent for too long, for whatever reasons."""
        if self._since is None:
            self._since = event.time
        lost = event.time - self._since
        if lost > self.limits.lost and not event.ask:
            event = replace(event, message=f"{event.message}; nothing was sent for {lost:.1f} s", ask=True)
        return self._hold(event)

    def _send(self, wish: Target, origin: Pose, state: ArmState, now: float) -> Sent | Held:
        last = self._last or state.pose
        used = within_second(self._steps, now)
        try:
            found = limited(wish, last, state, used, self.limits)
        except OutOfReach as error:
            return self._refuse(Event(now, FaultKind.OUT_OF_REACH, str(error), ask=self._lasts(wish, last, state)))
        if wrong := broken(found.target, last, state, used, self.limits):
            return self._refuse(Event(now, FaultKind.LIMIT, f"a command would break: {', '.join(wrong)}", ask=True))
        while self._steps and self._steps[0].time < now - 2:
            self._steps.popleft()
        self._steps.append(Step(now, found.step, found.turn))  # and if it fails: the arm may have heard it
        self._still = False
        try:
            sent = self.arm.send(found.target)
        except Exception as error:  # an adapter may let through what its library raises
            return self._refuse(Event(now, FaultKind.ARM_ERROR, _line(error), ask=True))
        self._last, self._still, self._since = sent.pose, False, now
        if self.latched is not None:  # by the watchdog, while the arm did not answer
            return self._hold(self.latched)
        self._lasting = {key: time for key, time in list(self._lasting.items()) if now - time <= ONCE}
        return Sent(sent, origin, found.met)

    def _lasts(self, wish: Target, last: Pose, state: ArmState) -> bool:
        """Whether a wish that is out of reach would be so with nothing used up: else it is a matter of time."""
        try:
            limited(wish, last, state, (0, 0), self.limits)
        except OutOfReach:
            return True
        return False

    def _hold(self, event: Event) -> Held:
        """Stop first, then say so."""
        if event.ask and self.latched is None:
            self.latched = event
        self._halt(event)
        return Held(self.latched or event)

    def _halt(self, event: Event | None = None) -> None:
        """Stop the arm, for what is told then; where it does not stop, that is told too, and latched."""
        self._last = None
        events = [] if event is None else [event]
        try:
            self.arm.stop()
        except Exception as error:
            why = f"the arm did not stop: {_line(error)}"
            events.append(Event(self.clock.now(), FaultKind.CANNOT_STOP, why, ask=True))
            self.latched, self._still = self.latched or events[-1], False
        else:
            self._stopped = self._stopped if self._still else self.clock.now()
            self._still = True
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        key = (event.kind, event.ask)
        lasts, self._lasting[key] = key in self._lasting, event.time
        if lasts:
            return
        self.log.append(event)
        try:
            self.on_event(event)
        except Exception as error:  # nobody hears: then it does not go on
            self.latched = self.latched or replace(event, ask=True)
            self.log.append(Event(self._now, FaultKind.CANNOT_TELL, f"nobody was told: {_line(error)}", ask=True))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
