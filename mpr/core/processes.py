"""The same work in one process or several, here or on a Ray cluster.

Units are independent, and results do not depend on how many processes there are, or where.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TypeVar

from mpr.core.errors import UserError

ENGINES = ("local", "ray")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # of a worker, unless the user says otherwise
WORKER_KILLED = "a worker process was killed (is there enough memory?): the same command goes on"
Unit = TypeVar("Unit")
Result = TypeVar("Result")


def mapped(
    work: Callable[[Unit], Result], units: Sequence[Unit], workers: int, fresh: bool = True, engine: str = "local"
) -> Iterable[Result]:
    """The results of work(unit) of every unit: in order with one worker, with more as they come.

    With more workers each unit has a process of its own if `fresh`. `engine` ray hands them to Ray instead, one CPU
    each. Workers die with the process that started them. Raises what a unit raised, UserError where a worker was killed
    (short of memory, say), and for an engine that does not exist.
    """
    check_engine(engine)
    if engine == "ray":
        from mpr.core.ray_engine import on_ray

        yield from on_ray(work, units, workers, fresh)
        return
    if workers == 1:
        yield from map(work, units)
        return
    with ProcessPoolExecutor(workers, spawn(), start_worker, max_tasks_per_child=1 if fresh else None) as pool:
        try:
            for done in as_completed([pool.submit(work, unit) for unit in units]):
                yield done.result()
        except BrokenProcessPool as error:
            raise UserError(WORKER_KILLED) from error
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # or the pool would wait for what they are at
            raise


def check_engine(engine: str) -> None:
    """Raises UserError for an engine that does not exist."""
    if engine not in ENGINES:
        raise UserError(f"engine '{engine}': there is {', '.join(ENGINES)}")


_STARTING = threading.Lock()


@contextmanager
def defaults(**variables: str) -> Iterator[None]:
    """Environment variables, where the user has not set them, for what is started meanwhile."""
    with _STARTING:
        mine = {name: value for name, value in variables.items() if name not in os.environ}
        os.environ.update(mine)
        try:
            yield
        finally:
            for name in mine:
                os.environ.pop(name, None)


class _Worker(SpawnProcess):
    """A process with one CPU thread, together with `one_thread` in it."""

    def start(self) -> None:
        with defaults(**ONE_THREAD):
            super().start()


class _Spawn(SpawnContext):
    Process = _Worker


def spawn() -> SpawnContext:
    """How workers start: not by a fork, which would share this process's OpenGL context; one CPU thread each."""
    return _Spawn()


def one_thread() -> None:
    """OpenCV takes all cores, whatever the environment says: eight workers would be eight times as many threads."""
    import cv2

    cv2.setNumThreads(1)


def start_worker(number: int = 0) -> None:
    """Set up one of several workers of one kind: to be called first in each.

    Of the GPUs that CUDA_VISIBLE_DEVICES names, they take turns by their numbers.
    """
    one_thread()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    end_with_parent()


def no_bar() -> bool | None:
    """tqdm's `disable` for what a worker does too: there its bar would run over the command's; else as tqdm finds."""
    return True if multiprocessing.parent_process() is not None else None


def end_with_parent() -> None:
    """Or a killed command's workers would go on writing where the same command, started again, writes."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def cpu_threads(count: int, opencv: bool = False) -> Iterator[None]:
    """So many CPU threads for torch, and if asked for OpenCV; afterwards as many as before."""
    import torch

    parts: list[tuple[Callable[[], int], Callable[[int], None]]] = [(torch.get_num_threads, torch.set_num_threads)]
    if opencv:
        import cv2

        parts.append((cv2.getNumThreads, cv2.setNumThreads))
    before = [told() for told, _ in parts]
    try:
        for _, take in parts:
            take(count)
        yield
    finally:
        for (_, take), number in zip(parts, before, strict=True):
            take(number)
