"""Poses: laws of turns, against scipy's, and what is no pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot.hardware.pose import Pose, angle_between, arc, between, distance_between, turn_base_between

NUMBERS = st.floats(-1, 1)
POINTS = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(np.array)
TURNS = st.tuples(POINTS, st.sampled_from([3.14, 1.0, 1e-3, 1e-7, 0.0])).map(lambda pair: pair[0] * pair[1])  # rotvec
POSES = st.builds(lambda at, turn: Pose(at, Rotation.from_rotvec(turn).as_quat()), POINTS, TURNS)


@given(POSES, POSES)
def test_the_angle_is_that_of_the_turn_between(start: Pose, stop: Pose) -> None:
    assert angle_between(start, stop) == pytest.approx(turn_base_between(start, stop).magnitude(), abs=1e-9)
    flipped = Pose(stop.position, -stop.quaternion)  # the same turn
    assert angle_between(start, flipped) == pytest.approx(angle_between(start, stop), abs=1e-9)


@given(POSES, POSES, st.floats(0, 1))
def test_between_goes_straight_and_turns_the_shortest_way(start: Pose, stop: Pose, share: float) -> None:
    middle = between(start, stop, share)
    assert distance_between(start, middle) == pytest.approx(share * distance_between(start, stop), abs=1e-12)
    assert angle_between(start, middle) == pytest.approx(share * angle_between(start, stop), abs=1e-9)
    assert angle_between(middle, stop) == pytest.approx((1 - share) * angle_between(start, stop), abs=1e-9)


@given(POSES, POSES)
def test_an_arc_ends_where_it_should(start: Pose, stop: Pose) -> None:
    half, across = arc(start, stop)
    end = Pose(stop.position, np.cos(half) * start.quaternion + np.sin(half) * across)
    assert 0 <= half <= np.pi / 2 + 1e-12
    assert angle_between(end, stop) == pytest.approx(0, abs=1e-9)


def test_a_turn_is_applied_from_the_left_in_the_bases_axes() -> None:
    tool_down = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]))
    turned = tool_down.moved([0.1, 0, 0], Rotation.from_rotvec([0, 0, np.pi / 2]))  # about the base's z
    np.testing.assert_allclose(turned.position, [0.1, 0, 0])
    np.testing.assert_allclose(turned.rotation.apply([1, 0, 0]), [0, 1, 0], atol=1e-12)  # tool's x: was base's x
    np.testing.assert_allclose(turned.rotation.apply([0, 0, 1]), [0, 0, -1], atol=1e-12)
    assert turn_base_between(tool_down, turned).as_rotvec() == pytest.approx([0, 0, np.pi / 2])


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [
        ([0, 0, np.nan], [0, 0, 0, 1]),
        ([0, 0, np.inf], [0, 0, 0, 1]),
        ([0, 0], [0, 0, 0, 1]),
        ([0, 0, 0], [0, 0, 0, np.nan]),
        ([0, 0, 0], [0, 0, 0, 0]),
        ([0, 0, 0], [0, 0, 0, 1.01]),
        ([0, 0, 0], [0, 0, 1]),
    ],
)
def test_what_is_no_pose_is_refused(position: list[float], quaternion: list[float]) -> None:
    with pytest.raises(ValueError, match=r"position|quaternion"):
        Pose(np.array(position), np.array(quaternion))


def test_a_pose_is_its_own_and_exactly_unit() -> None:
    position = np.zeros(3)
    pose = Pose(position, np.array([0, 0, 0, 1.0005]))
    position[0] = 9
    assert pose.position[0] == 0
    assert np.linalg.norm(pose.quaternion) == pytest.approx(1, abs=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        pose.position[0] = 9
