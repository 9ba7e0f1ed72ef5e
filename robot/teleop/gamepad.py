"""A gamepad through SDL's game controller interface (pygame), which knows each model's axes: DualSense and its kin.

Not the joystick interface: there the order of the axes differs between drivers, and triggers rest at -1, or at 0 until
they are first touched. No window and no video driver is needed.
"""

from __future__ import annotations

import importlib
import os
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.operator import Mark, most_careful
from robot.teleop.device import OPEN, SHUT, LetGo, Wish
from tracking.errors import UserError

# SDL's numbers, the same for every model
AXES = ("left x", "left y", "right x", "right y", "left trigger", "right trigger")  # right and down are positive
CROSS, CIRCLE, SQUARE, TRIANGLE, CREATE, PS, OPTIONS = range(7)
PAD_LEFT, PAD_RIGHT = 13, 14
FULL = 32767

MARKS = {OPTIONS: Mark.SUCCESS, CREATE: Mark.FAILURE, TRIANGLE: Mark.REDO}
GRIPS = {CROSS: SHUT, CIRCLE: OPEN}
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

    def __init__(self) -> None:
        self._sdl: Any = None
        self._pad: Any = None
        self._let_go = LetGo(7)  # axes and d-pad
        self._down: set[int] = set()  # buttons
        self._grip = OPEN
        self._said: list[Mark] = []

    def __enter__(self) -> Gamepad:
        for name in SETTINGS:
            os.environ.setdefault(name, "1")
        try:
            self._sdl = importlib.import_module("pygame._sdl2.controller")
        except ModuleNotFoundError as error:
            raise UserError("a gamepad needs the package pygame: pip install -e '.[teleop]'") from error
        self._sdl.init()
        self._sdl.update()
        self._find()
        if self._pad is None:
            self._close()
            raise UserError("no gamepad found: plug it in or pair it, and see that you may read /dev/input/event*")
        self.rest()
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
        """Deflections [7] of the axes and the d-pad; none without a pad. Takes in the buttons."""
        self._sdl.update()
        if self._pad is not None and not self._pad.attached():
            self._drop()
        if self._pad is None:
            self._find()
        if self._pad is None:
            return None
        down = {button for button in (*MARKS, *GRIPS, PAD_LEFT, PAD_RIGHT) if self._pad.get_button(button)}
        pressed, self._down = sorted(down - self._down), down
        for button in pressed:
            self._grip = GRIPS.get(button, self._grip)  # of both at once: open
        self._said += [MARKS[button] for button in pressed if button in MARKS]
        axes = [self._pad.get_axis(axis) / FULL for axis in range(len(AXES))]
        return np.clip([*axes, (PAD_RIGHT in down) - (PAD_LEFT in down)], -1, 1)

    def _find(self) -> None:
        for index in range(self._sdl.get_count()):
            with suppress(self._sdl.error):  # gone since it was counted
                if self._sdl.is_controller(index):
                    self._pad = self._sdl.Controller(index)
                    self._let_go.forget()
                    self._down = set(range(PAD_RIGHT + 1))  # a button held while it is plugged in is not pressed
                    return

    def _drop(self) -> None:
        pad, self._pad = self._pad, None
        if pad is not None:
            pad.quit()

    def _close(self) -> None:
        self._drop()
        self._sdl.quit()
