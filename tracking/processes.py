"""The same work in one process or several: units that are independent, results that do not depend on how many."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def mapped(work: Callable[[Unit], Result], units: Sequence[Unit], workers: int) -> Iterable[Result]:
    """work(unit) of every unit: in order with one worker; with more as they come, each in a fresh process."""
    if workers == 1:
        yield from map(work, units)
        return
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(work, units, chunksize=1)
