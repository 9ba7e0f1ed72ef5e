"""When a fault is on: from the k-th command of the session, for some seconds of its clock, or until a person mends."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from robot.hardware.clock import Clock


class Trigger:
    """Shared by what injects a fault. `sent` is told of every command; `mended`, of every recovery."""

    def __init__(self, clock: Clock, command: int, seconds: float = math.inf) -> None:
        self.clock, self.command, self.seconds = clock, command, seconds
        self.commands = 0
        self.began = math.inf  # seconds of the clock
        self._mended = False

    def sent(self) -> None:
        self.commands += 1
        if self.commands == self.command:
            self.began = self.clock.now()

    def mended(self) -> None:
        self._mended = self.happened

    @property
    def happened(self) -> bool:
        """Whether it is on, or was."""
        return self.began < math.inf

    @property
    def on(self) -> bool:
        return not self._mended and 0 <= self.clock.now() - self.began < self.seconds


def once(holder: Any, name: str, trigger: Trigger, do: Callable[[], object]) -> None:
    """Have `do` run before the first call of a method after the fault began; what it raises comes out of the call.

    The method is the one called `name`, of `holder`. Later calls are as ever.
    """
    whole, done = getattr(holder, name), False

    @wraps(whole)
    def calling(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        if trigger.happened and not done:
            done = True
            do()
        return whole(*args, **kwargs)

    setattr(holder, name, calling)
