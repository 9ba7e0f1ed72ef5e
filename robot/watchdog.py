"""A thread that stops the arm when the loop that commands it hangs."""

from __future__ import annotations

import threading
from typing import Self

from robot.guard import Guard

RATE_HZ = 20.0


class Watchdog:
    """While entered, asks the guard several times a second whether a command is overdue."""

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
        while not self._over.wait(1 / RATE_HZ):
            self.guard.watch()
