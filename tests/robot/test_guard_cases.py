"""The guard by hand: what is latched, told, forgotten, and what is in force after a stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot.hardware.arm import Mode, Target
from robot.safety.guard import Held, Sent
from tests.toy_arm import HOME
from tests.toy_session import ARM, LIMITS, NAN, RIGHT, SEEN, Session, apart, kinds, run


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("error", "arm error"),
        ("reflex, no flag", "arm error"),
        ("button", "arm error"),
        ("guided", "arm error"),
        ("state raises", "arm error"),
        ("send raises", "arm error"),
        ("send raises, heard", "arm error"),
    ],
)
def test_an_error_of_the_arm_stays_until_a_person_says_so(name: str, kind: str) -> None:
    session = Session()
    assert all(isinstance(done, Sent) for done in run(session, 3))
    session.arm.deaf = True
    ARM[name](session.arm)
    run(session, 1)
    assert kinds(session) == [(kind, True)]
    first = session.guard.latched
    session.arm.errors, session.arm.mode, session.arm.raising = (), Mode.IDLE, set()  # it clears by itself
    assert all(isinstance(done, Held) and done.event is first for done in run(session, 30))
    session.guard.rest()
    assert all(isinstance(done, Held) for done in run(session, 3))
    assert kinds(session) == [(kind, True)]  # told once
    ARM[name](session.arm)
    session.guard.resume()
    run(session, 3)  # the fault is still there
    assert session.guard.latched is not None and kinds(session) == [(kind, True)] * 2
    session.arm.errors, session.arm.mode, session.arm.raising = (), Mode.IDLE, set()
    session.guard.resume()
    assert all(isinstance(done, Sent) for done in run(session, 3))
    assert session.arm.recovers == 0


def test_what_is_stale_from_the_start_is_asked_about_after_a_while_not_at_once() -> None:
    session = Session()
    session.pass_time(60)  # getting ready
    run(session, 5, change=SEEN["stale"])
    assert kinds(session) == [("stale image", False)]
    run(session, 10, change=SEEN["stale"])
    assert kinds(session)[1:] == [("stale image", True)]


def test_a_pause_is_not_taken_for_a_loss() -> None:
    session = Session()
    run(session, 3)
    run(session, 1, change=SEEN["stale"])
    session.guard.rest()
    session.pass_time(60)
    run(session, 1, change=SEEN["stale"])
    assert kinds(session) == [("stale image", False)] * 2 and session.guard.latched is None


def test_a_fault_that_comes_and_goes_or_changes_is_told_once_a_kind() -> None:
    session = Session()
    for _ in range(50):
        run(session, 1, change=SEEN["stale"])
        run(session, 1, change=SEEN["black"])
        run(session, 1)
    assert kinds(session) == [("stale image", False), ("black image", False)]


def test_faults_that_take_turns_are_asked_about_too() -> None:
    session = Session()
    for _ in range(10):
        run(session, 1, change=SEEN["stale"])
        run(session, 1, action=None)
    assert kinds(session)[:2] == [("stale image", False), ("bad action", False)]
    assert session.guard.latched is not None and len(session.told) == 3


def test_an_arm_pushed_away_asks_and_goes_on_from_where_it_stands() -> None:
    session = Session()
    run(session, 3)
    session.arm.lag = 1e6  # it does not pull back
    for _ in range(3):  # by hand: no faster than an arm may move
        session.pass_time(0.02)
        session.arm.push(np.array([0, 0, 0.06]), np.zeros(3))
    run(session, 3)
    assert kinds(session) == [("out of reach", True)]
    session.guard.resume()
    stands = session.arm.pose
    (done,) = run(session, 1)
    assert isinstance(done, Sent) and apart(done.target.pose, stands)[0] <= LIMITS.step + 1e-9


def test_a_nudge_when_the_second_is_used_up_only_holds() -> None:
    session = Session()
    session.arm.lag = 0.001
    made = run(session, 7)
    session.arm.lag = 1e6  # it stands against something
    made += run(session, 1)
    assert isinstance(made[-1], Sent)
    session.pass_time(0.05)
    session.arm.push(np.array([0, -0.06, 0]), np.zeros(3))
    run(session, 1)
    assert kinds(session) == [("out of reach", False)] and session.guard.latched is None
    assert isinstance(run(session, 1)[0], Sent)


def test_an_arm_that_jumps_as_no_arm_can_is_asked_about_even_when_held() -> None:
    session = Session()
    run(session, 3)
    run(session, 1, change=SEEN["stale"])
    session.arm.lag = 1e6  # it does not pull back
    session.arm.push(np.array([0, -0.4, 0.0]), np.zeros(3))
    run(session, 1)
    assert kinds(session)[-1] == ("arm jumped", True)
    session.guard.resume()
    assert isinstance(run(session, 1)[0], Sent)


def test_between_episodes_the_arm_may_be_put_anywhere() -> None:
    session = Session(HOME.moved([0.2, 0.2, 0.2], HOME.rotation * HOME.rotation.inv()))
    run(session, 3)
    session.guard.rest()
    session.arm.home()
    assert all(isinstance(done, Sent) for done in run(session, 3)) and session.told == []


def test_after_a_stop_an_older_measurement_does_not_count() -> None:
    session = Session()
    run(session, 3)
    session.guard.rest()
    session.arm.late = 0.05
    session.pass_time(0.02)
    assert isinstance(session.act(RIGHT), Held) and kinds(session) == [("stale state", False)]
    session.pass_time(0.08)
    assert isinstance(session.act(RIGHT), Sent)


def test_a_resume_that_nobody_needed_makes_no_jump() -> None:
    session = Session()
    session.arm.lag = 1e6  # the arm stands, and the target runs ahead of it
    run(session, 3)
    session.guard.resume()
    assert session.arm.stops, "what is in force was forgotten, and the arm still pulls there"
    run(session, 3)


def test_a_clock_set_back_is_asked_about_and_spends_no_second_twice() -> None:
    session = Session()
    run(session, 7)
    session.pass_time(0.1, -30.0)
    session.act(RIGHT)
    assert kinds(session) == [("clock backwards", True)]
    session.guard.resume()
    made = run(session, 20)  # the session checks the second by the time that passed
    assert isinstance(made[1], Sent) and session.told[1:] == []


def test_a_clock_that_says_nothing_moves_nothing() -> None:
    session = Session()
    run(session, 2)
    session.clock.time = NAN
    assert isinstance(session.act(RIGHT), Held)
    session.guard.resume()
    assert isinstance(session.act(RIGHT), Held)
    session.clock.time = 200.0
    session.guard.resume()
    assert all(isinstance(done, Sent) for done in run(session, 3))


def test_what_was_really_sent_is_in_force() -> None:
    session = Session()
    send = session.arm.send

    def shorter(target: Target) -> Target:
        return send(replace(target, pose=HOME))

    session.arm.send = shorter  # pyright: ignore[reportAttributeAccessIssue]
    session.arm.lag = 1e6
    for _ in range(5):
        session.pass_time(0.1)
        done = session.guard.act(RIGHT, session.seen())
        assert isinstance(done, Sent) and done.target.pose is HOME
    np.testing.assert_array_equal(session.guard._last.position, HOME.position)  # pyright: ignore


def test_a_fault_from_elsewhere_holds_and_asks() -> None:
    session = Session()
    run(session, 2)
    held = session.guard.fault("operator", "the door is open")
    assert held.event.ask and session.arm.stops
    assert all(isinstance(done, Held) and done.event is held.event for done in run(session, 3))
    assert kinds(session) == [("operator", True)]
