"""The watchdog, a second thread, and what fails in the guard's own hands: stop, send, the listener."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from robot.hardware.arm import ArmError, Mode, Target
from robot.safety.guard import Event, Guard, Held, Sent
from robot.safety.limits import Limits
from robot.safety.watch import Seen
from robot.safety.watchdog import Watchdog
from tests.toy_arm import ToyArm, ToyClock
from tests.toy_session import RIGHT, SEEN, Session, kinds, run
from tests.waiting import until


def test_an_arm_that_does_not_stop_is_told_again_and_again_and_a_person_once() -> None:
    session = Session()
    run(session, 2)
    session.arm.raising = {"stop"}
    run(session, 1, change=SEEN["stale"])
    assert kinds(session) == [("stale image", False), ("cannot stop", True)]
    session.guard.watch()
    session.guard.resume()  # it still does not
    assert session.guard.latched is not None and session.arm.stops == []
    run(session, 5)
    session.arm.raising = set()
    session.guard.watch()  # no loop is needed
    assert len(session.arm.stops) == 1 and session.guard.latched is not None
    session.guard.watch()
    assert len(session.arm.stops) == 1
    assert kinds(session)[2:] == [("cannot stop", True)]  # again after a person said go


def test_the_watchdog_stops_a_silent_arm_once_and_leaves_one_at_rest() -> None:
    session = Session()
    session.pass_time(10)
    session.guard.watch()  # nothing was ever sent
    assert session.arm.stops == []
    run(session, 2)
    session.pass_time(0.4)
    session.guard.watch()
    assert session.arm.stops == []
    session.pass_time(0.2)
    session.guard.watch()
    session.guard.watch()
    assert len(session.arm.stops) == 1 and kinds(session) == [("silence", False)]
    assert isinstance(run(session, 1)[0], Sent)
    session.guard.rest()
    session.pass_time(10)
    session.guard.watch()
    assert len(session.arm.stops) == 2 and len(session.told) == 1


def test_a_loop_that_hung_for_long_goes_on_only_where_a_person_says_so() -> None:
    session = Session()
    run(session, 2)
    session.pass_time(6.0)  # nobody watches: stopped by a debugger, say
    assert isinstance(run(session, 1)[0], Held) and kinds(session) == [("silence", True)]
    session.guard.resume()
    assert isinstance(run(session, 1)[0], Sent)

    for _ in range(2):
        session.pass_time(0.6)
        session.guard.watch()
    assert kinds(session)[1:] == [("silence", False), ("silence", True)] and session.guard.latched is not None
    assert isinstance(run(session, 1)[0], Held)
    session.guard.resume()
    session.pass_time(60)  # the person has the time they need, and so has what comes between episodes
    session.guard.watch()
    assert session.guard.latched is None and isinstance(run(session, 1)[0], Sent)
    session.guard.rest()
    session.pass_time(60)
    session.guard.watch()
    assert session.guard.latched is None and isinstance(run(session, 1)[0], Sent)


def test_a_loop_that_refuses_is_not_silent() -> None:
    session = Session()
    run(session, 2)
    for _ in range(9):
        run(session, 1, change=SEEN["stale"])
        session.guard.watch()
    assert kinds(session) == [("stale image", False)]


def test_the_watchdog_notices_a_clock_set_back() -> None:
    session = Session()
    run(session, 2)
    session.clock.advance(-100)
    session.guard.watch()
    assert len(session.arm.stops) == 1 and kinds(session) == [("clock backwards", True)]


@dataclass
class HangingArm(ToyArm):
    """Its `send` does not return before it is let go."""

    let_go: threading.Event = field(default_factory=threading.Event)
    hangs: threading.Event = field(default_factory=threading.Event)

    def __init__(self, clock: ToyClock) -> None:
        super().__init__(clock)
        self.let_go, self.hangs = threading.Event(), threading.Event()

    def send(self, target: Target) -> Target:
        self.hangs.set()
        assert self.let_go.wait(60)
        return super().send(target)


def test_the_watchdog_stops_an_arm_whose_send_hangs() -> None:
    clock = ToyClock()
    arm = HangingArm(clock)
    guard = Guard(arm, Limits(silence=0.02), clock)
    seen, made = Seen(arm.state(), {}, clock.now()), []
    loop = threading.Thread(target=lambda: made.append(guard.act(RIGHT, seen)), daemon=True)
    loop.start()
    assert arm.hangs.wait(60)
    watchdog = threading.Thread(target=guard.watch, daemon=True)
    watchdog.start()
    watchdog.join(60)
    assert arm.stops and guard.latched is not None and guard.latched.kind == "silence"
    arm.let_go.set()
    loop.join(60)
    assert isinstance(made[0], Held) and len(arm.stops) == 2  # what got through in the end is stopped too


def test_the_toy_does_not_go_home_in_a_mode_that_does_not_obey() -> None:
    arm = ToyArm(ToyClock())
    for arm.mode in Mode:
        if arm.mode.obeys:
            arm.home()
        else:
            with pytest.raises(ArmError, match="recover"):
                arm.home()


def test_two_threads_do_not_get_between_a_check_and_its_command() -> None:
    """A watchdog that finds every command silent at once: each stop is followed by a command from where the arm is."""
    session = Session(limits=Limits(silence=1e-9))
    guard, done = session.guard, threading.Event()
    stop_of, order = session.arm.stop, []
    send_of = session.arm.send
    inside = threading.Lock()

    def alone(name: str, does: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            assert inside.acquire(blocking=False), "two threads in the arm at once"
            order.append(name)
            time.sleep(1e-5)  # the other thread's chance
            made = does(*given)
            inside.release()
            return made

        return called

    session.arm.stop, session.arm.send = alone("stop", stop_of), alone("send", send_of)  # pyright: ignore
    guard.limits = replace(guard.limits, silence=2.0, lost=10)  # for the lock; time is the toy's own

    def watchdog() -> None:
        while not done.is_set():
            guard.watch()

    thread = threading.Thread(target=watchdog, daemon=True)
    thread.start()
    for step in range(300):
        session.pass_time(6.0 if step % 3 == 0 else 0.1)
        made = guard.act(RIGHT if step % 2 else -RIGHT, session.seen())
        assert isinstance(made, Sent), made
    done.set()
    thread.join(60)
    assert order.count("send") == 300


def test_a_listener_that_fails_does_not_keep_the_arm_moving() -> None:
    session = Session()
    run(session, 2)

    stopped = []

    def fails(_: Event) -> None:
        stopped.append(bool(session.arm.stops))
        raise OSError("disk full")

    session.guard.on_event = fails
    session.pass_time(0.1)
    done = session.guard.act(None, session.seen())  # pyright: ignore[reportArgumentType]
    assert isinstance(done, Held) and session.guard.latched is not None
    assert [logged.kind for logged in session.guard.log] == ["bad action", "cannot tell"]
    assert stopped == [True]  # before it is told
    assert done.event.ask and session.guard.latched.ask


def test_a_mistake_in_the_guard_stops_the_arm_and_is_not_hidden() -> None:
    session = Session()
    run(session, 2)
    with pytest.raises(AttributeError):
        session.guard.act(RIGHT, None)  # pyright: ignore[reportArgumentType]
    assert session.arm.stops and session.guard.latched is not None


@pytest.mark.parametrize("error", [ArmError("no"), RuntimeError("Net Exception"), KeyError("x")])
def test_whatever_an_adapter_raises_is_an_error_of_the_arm(error: Exception) -> None:
    session = Session()

    def raises(*_: object) -> Any:
        raise error

    session.arm.send = raises  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(session.guard.act(RIGHT, session.seen()), Held)
    assert kinds(session) == [("arm error", True)]


class BrokenGuard(Guard):
    """Its `watch` raises while `broken`; its `fault`, as often as `deaf` says."""

    broken, deaf, watched = True, 0, 0

    def watch(self) -> None:
        self.watched += 1
        if self.broken:
            raise ValueError("two\nlines")
        super().watch()

    def fault(self, kind: str, message: str) -> Held:
        if self.deaf:
            self.deaf -= 1
            raise ValueError("nor this")
        return super().fault(kind, message)


@pytest.mark.parametrize("deaf", [0, 2])
def test_a_watchdog_that_fails_holds_the_arm_says_so_once_and_lives(deaf: int) -> None:
    session = Session()
    guard = session.guard = BrokenGuard(session.arm, Limits(), session.clock, session.told.append)
    guard.deaf = deaf
    run(session, 2)
    with Watchdog(guard) as watchdog:
        until(lambda: guard.watched > 5)
        assert kinds(session) == [("watchdog", True)] and session.arm.stops
        assert session.told[0].message == "the watchdog failed: ValueError: two"
        assert guard.latched is not None and isinstance(run(session, 1)[0], Held)
        guard.broken = False
        watched = guard.watched
        until(lambda: guard.watched > watched + 1)
        guard.resume()
        assert isinstance(run(session, 1)[0], Sent)
        stops = len(session.arm.stops)
        session.pass_time(1.0)
        until(lambda: len(session.arm.stops) > stops)  # it watches again
    assert kinds(session) == [("watchdog", True), ("silence", False)]
    assert not watchdog._thread.is_alive()


def test_a_failure_that_could_not_be_told_is_told_later() -> None:
    session = Session()
    guard = BrokenGuard(session.arm, Limits(), session.clock, session.told.append)
    guard.deaf = 1
    with Watchdog(guard):
        until(lambda: session.arm.stops)  # for all that
        guard.broken = False
        until(lambda: session.told)
    assert kinds(session) == [("watchdog", True)]
