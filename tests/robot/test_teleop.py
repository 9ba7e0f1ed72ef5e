"""Teleoperation: what follows from a deflection, keys as a device, and a person as a policy."""

from __future__ import annotations

import os
import pty
import select
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpr.core.errors import UserError
from robot.hardware.action import NOTHING
from robot.teleop.device import DEADZONE, OPEN, POSITION, SHUT, TURN, LetGo, Teleop, Wish, action_of_wish
from robot.teleop.gamepad import Gamepad
from robot.teleop.keyboard import KEY_AXES, KEY_GRIPS, KEYS, SPEEDS, KeyboardTeleop
from robot.teleop.keys import Keys
from robot.teleop.operator import Mark
from robot.teleop.policy import TeleopPolicy
from robot.teleop.registry import DEVICES, teleop
from robot.teleop.spacemouse import SpaceMouse
from tests.robot.test_operator import Wound

DEFLECTION = st.floats(-1.5, 1.5)
WISH = st.builds(
    lambda values, grip: Wish(np.array(values[:3]), np.array(values[3:]), grip),
    st.lists(DEFLECTION, min_size=6, max_size=6),
    DEFLECTION,
)
ZERO = np.zeros(3)


def along(*values: float) -> Wish:
    return Wish(np.array(values, np.float64), ZERO, OPEN)


@given(WISH)
def test_an_action_never_leaves_its_bounds(wish):
    action = action_of_wish(wish)
    assert action.shape == (8,) and (np.abs(action) <= 1).all()
    assert np.linalg.norm(action[3:7]) == pytest.approx(1)
    assert (np.abs(action[:3]) <= POSITION).all()
    assert Rotation.from_quat(action[3:7]).magnitude() <= TURN * np.sqrt(3) + 1e-9


@given(WISH)
def test_the_opposite_wish_moves_oppositely(wish):
    action, opposite = action_of_wish(wish), action_of_wish(Wish(-wish.move, -wish.turn, wish.grip))
    np.testing.assert_allclose(opposite[:6], -action[:6], atol=1e-12)
    np.testing.assert_allclose(opposite[6:], action[6:], atol=1e-12)


@given(WISH)
def test_idle_asks_for_no_motion_and_no_motion_is_idle(wish):
    action = action_of_wish(wish)
    if wish.idle:
        np.testing.assert_array_equal(action[:7], NOTHING[:7])
    elif np.abs([*wish.move, *wish.turn]).max() > DEADZONE + 1e-9:
        assert not np.array_equal(action[:7], NOTHING[:7])


@given(st.floats(-1, 1), st.floats(0, 1e-3))
def test_nothing_jumps_at_the_edge_of_the_dead_zone_nor_elsewhere(value, by):
    there, near = (action_of_wish(along(v, 0, 0))[0] for v in (value, value + by))
    assert 0 <= near - there <= POSITION / (1 - DEADZONE) * by + 1e-12, "rises, and no steeper than its slope"


def test_a_full_deflection_is_the_authors_scale():
    action = action_of_wish(Wish(np.array([1.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]), SHUT))
    np.testing.assert_allclose(action[:3], [0.5, -0.5, 0])
    np.testing.assert_allclose(Rotation.from_quat(action[3:7]).as_rotvec(), [0, 0, 0.1])
    assert action[7] == -1


@given(st.lists(st.lists(DEFLECTION, min_size=2, max_size=2), min_size=1))
def test_a_deflection_counts_only_once_its_axis_was_let_go(readings):
    let_go = LetGo(2)
    for i, reading in enumerate(readings):
        out = let_go(reading)
        for axis in range(2):
            released = any(abs(before[axis]) <= DEADZONE for before in readings[: i + 1])
            assert out[axis] == (reading[axis] if released else 0)


# ---- keyboard


@pytest.fixture
def board() -> Iterator[tuple[KeyboardTeleop, Wound, int]]:
    person, program = pty.openpty()
    clock = Wound()
    with Keys(program, clock) as keys, KeyboardTeleop(keys) as device:
        yield device, clock, person
    os.close(person)
    os.close(program)


def pressed(board: tuple[KeyboardTeleop, Wound, int], text: str, seconds: float = 0.1) -> Wish:
    """A step of the loop, in which something is typed."""
    device, clock, person = board
    if text:
        os.write(person, text.encode())
        assert select.select([device.keys._fd], [], [], 5)[0]
    clock.time += seconds
    return device.read()


@pytest.mark.parametrize(
    ("text", "index", "sign"),
    [
        *[("i", 0, 1), ("k", 0, -1), ("\x1b[A", 0, 1), ("\x1b[B", 0, -1)],
        *[("j", 1, 1), ("l", 1, -1), ("\x1b[D", 1, 1), ("\x1b[C", 1, -1), ("u", 2, 1), ("o", 2, -1)],
        *[("J", 3, -1), ("L", 3, 1), ("I", 4, 1), ("K", 4, -1), ("U", 5, 1), ("O", 5, -1)],
    ],
)
def test_keyboard_axes(board, text, index, sign):
    wish = pressed(board, text)
    expected = np.zeros(6)
    expected[index] = sign * SPEEDS["2"]
    np.testing.assert_array_equal([*wish.move, *wish.turn], expected)


def test_a_key_that_is_let_go_stops_and_one_that_is_held_goes_on(board):
    assert not pressed(board, "i").idle
    assert not pressed(board, "").idle
    assert pressed(board, "").idle
    assert all(not pressed(board, "iii").idle for _ in range(20)), "repeats"
    steps = [pressed(board, "").idle for _ in range(5)]
    assert steps == [False, True, True, True, True]


def test_a_slow_terminal_still_moves_without_gaps(board):
    """A Linux console repeats 10.9 times a second: some steps hear no repeat."""
    pressed(board, "i")
    assert not any(pressed(board, "i" if step % 2 else "").idle for step in range(20))


def test_keys_typed_while_nobody_looked_do_not_move(board):
    assert pressed(board, "iiii", 2.0).idle
    assert pressed(board, "").idle


def test_opposite_keys_stop_and_two_axes_add(board):
    assert pressed(board, "ik").idle
    np.testing.assert_array_equal(pressed(board, "ju").move, np.array([0, 1, 1]) * SPEEDS["2"])


def test_speeds_and_grip_stay_until_changed(board):
    device, _, _ = board
    assert pressed(board, "3i").move[0] == 1
    assert pressed(board, "x").grip == SHUT
    assert pressed(board, "i").move[0] == 1
    assert pressed(board, "1i").move[0] == SPEEDS["1"] and pressed(board, "").grip == SHUT
    assert pressed(board, "z").grip == OPEN
    pressed(board, "x")
    os.write(board[2], b"i")
    device.rest()
    wish = pressed(board, "")
    assert wish.grip == OPEN and wish.idle
    assert device.mark() is None


def test_the_operators_keys_are_left_to_the_operator(board):
    device, _, _ = board
    assert pressed(board, "isi").move[0] > 0
    assert [key.name for key in device.keys.take("s")] == ["s"]


def test_the_keyboards_legend_has_every_key():
    shown = KeyboardTeleop.about.replace(",", " ").split()
    assert set(shown) >= KEYS and set(KEY_AXES) | set(KEY_GRIPS) | set(SPEEDS) == KEYS


# ---- by name, and as a policy


def test_devices_by_name():
    keys = Keys(0)
    found: list[Teleop] = [teleop(name, keys) for name in DEVICES.ours]
    assert [type(device) for device in found] == [Gamepad, SpaceMouse, KeyboardTeleop]
    assert all(device.about for device in found)
    with pytest.raises(UserError, match="gamepad, spacemouse, keyboard"):
        teleop("mouse", keys)


class Scripted:
    """A device that says what it is told to."""

    about = "a script"

    def __init__(self, *wishes: Wish) -> None:
        self.wishes, self.rests = list(wishes), 0

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self) -> Wish:
        return self.wishes.pop(0)

    def rest(self) -> None:
        self.rests += 1

    def mark(self) -> Mark | None:
        return None


def test_the_policy_acts_as_the_device_asks_and_knows_its_idle_steps():
    still, shut = Wish(ZERO, ZERO, OPEN), Wish(ZERO, ZERO, SHUT)
    device = Scripted(still, along(1, 0, 0), shut, shut, still, shut)
    policy = TeleopPolicy(device)
    policy.reset(0)
    actions = [policy.act(np.zeros(3)) for _ in range(5)]
    assert policy.idle == [True, False, False, True, False], "a change of grip is no idle step"
    assert all(action.dtype == np.float32 and action.shape == (8,) for action in actions)
    np.testing.assert_allclose(actions[1], action_of_wish(along(1, 0, 0)), atol=1e-6)
    policy.reset(1)
    policy.act(np.zeros(3))
    assert policy.idle == [False] and device.rests == 2 and policy.cameras == {}


def test_the_policy_says_once_that_the_device_is_lost_and_that_it_is_back():
    lost = Wish(ZERO, ZERO, SHUT, "the gamepad is unplugged")
    told: list[str] = []
    policy = TeleopPolicy(Scripted(along(1, 0, 0), lost, lost, along(1, 0, 0), along(1, 0, 0)), told.append)
    policy.reset(0)
    actions = [policy.act(np.zeros(3)) for _ in range(5)]
    assert told == ["the gamepad is unplugged", "the device is heard again"]
    np.testing.assert_array_equal(actions[1][:7], NOTHING[:7])
    assert policy.idle[1:3] == [False, True]  # the script's grip changed with it
