"""What a test could leave behind in its process: read before and after, told by name, and put back."""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest

# Set by libraries as they are imported, by whichever test comes first; and pytest's own.
OF_IMPORTS = (
    "_TORCHINDUCTOR_",
    "LD_LIBRARY_PATH",  # OpenCV's
    "SDL_",  # pygame's
    "PYGAME_",
    "TORCHINDUCTOR_",
    "TRITON_",
    "MUJOCO_GL",
    "PYOPENGL_PLATFORM",
    "KMP_",
    "PYTEST_",
    "MPR_TEST_GL",
)
OF_PYTEST = {signal.SIGALRM}  # pytest-timeout's
OF_LIBRARIES = ("tqdm_monitor", "asyncio_", "pymp-")  # threads that they start once and keep
CACHE = type(functools.cache(len))
OF_PRODUCT = ("tracking.", "mpr.", "rl.", "robot.")
OURS = (*OF_PRODUCT, "tests.")
MOST_GB = 2.0  # of a test process, between two files
HIGH_GB = 1.6  # between two tests: from here on it lets go of what it can,
MORE_GB = 0.1  # and again when so much more is held (a second each time, after tests that compile)
GRACE = 60.0  # seconds for a thread that has nothing more to do


OF_TORCH = {"threads": "num_threads", "type": "default_dtype", "products": "float32_matmul_precision"}


class Table(dict[Any, Any]):
    """A table's items, equal where they are the same things: arrays among them have no plain equality."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table) or list(self) != list(other):
            return False
        return all(mine is theirs for mine, theirs in zip(self.values(), other.values(), strict=True))

    __hash__ = None  # type: ignore[assignment]


def tables() -> dict[str, Table]:
    """What the constant tables of our modules hold: a test that changes a size changes it for all that follow."""
    modules = [(name, module) for name, module in sys.modules.items() if name.startswith(OF_PRODUCT)]
    return {
        f"table {name}:{table}": Table(value)
        for name, module in modules
        for table, value in vars(module).items()
        if isinstance(value, dict) and table.isupper() and not table.startswith("_")
    }


def state() -> dict[str, Any]:
    """What is watched, by name."""
    kept = {f"signal {number.name}": signal.getsignal(number) for number in set(signal.Signals) - OF_PYTEST}
    kept |= {f"variable {k}": v for k, v in os.environ.items() if not k.startswith(OF_IMPORTS)}
    kept |= {"working folder": os.getcwd(), "sys.excepthook": sys.excepthook, "numpy's errors": np.geterr()}
    kept |= {"logging's level": logging.root.level, "logging disabled below": logging.root.manager.disable}
    if (torch := sys.modules.get("torch")) is not None:
        kept |= {f"torch's {name}": getattr(torch, f"get_{told}")() for name, told in OF_TORCH.items()}
        kept["torch's gradients"] = torch.is_grad_enabled()
        kept["torch's determinism"] = torch.are_deterministic_algorithms_enabled()
        kept["torch's denormals"] = bool(torch.tensor(1e-40) * 1 != 0)
    if (cv2 := sys.modules.get("cv2")) is not None:
        kept["OpenCV's threads"] = cv2.getNumThreads()
    if (matplotlib := sys.modules.get("matplotlib")) is not None:
        kept["matplotlib's back end"] = dict.__getitem__(matplotlib.rcParams, "backend")
    return kept | tables()


def put_back(name: str, value: Any) -> None:
    """One of what is watched as it was, so that no following test stumbles over it."""
    kind, _, what = name.partition(" ")
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    ways: dict[str, Callable[[], object]] = {
        "working folder": lambda: os.chdir(value),
        "sys.excepthook": lambda: setattr(sys, "excepthook", value),
        "numpy's errors": lambda: np.seterr(**value),
        "logging's level": lambda: logging.root.setLevel(value),
        "logging disabled below": lambda: logging.disable(value),
    }
    if kind == "signal":
        signal.signal(signal.Signals[what], value)
    elif kind == "variable":
        os.environ.pop(what, None)
        os.environ.update({what: value} if value is not None else {})
    elif kind == "table":
        module, _, table = what.partition(":")
        kept = getattr(sys.modules[module], table)
        kept.clear()
        kept.update(value)
    elif name in ways:
        ways[name]()
    elif kind == "matplotlib's":
        dict.__setitem__(sys.modules["matplotlib"].rcParams, "backend", value)
    elif kind == "OpenCV's" and cv2 is not None:
        cv2.setNumThreads(value)
    elif kind == "torch's" and torch is not None:
        {
            **{name: getattr(torch, f"set_{told}") for name, told in OF_TORCH.items()},
            "gradients": torch.set_grad_enabled,
            "determinism": torch.use_deterministic_algorithms,
            "denormals": lambda kept: torch.set_flush_denormal(not kept),
        }[what](value)


def let_go() -> None:
    """What modules keep for their next call (kitchens of 60 MB each), and memory that Python has freed and the system
    has not got back."""
    for module in [module for name, module in sys.modules.items() if name.startswith(OURS)]:
        for kept in vars(module).values():
            if type(kept) is CACHE:
                kept.cache_clear()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


class Memory:
    """Lets go between two tests where the process is large, and has grown since: libraries stay, whatever one does."""

    def __init__(self) -> None:
        self.left_gb = 0.0  # when it last let go

    def let_go(self) -> None:
        let_go()
        self.left_gb = memory_gb()

    def let_go_if_grown(self) -> None:
        if memory_gb() > max(HIGH_GB, self.left_gb + MORE_GB):
            self.let_go()


def memory_gb() -> float:
    """Resident memory of this process now."""
    return psutil.Process().memory_info().rss / 1e9


def peak_gb() -> float:
    """The most that was resident since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e9


def threads_since(before: set[threading.Thread]) -> list[str]:
    """Threads that were not there before and do not end by themselves."""
    until = time.monotonic() + GRACE
    while True:
        new = [t for t in set(threading.enumerate()) - before if not t.name.startswith(OF_LIBRARIES)]
        if not new or time.monotonic() > until:
            return sorted(t.name for t in new)
        time.sleep(0.02)


@contextmanager
def as_found() -> Iterator[None]:
    """Fails where something else is there than before; begins with random numbers that no other test has drawn from."""
    before, threads = state(), set(threading.enumerate())
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    yield
    after = state()
    # What belongs to a library that was loaded meanwhile was not there before.
    new = [n for n in sorted({*before, *after}) if before.get(n) != after.get(n)]
    new = [name for name in new if name in before or name.startswith("variable ")]
    left = [f"{name}: {before.get(name)} before, {after.get(name)} after" for name in new]
    left += [f"thread {name}" for name in threads_since(threads)]
    for name in new:
        put_back(name, before.get(name))
    if left:
        pytest.fail("left behind in this process: " + "; ".join(left), pytrace=False)
