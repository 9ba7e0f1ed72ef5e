"""Teleoperation devices by name: functions of the operator's keys. Imports none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpr.core.registry import Registry

if TYPE_CHECKING:
    from robot.teleop.device import Teleop
    from robot.teleop.keys import Keys

DEVICES = Registry(
    "teleoperation device",
    "mpr.teleop",
    {name: f"robot.teleop.{name}:device" for name in ("gamepad", "spacemouse", "keyboard")},
)


def teleop(name: str, keys: Keys) -> Teleop:
    """The teleoperation device of that name, not yet opened.

    `keys` are the operator's own, which the keyboard shares. Raises UserError for a name that is none.
    """
    return DEVICES.load(name)(keys)
