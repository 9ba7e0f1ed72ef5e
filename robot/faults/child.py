"""A process that runs one `mpr` command and kills itself, as `kill -9` would, at one point of its work.

    python -m robot.faults.child MODULE:NAME[.METHOD] CALL ARGUMENTS...

Killed is it on entering the CALL-th call of what is named. A disk that is full is made by whoever starts it.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from functools import wraps
from typing import Any

from mpr.cli import main as mpr


def holder_of(point: str) -> tuple[Any, str]:
    """What holds the point, "MODULE:NAME[.METHOD]", and the name of it there."""
    module, _, path = point.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    return holder, name


def deadly(point: str, call: int) -> None:
    """Put the point's own death in its place."""
    holder, name = holder_of(point)
    whole, calls = getattr(holder, name), 0

    @wraps(whole)
    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*args, **kwargs)

    setattr(holder, name, dying)


if __name__ == "__main__":
    deadly(sys.argv[1], int(sys.argv[2]))
    sys.exit(mpr(sys.argv[3:]))
