"""Arms by name: how each is made and what its --host says. Imports none of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mpr.core.errors import UserError
from mpr.core.registry import Registry
from robot.hardware.arm import Arm
from robot.hardware.clock import Clock

SIMULATED = "simulated"
ARMS = Registry(
    "arm",
    "mpr.arms",
    {
        SIMULATED: "robot.simulated:simulated",  # with a world around it: robot.station asks it for more than an arm
        "franky": "robot.arms.franky:FRANKY",
        "polymetis": "robot.arms.polymetis:POLYMETIS",
    },
)


@dataclass(frozen=True)
class Reached:
    """How an arm is to be reached."""

    host: str
    clock: Clock  # that the session runs on
    enforce_real_time: bool = True  # refuse a kernel that is not real-time, where the driver asks


@dataclass(frozen=True)
class ArmDriver:
    """Makes an arm beside which people and cameras stand."""

    make: Callable[[Reached], Arm]  # connects nothing
    host: str = ""  # what --host says, in words; empty: it needs none
    host_form: str = ".+"  # regular expression that it matches


def arm_driver(name: str) -> ArmDriver:
    """The driver of that name, other than the simulated one. Raises UserError naming those that exist."""
    found = ARMS.load(name)
    if not isinstance(found, ArmDriver):
        raise UserError(f"arm '{name}' is {found!r}, no ArmDriver of robot.arms.registry")
    return found


def check_host(name: str, host: str) -> None:
    """Raises UserError where the arm of that name cannot be reached so."""
    driver = arm_driver(name)
    if driver.host and not re.fullmatch(driver.host_form, host):
        raise UserError(f"--arm {name}: needs --host, {driver.host}")
