"""A thread that stops the arm when the loop that commands it hangs. Nothing that fails in it ends it."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Self

from robot.hardware.fault_kind import FaultKind
from robot.safety.guard import Guard

_RATE_HZ = 20.0


class Watchdog:
    """While entered, asks the guard several times a second whether a command is overdue.

    Where the guard fails at that, nobody watches: the arm is held, a person asked.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        untold = ""
        while not self._over.wait(1 / _RATE_HZ):
            try:
                self.guard.watch()
            except Exception as error:
                untold = f"the watchdog failed: {type(error).__name__}: {error}".splitlines()[0]
            if untold and self._told(untold):
                untold = ""

    def _told(self, message: str) -> bool:
        """The guard tells once what lasts. Where it cannot even do that, the arm is stopped without it."""
        try:
            self.guard.fault(FaultKind.WATCHDOG, message)
        except Exception:
            with suppress(Exception):
                self.guard.arm.stop()
            return False
        return True
