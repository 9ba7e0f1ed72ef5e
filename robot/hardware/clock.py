"""Time, and a pace kept to absolute deadlines. A simulator brings a clock of its own; tests, one that they wind."""

from __future__ import annotations

import atexit
import gc
import time
from dataclasses import dataclass
from typing import Protocol

_ROUNDING = 1e-6  # of a period: who comes exactly at a deadline is not a period too early for it


class Clock(Protocol):
    """Seconds from anywhere, never backwards."""

    def now(self) -> float: ...

    def sleep_until(self, deadline: float) -> None:
        """Return at once where the deadline has passed."""
        ...


class WallClock:
    """This machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep_until(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(left)


@dataclass(frozen=True)
class Beat:
    """One deadline."""

    due: float  # seconds of the clock
    woke: float
    busy: float  # seconds from the last waking until this beat was waited for
    missed: int  # deadlines before this one that passed while busy: it took more than two periods

    @property
    def late(self) -> float:
        """Seconds: the machine's own where it slept, the work's where that overran."""
        return self.woke - self.due


class Pace:
    """Deadlines a period apart, counted from the start, so that lateness does not add up.

    Work that overruns its period starts the next one late, and has that much less time for it; deadlines that it ran
    over altogether are dropped and counted: there is no burst to catch up.
    """

    def __init__(self, clock: Clock, rate_hz: float) -> None:
        if not 0 < rate_hz < 1e4:
            raise ValueError(f"a pace of {rate_hz:g} Hz")
        self.clock, self.period = clock, 1 / rate_hz
        self.restart()

    def restart(self) -> None:
        """Count from now: the next deadline is one period away."""
        self._start = self._woke = self.clock.now()
        self._beat = 0
        self.overruns = 0  # beats that were waited for after they were due

    def wait(self) -> Beat:
        """Sleep until the next deadline; at once where it has passed."""
        asked = self.clock.now()
        beat = max(self._beat + 1, int((asked - self._start) / self.period + _ROUNDING))
        due = self._start + beat * self.period
        self.overruns += asked > due
        self.clock.sleep_until(due)
        made = Beat(due, self.clock.now(), asked - self._woke, beat - self._beat - 1)
        self._beat, self._woke = beat, made.woke
        return made


def collect_now() -> None:
    """Run Python's full collection of garbage now, so that none comes while there is a pace to keep.

    It stops all threads, for 0.3 s where torch is loaded (half a million objects). What is left is not gone through
    again before the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


atexit.register(gc.unfreeze)  # or extensions would tell of all that was not collected at the end as leaked
