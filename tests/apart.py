"""Work in a process of its own: for libraries that leave much behind in theirs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def apart(work: Callable[..., Result], *arguments: object) -> Result:
    """work(*arguments), done in a new process, which ends with it, or at once where the test runs out of time."""
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BaseException:  # to leave the pool is to wait for its process
            for child in set(multiprocessing.active_children()) - others:
                child.kill()
            raise
