"""Units of work of which any may fail: each is tried, what failed is named, and the others go on.

A unit fails by raising, or by ending its process (short of memory, killed): then it is tried once more, and no other
unit loses anything by it.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from mpr.core.errors import NO_ROOM, NotReady, UserError, in_brief
from mpr.core.processes import check_engine, spawn, start_worker
from mpr.core.ray_engine import on_ray

Unit = TypeVar("Unit")
Result = TypeVar("Result")
_TRIES = 2  # of a unit whose process ended


@dataclass(frozen=True)
class Failed:
    """Why a unit came to nothing."""

    reason: str  # a few words, to be counted
    message: str  # one line, of this unit
    details: str = ""  # a traceback, where nobody foresaw this


_KILLED = Failed("worker killed", f"its process was killed {_TRIES} times: is there enough memory?")


def attempted(
    work: Callable[[Unit], Result], units: Sequence[Unit], workers: int, engine: str = "local"
) -> Iterator[tuple[int, Result | Failed]]:
    """(index, work(unit)) of every unit as they come, or Failed in the result's place.

    Each worker is a process that ends with this one; with one worker on the local engine, too. Of several GPUs that
    CUDA_VISIBLE_DEVICES names, each local worker sees one. Raises UserError for an engine that does not exist, and what
    would stop them all: NotReady, ModuleNotFoundError, a full disk.
    """
    check_engine(engine)
    todo = list(enumerate(units))
    if engine == "ray":
        yield from on_ray(partial(_tried, work), todo, workers, fresh=False, retries=_TRIES - 1, lost=_lost)
        return
    waiting, tries = deque(todo), dict.fromkeys(range(len(todo)), 0)
    running: dict[Future, tuple[_Worker, int]] = {}  # a worker is in here or idle whenever a result is given away
    idle = [_Worker(number) for number in range(min(workers, len(todo)))]
    try:
        while waiting or running:
            while idle and waiting:
                worker, (index, unit) = idle.pop(), waiting[0]
                try:
                    running[worker.submit(_tried, work, (index, unit))] = (worker, index)
                except BrokenProcessPool:  # killed while it had nothing to do
                    idle.append(worker.again())
                    continue
                waiting.popleft()
                tries[index] += 1
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                worker, index = running.pop(done)
                broken = isinstance(done.exception(), BrokenProcessPool)
                idle.append(worker.again() if broken else worker)
                if not broken:
                    yield done.result()
                elif tries[index] < _TRIES:
                    waiting.append(todo[index])
                else:
                    yield index, _KILLED
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()  # or this one would wait for what they are at
        raise
    finally:
        for worker in (*idle, *(worker for worker, _ in running.values())):
            # Not left to the interpreter: in a process that multiprocessing started, it closes queues before pools, and
            # waits for ever for workers that nobody told to end.
            worker.shutdown(cancel_futures=True)


class _Worker(ProcessPoolExecutor):
    """A pool of one process, so that its end breaks no other."""

    def __init__(self, number: int) -> None:
        super().__init__(1, spawn(), start_worker, (number,))
        self.number = number

    def again(self) -> _Worker:
        """Another in place of one whose process ended."""
        self.shutdown(wait=False)
        return _Worker(self.number)


def _lost(unit: tuple[int, Unit]) -> tuple[int, Failed]:
    return unit[0], _KILLED


def _tried(work: Callable[[Unit], Result], numbered: tuple[int, Unit]) -> tuple[int, Result | Failed]:
    index, unit = numbered
    return index, attempt_unit(work, unit)


def attempt_unit(work: Callable[[Unit], Result], unit: Unit) -> Result | Failed:
    """The result of work(unit), or why it failed.

    Raises what every other unit would fail of: NotReady, ModuleNotFoundError, a full disk.
    """
    try:
        return work(unit)
    except (NotReady, ModuleNotFoundError):
        raise  # every unit would fail so
    except UserError as error:
        return Failed(error.reason, str(error))
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        return unforeseen(error)
    except Exception as error:  # whatever a library makes of a strange file: it must not stop the others
        return unforeseen(error)


def unforeseen(error: Exception) -> Failed:
    """A failure that nobody foresaw, told by its class, in brief, and with its traceback."""
    return Failed(type(error).__name__, f"{type(error).__name__}: {in_brief(error, 300)}", traceback.format_exc())
