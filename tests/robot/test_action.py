"""Actions: numbers made by hand for order and side, and the laws of base and residual."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot.hardware.action import NOTHING, RobotAction, action_of, composed, correction_between, target_of, turn_base_of
from robot.hardware.arm import ArmState, Mode
from robot.hardware.pose import Pose, angle_between

HALF = np.sqrt(0.5)
UNITS = st.floats(-1, 1)
ACTIONS = st.lists(UNITS, min_size=8, max_size=8).map(np.array)
TURNING = ACTIONS.filter(lambda action: np.linalg.norm(action[3:7]) > 0.01)
SCALES = st.floats(0.05, 1)


def standing(quaternion: tuple[float, ...] = (1, 0, 0, 0)) -> ArmState:
    return ArmState(Pose(np.array([0.5, 0.1, 0.3]), np.array(quaternion)), np.zeros(7), 0.08, 0.0, Mode.IDLE)


def same_turn(one: RobotAction, other: RobotAction) -> None:
    assert (turn_base_of(one) * turn_base_of(other).inv()).magnitude() == pytest.approx(0, abs=1e-6)


def test_the_numbers_of_an_action() -> None:
    state = standing((1, 0, 0, 0))  # tool down
    target = target_of(np.array([1, -0.5, 0, 0, 0, HALF, HALF, -1]), state)  # z before w: a quarter about the base's z
    np.testing.assert_allclose(target.pose.position, [0.55, 0.075, 0.3])
    np.testing.assert_allclose(target.pose.rotation.apply([1, 0, 0]), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(target.pose.quaternion, [HALF, HALF, 0, 0], atol=1e-12)  # from the left
    assert target.width == 0
    assert target_of(NOTHING, state).width == 0.04


def test_the_numbers_of_a_residual() -> None:
    base = np.array([0.5, 0, -1, HALF, 0, 0, HALF, 0])  # a quarter about x
    residual = np.array([1, 0, -1, 0, 0, 1, 0, -1])  # half a turn about z
    made = composed(base, residual, residual_scale=0.5)
    expected = Rotation.from_rotvec([0, 0, 0.5 * 0.1 * np.pi]) * Rotation.from_rotvec([np.pi / 2, 0, 0])
    np.testing.assert_allclose(made[[0, 1, 2, 7]], [1, 0, -1, -0.5])
    np.testing.assert_allclose(made[3:7], expected.as_quat(canonical=True), atol=1e-12)


@given(ACTIONS, ACTIONS)
def test_with_a_scale_of_nothing_the_base_acts_alone(base: RobotAction, residual: RobotAction) -> None:
    made = composed(base, residual, residual_scale=0)
    np.testing.assert_allclose(made[[0, 1, 2, 7]], base[[0, 1, 2, 7]])
    same_turn(made, base)


@given(ACTIONS, SCALES)
def test_a_residual_of_nothing_leaves_the_base(base: RobotAction, residual_scale: float) -> None:
    for nothing in (NOTHING, np.zeros(8)):
        made = composed(base, nothing, residual_scale)
        np.testing.assert_allclose(made[[0, 1, 2, 7]], base[[0, 1, 2, 7]])
        same_turn(made, base)


@given(ACTIONS, TURNING)
def test_action_of_inverts_target_of(action: RobotAction, facing: RobotAction) -> None:
    state = standing(tuple(facing[3:7] / np.linalg.norm(facing[3:7])))
    back = action_of(target_of(action, state), state)
    np.testing.assert_allclose(back[[0, 1, 2, 7]], action[[0, 1, 2, 7]], atol=1e-9)
    same_turn(back, action)
    assert back[6] >= 0


@given(TURNING, st.floats(1, 1e300))
def test_only_the_direction_of_a_quaternion_counts(action: RobotAction, times: float) -> None:
    longer = np.concatenate([action[:3], action[3:7] * times, action[7:]])
    one, other = target_of(action, standing()).pose, target_of(longer, standing()).pose
    assert angle_between(one, other) < 1e-6


@pytest.mark.parametrize("length", [0.0, 1e-9, 5e-324])
def test_a_quaternion_of_nothing_turns_nothing(length: float) -> None:
    action = np.array([0, 0, 0, length, 0, 0, 0, 0])
    assert turn_base_of(action).magnitude() == 0
    assert angle_between(target_of(action, standing()).pose, standing().pose) == 0


@pytest.mark.parametrize(
    "action",
    [
        np.zeros(7),
        np.zeros((1, 8)),
        np.array(0.0),
        None,
        "left",
        object(),
        [[1, 2], [3]],
        [10**400] * 8,
        *(np.where(np.arange(8) == at, bad, 0.5) for at in (0, 4, 7) for bad in (np.nan, np.inf)),
    ],
)
def test_what_is_no_action_is_refused(action: object) -> None:
    with pytest.raises(ValueError, match="8 finite numbers"):
        target_of(action, standing())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("of", ["base", "residual"])
def test_what_is_not_finite_is_not_composed_away(bad: float, at: int, of: str) -> None:
    parts = {"base": NOTHING.copy(), "residual": NOTHING.copy()}
    parts[of][at] = bad
    made = composed(**parts, residual_scale=0.1)
    with pytest.raises(ValueError, match="8 finite numbers"):
        target_of(made, standing())


@given(ACTIONS, ACTIONS, SCALES)
def test_a_correction_makes_the_wanted_action_or_says_where_it_falls_short(
    base: RobotAction, wanted: RobotAction, residual_scale: float
) -> None:
    residual, short = correction_between(base, wanted, residual_scale)
    assert np.abs(residual).max() <= 1 + 1e-12
    made = composed(base, residual, residual_scale)
    near = ~short
    linear = np.r_[0:3, 7]
    np.testing.assert_allclose(made[linear][near[linear]], wanted[linear][near[linear]], atol=1e-9)
    if near[3]:
        assert (turn_base_of(made) * turn_base_of(wanted).inv()).magnitude() < 1e-6
    else:  # turned towards it, as far as a residual turns
        before = (turn_base_of(base) * turn_base_of(wanted).inv()).magnitude()
        assert (turn_base_of(made) * turn_base_of(wanted).inv()).magnitude() <= before + 1e-9
