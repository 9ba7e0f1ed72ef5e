"""A gamepad through SDL's game controller interface (pygame), which knows each model's axes: DualSense and its kin.

Not the joystick interface: there the order of the axes differs between drivers, and triggers rest at -1, or at 0 until
they are first touched. No window and no screen is needed. Presses are taken from SDL's events, so that a tap
between two readings counts; only from those, since pygame 2.6 fails (SystemError) over the news that a joystick is
gone that it never opened.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.processes import defaults
from robot.hardware.clock import Clock, WallClock
from robot.teleop.device import OPEN, SHUT, LetGo, Wish
from robot.teleop.keys import Keys
from robot.teleop.operator import Mark, most_careful

# SDL's numbers, the same for every model
_AXES = ("left x", "left y", "right x", "right y", "left trigger", "right trigger")  # right and down are positive
CROSS, CIRCLE, SQUARE, TRIANGLE, CREATE, PS, OPTIONS = range(7)
PAD_LEFT, PAD_RIGHT = 13, 14
FULL = 32767

SETTLE = 0.2  # seconds after a pad is found, in which SDL may not know yet what is held

_MARKS = {OPTIONS: Mark.SUCCESS, CREATE: Mark.FAILURE, TRIANGLE: Mark.REDO}
_GRIPS = {CROSS: SHUT, CIRCLE: OPEN}
SETTINGS = (
    "PYGAME_HIDE_SUPPORT_PROMPT",
    "SDL_NO_SIGNAL_HANDLERS",  # else SDL swallows SIGTERM: the process could not be ended in the ordinary way
    "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS",  # else a pad is deaf while another window has the focus
)


class Gamepad(AbstractContextManager["Gamepad"]):
    """As `about` has it, seen by who stands behind the arm's base and looks where it looks."""

    about = """left stick    forward, back, left, right (x, y of the base)
R2, L2        up, down
right stick   tip forward or back, turn left or right (about y, z)
d-pad         left, right: roll (about x)
cross, circle shut, open the gripper
options       success    create  failure    triangle  redo"""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or WallClock()
        self._pygame: Any = None
        self._sdl: Any = None
        self._pad: Any = None
        self._let_go = LetGo(7)  # axes and d-pad
        self._grip = OPEN
        self._said: list[Mark] = []

    def __enter__(self) -> Gamepad:
        with defaults(**dict.fromkeys(SETTINGS, "1")):  # read as they are imported and as they begin
            try:
                self._pygame = importlib.import_module("pygame")
                self._sdl = importlib.import_module("pygame._sdl2.controller")
            except ModuleNotFoundError as error:
                raise UserError("a gamepad needs the package pygame: pip install -e '.[teleop]'") from error
            with _variable("SDL_VIDEODRIVER", "dummy"):  # SDL's events go through its video part
                self._pygame.display.init()
            self._sdl.init()
        self.rest()
        if self._pad is None:
            self._close()
            raise UserError("no gamepad found: plug it in or pair it, and see that you may read /dev/input/event*")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def read(self) -> Wish:
        deflections = self._poll()
        if deflections is None:
            nothing = np.zeros(3)
            return Wish(nothing, nothing, self._grip, "the gamepad is unplugged, or out of reach: nothing is asked for")
        left_x, left_y, right_x, right_y, down, up, roll = self._let_go(deflections)
        return Wish(np.array([-left_y, -left_x, up - down]), np.array([roll, -right_y, -right_x]), self._grip)

    def rest(self) -> None:
        self._poll()  # what is pressed now was not pressed in the episode
        self._grip, self._said = OPEN, []
        self._let_go.forget()

    def mark(self) -> Mark | None:
        self._poll()
        said, self._said = self._said, []
        return most_careful(said)

    def _poll(self) -> NDArray[np.float64] | None:
        """Deflections [7] of the axes and the d-pad; none without a pad. Takes in what was pressed."""
        events = self._pygame.event
        pressed = [event.button for event in events.get(self._pygame.CONTROLLERBUTTONDOWN)]
        events.clear(pump=False)
        if self._pad is not None and not self._pad.attached():
            self._drop()
        self._pad = pad = self._pad or self._find()
        if pad is None:
            return None
        if self.clock.now() - self._found < SETTLE:
            self._let_go.forget()
            return np.zeros(7)
        for button in pressed:
            self._grip = _GRIPS.get(button, self._grip)
        self._said += [_MARKS[button] for button in pressed if button in _MARKS]
        axes = [pad.get_axis(axis) / FULL for axis in range(len(_AXES))]
        return np.clip([*axes, pad.get_button(PAD_RIGHT) - pad.get_button(PAD_LEFT)], -1, 1)

    def _find(self) -> Any:
        for index in range(self._sdl.get_count()):
            with suppress(RuntimeError):  # gone since it was counted
                if self._sdl.is_controller(index):
                    pad, self._found = self._sdl.Controller(index), self.clock.now()
                    return pad
        return None

    def _drop(self) -> None:
        pad, self._pad = self._pad, None
        if pad is not None:
            pad.quit()

    def _close(self) -> None:
        self._drop()
        self._sdl.quit()
        self._pygame.display.quit()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable, for a moment."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ.update({} if before is None else {name: before})


def device(keys: Keys) -> Gamepad:
    """By the name in the registry."""
    return Gamepad()
