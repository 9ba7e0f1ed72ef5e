"""Laws of the guard: for any sequence of actions and faults. Single cases are in test_robot_guard_cases.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from robot.hardware.action import STEP_M, action_of, target_of
from robot.hardware.arm import Mode
from robot.hardware.counting import FROM_LAST, FROM_MEASURED
from robot.hardware.pose import Pose
from robot.safety.guard import Held, Sent
from robot.safety.watch import Seen
from tests.toy_arm import HOME
from tests.toy_session import ARM, HELD, INF, LIMITS, NAN, SEEN, Session, image_with

numbers = st.one_of(st.floats(-1.5, 1.5), st.sampled_from([NAN, INF, -INF, 1e308, -1e308, 0.0]))
corners = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=8, max_size=8)
no_actions = st.sampled_from([None, "left", [], [1.0] * 7, [[1.0] * 8], object(), [[1], []], 3.0, {}])
waits = st.sampled_from([0.1] * 12 + [0.0, 0.001, 0.05, 0.09, 0.3, 0.7, 1.0, 5.0])
counted = st.sampled_from([FROM_MEASURED, FROM_LAST])
persons = st.sampled_from(["", "resumes", "resumes", "recovers", "rests", "watches"])


@dataclass
class Turn:
    action: Any
    wait: float = 0.1
    set_back: float = 0.0  # of the clock
    arm: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    push: tuple[float, ...] | None = None
    person: str = ""  # what somebody does before


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    """Mostly full deflections, this way and that; now and then something wrong."""
    kind = draw(st.integers(0, 9))
    action = draw(no_actions if kind == 8 else st.lists(numbers, min_size=8, max_size=8) if kind == 9 else corners)
    turn = Turn(action, draw(waits), person=draw(persons))
    match draw(st.integers(0, 19)):
        case 1 | 2:
            turn.arm = (draw(st.sampled_from(sorted(ARM))),)
        case 3 | 4:
            turn.seen = (draw(st.sampled_from(sorted(SEEN))),)
        case 5:
            turn.arm, turn.seen = (draw(st.sampled_from(sorted(ARM))),), (draw(st.sampled_from(sorted(SEEN))),)
        case 6:
            far = draw(st.sampled_from([0.01, 0.1, 2.0]))
            turn.push = tuple(far * by for by in draw(st.tuples(*[st.floats(-1, 1)] * 6)))
        case 7:
            turn.set_back = draw(st.sampled_from([0.01, 0.5, 50.0]))
    return turn


def play(session: Session, turn: Turn) -> None:
    arm, guard = session.arm, session.guard
    session.pass_time(turn.wait, turn.wait - turn.set_back)
    arm.errors, arm.mode, arm.late, arm.lost, arm.wrong = (), Mode.IDLE, 0.0, False, {}  # by itself
    arm.raising, arm.deaf = set(), True
    if turn.person in ("resumes", "recovers"):
        if turn.person == "recovers":
            arm.recover()
        guard.resume()
    if turn.person in ("rests", "watches"):
        {"rests": guard.rest, "watches": guard.watch}[turn.person]()
    if turn.person in ("resumes", "recovers", "rests"):
        session.sent = None
    latched = guard.latched
    for name in turn.arm:
        ARM[name](arm)
    if turn.push:
        arm.push(np.array(turn.push[:3]), np.array(turn.push[3:]))

    def change(seen: Seen) -> Seen:
        for name in turn.seen:
            seen = SEEN[name](seen)
        return seen

    done = session.act(turn.action, change)
    if isinstance(done, Sent):
        now = session.clock.now()
        assert session.sent is None or now - session.sent <= LIMITS.lost + 1e-9, "went on by itself"
        session.sent = now
    if HELD & {*turn.arm, *turn.seen}:
        assert not isinstance(done, Sent), (turn.arm, turn.seen)
    if isinstance(done, Held):
        still = "stop" not in arm.raising
        assert not still or arm.stops[-1] == session.clock.now(), "held, and not stopped"
        assert still or guard.latched is not None
    event(f"{type(done).__name__}{' latched' if latched else ''}")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(turns(), min_size=1, max_size=50), st.tuples(*[st.floats(-1, 1)] * 3), counted)
def test_no_command_leaves_the_limits_and_no_error_clears_itself(sequence: list, start: tuple, targets: str) -> None:
    there = np.array([0.55, 0, 0.46]) + start * np.array([0.5, 0.45, 0.52])
    session = Session(Pose(there, HOME.quaternion), targets=targets)
    for turn in sequence:
        play(session, turn)
    assert session.arm.recovers == sum(turn.person == "recovers" for turn in sequence)  # by a person alone


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(corners, st.sampled_from([0.0, 0.0, 0.2])), min_size=20, max_size=40),
    st.floats(0.01, 0.3),
    counted,
)
def test_an_arm_goes_no_further_in_a_second_than_the_second_and_the_lead(
    wishes: list, lag: float, targets: str
) -> None:
    """Also where every other command is refused, so that the arm stops, and starts from where it is measured."""
    session, trail = Session(targets=targets), [(0.0, 0.0)]
    session.arm.lag = lag
    for action, late in wishes:
        session.pass_time(0.1)
        session.act(action, image_with(late=late))
        trail.append((session.true, session.arm.travelled))
        recent = min(gone for at, gone in trail if at >= session.true - 1 - 1e-9)
        assert trail[-1][1] - recent <= LIMITS.second + LIMITS.lead + 1e-6
    assert not any(told.ask for told in session.told)


def test_targets_that_count_from_the_last_one_leave_nothing_of_what_is_asked_undone() -> None:
    """On an arm that comes late and does not come all the way, as with a spring and friction between."""
    gone = {}
    for targets in (FROM_MEASURED, FROM_LAST):
        session = Session(targets=targets)
        session.arm.lag = 0.5
        for _ in range(8):
            session.pass_time(0.1)
            done = session.act(np.array([0.16, 0, 0, 0, 0, 0, 1, 1.0]))
            assert isinstance(done, Sent)
            again = action_of(done.target, replace(session.arm.state(), pose=done.counted_from))
            np.testing.assert_allclose(again[:3], [0.16, 0, 0], atol=1e-9)
            gone[targets] = done.target.pose.position[0] - HOME.position[0]
    assert gone[FROM_LAST] == pytest.approx(8 * 0.16 * STEP_M) and gone[FROM_MEASURED] < 0.6 * gone[FROM_LAST]


def test_after_a_stop_they_count_from_where_the_arm_is() -> None:
    session = Session(targets=FROM_LAST)
    session.arm.lag = 0.5
    for _ in range(4):
        session.pass_time(0.1)
        session.act(np.array([0.16, 0, 0, 0, 0, 0, 1, 1.0]))
    session.guard.rest()
    session.pass_time(0.1)
    here = session.arm.state().pose.position
    done = session.act(np.array([0.16, 0, 0, 0, 0, 0, 1, 1.0]))
    assert isinstance(done, Sent) and done.target.pose.position[0] - here[0] == pytest.approx(0.16 * STEP_M)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 7), min_size=1, max_size=30), st.booleans())
def test_a_well_behaved_policy_passes_unchanged(wishes: list, forth: bool) -> None:
    session = Session()
    for number, wish in enumerate(wishes):
        session.pass_time(0.1)
        by = np.array(wish[:3]) * (0.35 / np.sqrt(3)) * (-1 if forth and number % 2 else 1)  # 0.0175 m, at most
        action = np.array([*by, *np.array(wish[3:6]) * 0.02, 1, wish[6]])
        seen = session.seen()
        if not (np.abs(seen.state.pose.position - HOME.position) < 0.3).all():
            return
        done = session.guard.act(action, seen)
        assert isinstance(done, Sent) and done.met == ()
        wanted = target_of(action, seen.state)
        np.testing.assert_array_equal(done.target.pose.position, wanted.pose.position)
        np.testing.assert_array_equal(done.target.pose.quaternion, wanted.pose.quaternion)
        assert done.target.width == wanted.width
    assert session.told == []
