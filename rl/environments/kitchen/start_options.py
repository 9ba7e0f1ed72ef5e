"""How things stand when an episode begins, by name: functions of the kitchen's joints at reset. Imports no simulator.

A start option changes `qpos` in place, after the arm stands where it starts, and draws from the episode's own numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.registry import Registry
from rl.environments.kitchen.tasks import Task
from rl.environments.setting import Setting

StartOption = Callable[[Task, NDArray[np.float64], np.random.Generator], None]
SHUT, AJAR, PART_OPEN = "shut", "ajar", "part_open"
START_OPTIONS = Registry(
    "start option", "mpr.start_options", {name: f"{__name__}:{name}" for name in (SHUT, AJAR, PART_OPEN)}
)


def start_of(setting: Setting) -> str:
    """The start option that a setting asks for, with --env_options start=NAME or --ajar.

    Raises UserError for one that does not exist, and for other options.
    """
    key, equals, name = setting.options.partition("=")
    if setting.options and (key != "start" or not equals or len(name.split()) != 1):
        raise UserError(f"--env_options {setting.options}: the kitchen takes only start=NAME")
    if name and setting.ajar:
        raise UserError(f"--ajar is short for start=ajar: leave it out beside --env_options {setting.options}")
    found = name or (AJAR if setting.ajar else SHUT)
    START_OPTIONS.check(found)
    return found


def shut(task: Task, qpos: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Leave the kitchen's joints `qpos` [nq] as they are: all shut."""


def ajar(task: Task, qpos: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Open the task's thing by up to `task.ajar`, in the joints `qpos` [nq]."""
    qpos[task.qpos] = task.sign * rng.uniform(0.0, task.ajar)


def part_open(task: Task, qpos: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Open all doors of the task's object by 0.2 to 0.4 of the task's way, in the joints `qpos` [nq].

    Each can be shut, and where there is another it can be opened for the right one. A pair's doors turn against each
    other.
    """
    for joint in task.joints:
        way = task.sign if joint == task.qpos else -task.sign
        qpos[joint] = way * rng.uniform(0.2, 0.4) * task.opened
