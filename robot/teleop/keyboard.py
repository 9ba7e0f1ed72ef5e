"""The keys of a terminal as a device: for a first look and for simulators; a pad or a SpaceMouse leads better.

A terminal does not tell when a key is let go. A press counts for `HELD` seconds from the earliest moment at which it
can have been typed; a key that is held repeats itself, half a second after the press. So the arm moves for a moment,
waits, then moves on until `HELD` after the key is let go; and what was typed while nobody looked counts for nothing.
Wants to be read 10 times a second.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

import numpy as np

from robot.teleop.device import OPEN, SHUT, Wish
from robot.teleop.keys import Keys
from robot.teleop.operator import Mark

HELD = 0.25  # seconds: longer than the time between two readings and two repeats (30 to 90 ms) together
MOVES = {"i": (0, 1), "k": (0, -1), "j": (1, 1), "l": (1, -1), "u": (2, 1), "o": (2, -1)}  # key: axis, sign
TURNS = {"I": (1, 1), "K": (1, -1), "J": (0, -1), "L": (0, 1), "U": (2, 1), "O": (2, -1)}
KEY_AXES = MOVES | {key: (3 + axis, sign) for key, (axis, sign) in TURNS.items()}
KEY_AXES |= {"up": KEY_AXES["i"], "down": KEY_AXES["k"], "left": KEY_AXES["j"], "right": KEY_AXES["l"]}
SPEEDS = {"1": 0.2, "2": 0.4, "3": 1.0}  # deflections: 3, 8 and 25 mm a step
KEY_GRIPS = {"x": SHUT, "z": OPEN}
KEYS = frozenset({*KEY_AXES, *SPEEDS, *KEY_GRIPS})


class KeyboardTeleop(AbstractContextManager["KeyboardTeleop"]):
    """The keys of a terminal as a device, as `about` has it.

    Directions are as seen by who stands behind the arm's base and looks where it looks. `keys` is entered and left by
    whoever made it. None of its keys is an operator's.
    """

    about = """i, k or up, down      forward, back (x of the base)
j, l or left, right   left, right (y)
u, o                  up, down (z)
I, K   J, L   U, O    tip forward or back, roll left or right, turn left or right (about y, x, z)
x, z                  shut, open the gripper
1, 2, 3               slow, middling, fast"""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._until: dict[str, float] = {}
        self._grip, self._speed = OPEN, SPEEDS["2"]

    def __enter__(self) -> KeyboardTeleop:
        self.rest()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._until.clear()

    def read(self) -> Wish:
        for key in self.keys.take(KEYS):
            self._grip = KEY_GRIPS.get(key.name, self._grip)
            self._speed = SPEEDS.get(key.name, self._speed)
            if key.name in KEY_AXES:
                self._until[key.name] = key.since + HELD
        now, deflections = self.keys.clock.now(), np.zeros(6)
        for axis, sign in {KEY_AXES[name] for name, until in self._until.items() if now < until}:
            deflections[axis] += sign * self._speed
        return Wish(deflections[:3], deflections[3:], self._grip)

    def rest(self) -> None:
        self.keys.take(KEYS)
        self._until.clear()
        self._grip = OPEN

    def mark(self) -> Mark | None:
        """Never: marks are the operator's keys."""
        return None


def device(keys: Keys) -> KeyboardTeleop:
    """By the name in the registry."""
    return KeyboardTeleop(keys)
