"""Waiting in tests for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PLENTY = 60.0  # seconds: for machines that are busy


def until(holds: Callable[[], object], seconds: float = PLENTY) -> None:
    """Return once it holds; fails where it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.005)
