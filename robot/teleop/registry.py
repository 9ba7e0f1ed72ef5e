"""Teleoperation devices by name."""

from __future__ import annotations

from robot.teleop.device import Teleop
from robot.teleop.gamepad import Gamepad
from robot.teleop.keyboard import KeyboardTeleop
from robot.teleop.keys import Keys
from robot.teleop.spacemouse import SpaceMouse
from tracking.errors import UserError

DEVICES = ("gamepad", "spacemouse", "keyboard")


def teleop(name: str, keys: Keys) -> Teleop:
    """The device, not yet opened. `keys` are the operator's own, which the keyboard shares. Raises UserError for a name
    that is none."""
    if name not in DEVICES:
        raise UserError(f"teleoperation device '{name}': there is {', '.join(DEVICES)}")
    return {"gamepad": Gamepad, "spacemouse": SpaceMouse, "keyboard": lambda: KeyboardTeleop(keys)}[name]()
