"""Gamepad and SpaceMouse, on fakes and on the packages themselves: no device asks for what no hand asks for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mpr.core.errors import UserError
from robot.teleop.device import OPEN, SHUT, Wish
from robot.teleop.gamepad import CIRCLE, CREATE, CROSS, OPTIONS, PAD_LEFT, PAD_RIGHT, SETTLE, TRIANGLE, Gamepad
from robot.teleop.operator import Mark
from robot.teleop.spacemouse import SpaceMouse
from tests.robot.test_operator import Wound
from tests.toy_devices import Cap, FakePad, VirtualPad

ROOT = Path(__file__).resolve().parents[2]
ZERO = np.zeros(3)


# ---- gamepad: fake, and SDL's own virtual pad


@pytest.fixture(params=[FakePad, VirtualPad])
def pad(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePad | VirtualPad]:
    hands = request.param(monkeypatch)
    hands.plug()
    yield hands
    if isinstance(hands, VirtualPad):
        hands.sdl.quit()
        hands.pygame.display.quit()


def settled(device: Gamepad) -> Gamepad:
    """At rest, and past the time in which nothing is believed."""
    device.clock.time += 2 * SETTLE  # type: ignore[attr-defined]
    assert device.read().idle
    return device


@pytest.fixture
def held(pad: FakePad | VirtualPad) -> Iterator[Gamepad]:
    with Gamepad(Wound()) as device:
        yield settled(device)


@pytest.mark.parametrize(
    ("axis", "value", "move", "turn"),
    [
        (1, -32767, (1, 0, 0), ZERO),  # left stick pushed forward
        (0, -32767, (0, 1, 0), ZERO),  # to the left
        (5, 32767, (0, 0, 1), ZERO),  # R2
        (4, 32767, (0, 0, -1), ZERO),  # L2
        (2, -32767, ZERO, (0, 0, 1)),  # right stick to the left: counter-clockwise from above
        (3, -32767, ZERO, (0, 1, 0)),  # forward: the top tips forward
    ],
)
def test_gamepad_axes(held, pad, axis, value, move, turn):
    pad.axis(axis, value)
    wish = held.read()
    np.testing.assert_allclose(wish.move, move, atol=1e-3)
    np.testing.assert_allclose(wish.turn, turn, atol=1e-3)
    pad.axis(axis, -32768 if axis > 3 else 0)
    assert held.read().idle


def test_gamepad_d_pad_rolls(held, pad):
    pad.button(PAD_RIGHT, True)
    np.testing.assert_array_equal(held.read().turn, [1, 0, 0])
    pad.button(PAD_LEFT, True)
    assert held.read().idle
    pad.button(PAD_RIGHT, False)
    np.testing.assert_array_equal(held.read().turn, [-1, 0, 0])


def test_gamepad_grip_stays_until_it_is_changed_and_rest_opens(held, pad):
    assert held.read().grip == OPEN
    pad.tap(CROSS)
    assert held.read().grip == SHUT
    assert held.read().grip == SHUT
    pad.tap(CIRCLE)
    assert held.read().grip == OPEN
    pad.tap(CROSS)
    held.rest()
    assert held.read().grip == OPEN, "pressed before the episode"


def test_gamepad_marks_once_a_press(held, pad):
    for button, mark in {OPTIONS: Mark.SUCCESS, CREATE: Mark.FAILURE, TRIANGLE: Mark.REDO}.items():
        assert held.mark() is None
        pad.button(button, True)
        held.read()  # the press falls between two questions
        assert held.mark() is mark
        assert held.mark() is None, "held down"
        pad.button(button, False)
        pad.tap(button)
        assert held.mark() is mark, "a tap between two readings"
    pad.tap(OPTIONS)
    pad.tap(TRIANGLE)
    assert held.mark() is Mark.REDO, "the more careful one"


def test_an_unplugged_gamepad_asks_for_nothing_and_says_so(held, pad):
    pad.axis(1, -32767)
    pad.tap(CROSS)
    assert not held.read().idle
    pad.unplug()
    for _ in range(3):
        wish = held.read()
        assert wish.idle and "unplugged" in wish.trouble
        assert wish.grip == SHUT, "what it holds it keeps"
    assert held.mark() is None


def test_a_gamepad_that_comes_back_is_heard_once_it_is_let_go(held, pad):
    pad.unplug()
    held.read()
    pad.plug()
    assert held.read().idle, "SDL has not heard of it yet, and takes every stick for centred"
    held.clock.time += SETTLE / 2
    pad.axis(1, -32767)
    pad.button(CROSS, True)
    pad.button(OPTIONS, True)
    for _ in range(5):
        wish = held.read()
        assert wish.idle and not wish.trouble and wish.grip == OPEN and held.mark() is None
        held.clock.time += SETTLE
    pad.axis(1, 0)
    held.read()
    pad.axis(1, -32767)
    assert held.read().move[0] == pytest.approx(1)


def test_a_trigger_that_sdl_has_not_heard_of_does_not_lift_the_arm(pad):
    """Until a trigger is touched SDL may take it for half pressed."""
    pad.axis(4, 0)
    pad.axis(5, 32767)
    with Gamepad(Wound()) as device:
        settled(device)
        pad.axis(5, -32768)
        device.read()
        pad.axis(5, 32767)
        assert device.read().move[2] == pytest.approx(1), "the other one is still not believed"


def test_what_is_held_when_an_episode_begins_has_to_be_let_go(held, pad):
    pad.axis(1, -32767)
    pad.button(PAD_LEFT, True)
    pad.button(OPTIONS, True)
    held.rest()
    assert held.read().idle and held.mark() is None


def test_gamepad_can_be_left_and_entered_again(pad):
    device = Gamepad(Wound())
    with device:
        pad.axis(0, 32767)
    if isinstance(pad, VirtualPad):
        pad.__init__(pytest.MonkeyPatch())
        pad.plug()
    with device:
        settled(device)


def test_no_gamepad_is_refused_by_name(pad):
    pad.unplug()
    with pytest.raises(UserError, match="no gamepad"):
        Gamepad().__enter__()


def test_sdls_numbers():
    pygame = pytest.importorskip("pygame")
    names = ("A", "B", "Y", "BACK", "START", "DPAD_LEFT", "DPAD_RIGHT")
    found = [getattr(pygame, f"CONTROLLER_BUTTON_{name}") for name in names]
    assert found == [CROSS, CIRCLE, TRIANGLE, CREATE, OPTIONS, PAD_LEFT, PAD_RIGHT]


def test_sdl_leaves_sigterm_alone():
    """SDL takes SIGTERM over where nobody has: `kill` would not end a session."""
    pytest.importorskip("pygame")
    code = (
        "import os, signal\nfrom robot.teleop.gamepad import Gamepad\nfrom mpr.core.errors import UserError\n"
        "try:\n    Gamepad().__enter__()\nexcept UserError: pass\n"
        "import pygame._sdl2.controller as c; c.init()\nos.kill(os.getpid(), signal.SIGTERM)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SDL_")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False, capture_output=True)
    assert done.returncode == -15, done


# ---- SpaceMouse: fake, and pyspacemouse on fake reports


@pytest.fixture(params=["fake", "pyspacemouse"])
def cap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cap:
    return Cap(monkeypatch, real=request.param == "pyspacemouse")


def stepped(device: SpaceMouse, clock: Wound, seconds: float = 0.1) -> Wish:
    clock.time += seconds
    return device.read()


@pytest.fixture
def mouse(cap: Cap) -> Iterator[tuple[SpaceMouse, Cap, Wound]]:
    """Entered, and seen at rest."""
    clock = Wound()
    with SpaceMouse(clock) as device:
        for _ in range(2):
            stepped(device, clock)
        yield device, cap, clock


@pytest.mark.parametrize(
    ("kind", "raw", "vector"),
    [
        (1, (0, -350, 0), (1, 0, 0)),  # pushed away from the user
        (1, (-350, 0, 0), (0, 1, 0)),  # to the left
        (1, (0, 0, -350), (0, 0, 1)),  # lifted
        (2, (0, -350, 0), (1, 0, 0)),  # HID: about an axis towards the user; the right hand's rule throughout
        (2, (-350, 0, 0), (0, 1, 0)),  # tipped forward
        (2, (0, 0, -350), (0, 0, 1)),  # HID: clockwise is positive
    ],
)
def test_spacemouse_axes(mouse, kind, raw, vector):
    device, cap, clock = mouse
    cap.report(kind, *raw)
    wish = stepped(device, clock)
    np.testing.assert_allclose(wish.move if kind == 1 else wish.turn, vector, atol=1e-9)
    np.testing.assert_allclose(wish.turn if kind == 1 else wish.move, ZERO)


def test_spacemouse_never_leaves_full_deflection(mouse):
    device, cap, clock = mouse
    cap.report(1, 0, -500, 0)
    assert stepped(device, clock).move[0] == 1


def test_the_newest_of_many_reports_counts(mouse):
    device, cap, clock = mouse
    for value in range(0, 60):
        cap.report(1, 0, -value * 5, 0)
    assert stepped(device, clock).move[0] == pytest.approx(59 * 5 / 350)
    assert not cap.reports


def test_a_deflected_cap_that_falls_silent_asks_for_nothing(mouse):
    device, cap, clock = mouse
    cap.report(1, 0, -350, 0)
    assert not stepped(device, clock).idle
    assert not stepped(device, clock, 0.05).idle, "one period's jitter is no silence"
    assert stepped(device, clock, 0.06).idle
    assert stepped(device, clock).idle


def test_reports_of_a_pause_tell_of_the_past(mouse):
    """A full queue drops the zeros that say that the cap was let go."""
    device, cap, clock = mouse
    for _ in range(100):
        cap.report(1, 0, -350, 0)
    cap.report(3, 1)  # dropped by the kernel, as the zeros are
    cap.report(1, 0, 0, 0)
    assert stepped(device, clock, 5.0).idle
    assert stepped(device, clock).idle
    cap.report(1, 0, -350, 0)
    assert not stepped(device, clock).idle


def test_a_button_of_a_pause_does_not_grip(mouse):
    device, cap, clock = mouse
    cap.report(3, 1)
    assert stepped(device, clock, 5.0).grip == OPEN


def test_spacemouse_buttons_grip_even_when_pressed_between_readings(mouse):
    device, cap, clock = mouse
    cap.report(3, 1)
    cap.report(3, 0)
    assert stepped(device, clock).grip == SHUT
    assert stepped(device, clock).grip == SHUT
    cap.report(3, 2)
    assert stepped(device, clock).grip == OPEN
    cap.report(3, 1)
    device.rest()
    assert stepped(device, clock).grip == OPEN
    assert device.mark() is None


def test_an_unplugged_spacemouse_asks_for_nothing_says_so_and_comes_back(mouse):
    device, cap, clock = mouse
    cap.report(1, 0, -350, 0)
    assert not stepped(device, clock).idle
    cap.plugged = False
    for _ in range(30):
        wish = stepped(device, clock)
        assert wish.idle and "unplugged" in wish.trouble
    cap.plugged = True
    back = [stepped(device, clock).trouble for _ in range(25)]
    assert back[-1] == "" and cap.opens == 2, "looked for now and then"
    cap.report(1, 0, -350, 0)
    assert not stepped(device, clock).idle


def test_a_cap_held_while_it_is_opened_has_to_be_let_go(cap):
    clock = Wound()
    with SpaceMouse(clock) as device:
        assert stepped(device, clock, 0.05).idle  # nothing has been heard yet: that is not at rest
        for _ in range(5):
            cap.report(1, 0, -350, 0)
            assert stepped(device, clock, 0.05).idle
        cap.report(1, 0, 0, 0)
        stepped(device, clock)
        cap.report(1, 0, -350, 0)
        assert not stepped(device, clock).idle
        device.rest()
        cap.report(1, 0, -350, 0)
        assert stepped(device, clock).idle


def test_no_spacemouse_is_refused_by_name(cap):
    cap.plugged = False
    with pytest.raises(UserError, match="no SpaceMouse"):
        SpaceMouse().__enter__()


@pytest.mark.parametrize(("module", "device"), [("pygame", Gamepad), ("pyspacemouse", SpaceMouse)])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, device):
    def refuse(name: str, package: str | None = None):
        if name == module:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return None

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UserError, match=r"pip install -e '\.\[teleop\]'"):
        device().__enter__()
