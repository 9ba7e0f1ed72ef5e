"""The same work in one process or several: units that are independent, results that do not depend on how many."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tracking.errors import UserError

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def mapped(work: Callable[[Unit], Result], units: Sequence[Unit], workers: int, fresh: bool = True) -> Iterable[Result]:
    """work(unit) of every unit: in order with one worker; with more as they come, each in a process of its own if
    `fresh`.

    Workers die with the process that started them. Raises UserError where one was killed (short of memory, say).
    """
    if workers == 1:
        yield from map(work, units)
        return
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    spawn = multiprocessing.get_context("spawn")  # a forked process would share the parent's GL context
    each = 1 if fresh else None
    with ProcessPoolExecutor(workers, spawn, _end_with_parent, max_tasks_per_child=each) as pool:
        try:
            for done in as_completed([pool.submit(work, unit) for unit in units]):
                yield done.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed (is there enough memory?): the same command goes on"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """Or a killed command's workers would go on writing where the same command, started again, writes."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
