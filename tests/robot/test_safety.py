"""The limits, as functions: what they let out, what they refuse, and that they change nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpr.core.errors import UserError
from robot.hardware.arm import ArmState, Mode, Target
from robot.hardware.pose import Pose, between
from robot.safety.limits import Limited, Limits, OutOfReach, Step, broken, limited, within_second

LIMITS = Limits(lead_turn=0.4)  # other than the limit of a turn, to tell them apart
NEAR, FAR = 1e-8, 2e-6  # metres and radians of rounding
DOWN = Rotation.from_quat([1, 0, 0, 0])

directions = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array)
boxed = directions.map(lambda d: np.array([0.55, 0, 0.46]) + d * [0.42, 0.37, 0.44])  # the whole box
anywhere = st.tuples(directions, st.sampled_from([0.1, 1.0, 1e6])).map(lambda pair: pair[0] * pair[1])
facing = st.tuples(directions, st.sampled_from([0.1, 1.0, 3.1])).map(lambda p: DOWN * Rotation.from_rotvec(p[0] * p[1]))
useds = st.tuples(st.floats(0, 0.36), st.floats(0, 1.6)) | st.just((0.0, 0.0))


def answered(*situation: Any) -> Limited | OutOfReach:
    """What `limited` gives, or why there is none."""
    try:
        return limited(*situation)
    except OutOfReach as error:
        return error


def state_at(pose: Pose) -> ArmState:
    return ArmState(pose, np.zeros(7), 0.08, 0.0, Mode.IDLE)


def pose(position: np.ndarray, rotation: Rotation = DOWN) -> Pose:
    return Pose(position, rotation.as_quat())


def apart(one: Pose, other: Pose) -> tuple[float, float]:
    turn = one.rotation * other.rotation.inv()
    return float(np.linalg.norm(one.position - other.position)), float(turn.magnitude())


@st.composite
def near(draw: st.DrawFn, centre: Pose, distance: float, angle: float) -> Pose:
    by, turn = draw(directions), draw(directions)
    by, turn = (v / max(1, np.linalg.norm(v)) for v in (by, turn))
    return centre.moved(by * distance, Rotation.from_rotvec(turn * angle))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Target, Pose, ArmState, tuple[float, float]]:
    """A wish, the pose in force, the measured state, what is used up: possible and impossible ones."""
    last = pose(draw(boxed), draw(facing))
    measured = draw(near(last, 0.15, 0.8)) if draw(st.booleans()) else pose(draw(anywhere), draw(facing))
    if draw(st.booleans()):  # the same turn, written the other way round
        measured = replace(measured, quaternion=-measured.quaternion)
    wish = draw(near(last, 0.1, 0.5)) if draw(st.booleans()) else pose(draw(anywhere), draw(facing))
    return Target(wish, draw(st.floats(-1, 1))), last, state_at(measured), draw(useds)


@given(situations())
def test_what_comes_out_keeps_every_limit(situation: tuple) -> None:
    wish, last, state, used = situation
    found = answered(wish, last, state, used, LIMITS)
    if isinstance(found, OutOfReach):
        return
    (step, turn), (lead, lead_turn) = apart(found.target.pose, last), apart(found.target.pose, state.pose)
    assert (found.step, found.turn) == pytest.approx((step, turn), abs=1e-7)
    assert step <= max(0, min(LIMITS.step, LIMITS.second - used[0])) + NEAR
    assert turn <= max(0, min(LIMITS.turn, LIMITS.second_turn - used[1])) + FAR
    assert lead <= LIMITS.lead + NEAR and lead_turn <= LIMITS.lead_turn + FAR
    assert (found.target.pose.position >= np.array(LIMITS.low) - NEAR).all()
    assert (found.target.pose.position <= np.array(LIMITS.high) + NEAR).all()
    assert LIMITS.narrowest <= found.target.width <= LIMITS.widest
    assert broken(found.target, last, state, used, LIMITS) == []


@given(situations())
def test_a_command_is_refused_only_where_there_is_none(situation: tuple) -> None:
    wish, last, state, used = situation
    step, turn = (
        max(0, min(LIMITS.step, LIMITS.second - used[0])),
        max(0, min(LIMITS.turn, LIMITS.second_turn - used[1])),
    )
    distance, angle = apart(last, state.pose)
    outside = np.linalg.norm(np.clip(state.pose.position, LIMITS.low, LIMITS.high) - state.pose.position)
    reachable = distance <= step + LIMITS.lead - NEAR and outside <= NEAR and angle <= turn + LIMITS.lead_turn - FAR
    hopeless = distance > step + LIMITS.lead + NEAR or outside > LIMITS.lead + NEAR
    hopeless |= angle > turn + LIMITS.lead_turn + FAR
    found = answered(wish, last, state, used, LIMITS)
    assert not (reachable and isinstance(found, OutOfReach)), found
    assert not (hopeless and isinstance(found, Limited))


@given(st.data(), boxed, facing, st.floats(0, 0.08))
def test_a_wish_within_the_limits_passes_unchanged(
    data: st.DataObject, position: np.ndarray, turned: Rotation, width: float
) -> None:
    last = pose(position, turned)
    state = state_at(data.draw(near(last, 0.04, 0.15)))
    wish = data.draw(near(last, 0.049, 0.249))
    if not LIMITS.inside(wish):
        wish = replace(wish, position=last.position)
    found = answered(Target(wish, width), last, state, (0.2, 1.0), LIMITS)
    assert isinstance(found, Limited)
    assert found.target.pose is wish and found.target.width == width and found.met == ()


@given(boxed, facing, facing, directions, st.floats(0.01, 0.39))
def test_a_turn_goes_as_far_as_it_may(
    position: np.ndarray, first: Rotation, wished: Rotation, axis: np.ndarray, ahead: float
) -> None:
    """Against a search: a little further on the same turn breaks a limit."""
    last = pose(position, first)
    axis = axis / max(1, np.linalg.norm(axis))
    state = state_at(last.moved(np.zeros(3), Rotation.from_rotvec(ahead * axis)))
    wish = pose(position, wished)
    found = answered(Target(wish, 0.0), last, state, (0, 0), LIMITS)
    assert isinstance(found, Limited)
    if "turn" not in found.met and "lead_turn" not in found.met:
        assert apart(found.target.pose, wish)[1] < 1e-7
        return
    rest = apart(found.target.pose, wish)[1]
    further = between(found.target.pose, wish, min(1, 1e-4 / rest))
    tight = apart(further, last)[1] > LIMITS.turn or apart(further, state.pose)[1] > LIMITS.lead_turn
    assert tight and apart(last, wish)[1] == pytest.approx(apart(last, found.target.pose)[1] + rest, abs=1e-6)


@pytest.mark.parametrize(
    ("wish", "expected", "met"),
    [
        ([0.58, 0, 0.4], [0.55, 0, 0.4], ("step",)),
        ([0.5, 0.03, 0.4], [0.5, 0.03, 0.4], ()),
        ([0.5, 0.3, 0.91], [0.5, 0.0257, 0.4429], ("workspace", "step", "lead")),
    ],
)
def test_steps_by_hand(wish: list[float], expected: list[float], met: tuple[str, ...]) -> None:
    last = pose(np.array([0.5, 0, 0.4]))
    found = answered(Target(pose(np.array(wish)), 0.0), last, state_at(last), (0, 0), LIMITS)
    assert isinstance(found, Limited) and found.met == met
    np.testing.assert_allclose(found.target.pose.position, expected, atol=1e-4)


def test_what_is_left_of_the_second_is_the_limit() -> None:
    last = pose(np.array([0.5, 0, 0.4]))
    wish = Target(last.moved([0.04, 0, 0], Rotation.from_rotvec([0, 0.2, 0])), 0.0)
    found = answered(wish, last, state_at(last), (0.34, 1.45), LIMITS)
    assert isinstance(found, Limited) and found.met == ("second", "second_turn")
    assert (found.step, found.turn) == pytest.approx((0.01, 0.05), abs=1e-6)
    found = answered(wish, last, state_at(last), (0.36, 1.6), LIMITS)
    assert isinstance(found, Limited) and (found.step, found.turn) == pytest.approx((0, 0), abs=1e-6)


def test_a_command_is_drawn_back_to_an_arm_that_was_pushed() -> None:
    last = pose(np.array([0.5, 0, 0.4]))
    state = state_at(pose(np.array([0.5, 0.12, 0.4]), Rotation.from_rotvec([0, 0, 0.5]) * DOWN))
    found = answered(Target(last, 0.0), last, state, (0, 0), LIMITS)
    assert isinstance(found, Limited)
    np.testing.assert_allclose(found.target.pose.position, [0.5, 0.03, 0.4], atol=1e-9)
    assert apart(found.target.pose, state.pose)[1] == pytest.approx(0.4, abs=1e-6)
    assert isinstance(answered(Target(last, 0.0), last, state, (0.33, 0), LIMITS), OutOfReach)
    assert isinstance(answered(Target(last, 0.0), last, state, (0, 1.45), LIMITS), OutOfReach)


def test_an_arm_outside_its_workspace_goes_back_by_a_step_or_not_at_all() -> None:
    for outside, may in ((0.04, True), (0.06, False)):
        at = pose(np.array([0.5, LIMITS.high[1] + outside, 0.4]))
        found = answered(Target(at, 0.0), at, state_at(at), (0, 0), LIMITS)
        assert isinstance(found, Limited) == may
        if isinstance(found, Limited):
            assert found.target.pose.position[1] == pytest.approx(LIMITS.high[1]) and found.step == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("by", "turn", "width", "name"),
    [
        ((0.06, 0, 0), 0.0, 0.0, "step"),
        ((0, 0, 0), 0.26, 0.0, "turn"),
        ((0.05, 0, 0), 0.0, 0.0, "second"),
        ((0, 0, 0), 0.24, 0.0, "second_turn"),
        ((-0.04, 0, 0), 0.0, 0.0, "lead"),
        ((0, 0, 0), -0.2, 0.0, "lead_turn"),
        ((0, 0, 0.51), 0.0, 0.0, "workspace"),
        ((0, 0, 0), 0.0, 0.081, "gripper"),
        ((0, 0, 0), 0.0, -0.001, "gripper"),
        ((0, 0, 0), 0.0, float("nan"), "gripper"),
        ((0, 0, 0), 0.0, float("inf"), "gripper"),
    ],
)
def test_the_last_check_names_what_is_broken(by: tuple, turn: float, width: float, name: str) -> None:
    last = pose(np.array([0.5, 0, 0.4]))
    state = state_at(last.moved([0.06, 0, 0], Rotation.from_rotvec([0.3, 0, 0])))
    target = Target(last.moved(by, Rotation.from_rotvec([turn, 0, 0])), width)
    assert name in broken(target, last, state, (0.31, 1.3), LIMITS)
    assert broken(Target(last, 0.08), last, state, (0.31, 1.3), LIMITS) == []


def test_a_second_counts_both_its_ends() -> None:
    steps = [Step(0.1 * k, 0.01, 0.1) for k in range(30)]
    distance, angle = within_second(steps, 2.5)
    assert distance == pytest.approx(0.01 * 15) and angle == pytest.approx(1.5)  # 1.5 to 2.9: what is ahead, too


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 0.0},
        {"turn": float("nan")},
        {"lead": float("inf")},
        {"second": -1.0},
        {"silence": 0.0},
        {"state_age": float("nan")},
        {"turn": 1.6},
        {"lead_turn": 1.6},
        {"low": (0.2, 0.4, 0.0)},
        {"low": (0.2, 0.0)},
        {"high": (1.0, 1.0, float("inf"))},
        {"narrowest": -0.01},
        {"narrowest": 0.08},
        {"widest": float("inf")},
        {"widest": float("nan")},
    ],
)
def test_limits_that_are_none_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError):
        Limits(**wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"step": 5.0}, "limit step 5 m: above 0, 0.1 at most"),  # centimetres
        ({"lead": 9.0}, "limit lead 9 m: above 0, 0.2 at most"),
        ({"second": 20.0}, "limit second 20 m: above 0, 1 at most"),
        ({"second_turn": 90.0}, "limit second_turn 90 rad: above 0, 3 at most"),  # degrees
        ({"turn": 15.0}, "limit turn 15 rad: above 0, 1.5 at most"),
        ({"lead_turn": 15.0}, "limit lead_turn 15 rad: above 0, 1.5 at most"),
        ({"state_age": 100.0}, "limit state_age 100 s: above 0, 1 at most"),  # milliseconds
        ({"image_age": 100.0}, "limit image_age 100 s: above 0, 1 at most"),
        ({"command_age": 300.0}, "limit command_age 300 s: above 0, 1 at most"),
        ({"silence": 500.0, "lost": 1000.0}, "limit silence 500 s: above 0, 2 at most"),
        ({"lost": 1000.0}, "limit lost 1000 s: above 0, 10 at most"),
        ({"widest": 80.0}, "limit widest 80 m: above 0, 0.1 at most"),  # millimetres
        ({"low": (30.0, -30.0, 2.0), "high": (65.0, 30.0, 60.0)}, "m is no box within 3 m of the base"),
    ],
)
def test_a_limit_in_another_unit_limits_nothing_and_is_refused_by_name(given: dict, said: str) -> None:
    with pytest.raises(UserError) as refused:
        Limits(**given)
    assert said in str(refused.value) and "\n" not in str(refused.value)
