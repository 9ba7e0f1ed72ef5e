"""The same work in one process or several, here or on a Ray cluster: units that are independent, results that do not
depend on how many or where."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import TypeVar

from tracking.errors import UserError

ENGINES = ("local", "ray")
KILLED = "a worker process was killed (is there enough memory?): the same command goes on"
Unit = TypeVar("Unit")
Result = TypeVar("Result")


def mapped(
    work: Callable[[Unit], Result], units: Sequence[Unit], workers: int, fresh: bool = True, engine: str = "local"
) -> Iterable[Result]:
    """work(unit) of every unit: in order with one worker; with more as they come, each in a process of its own if
    `fresh`. `engine` ray hands them to Ray instead, one CPU each.

    Workers die with the process that started them. Raises what a unit raised, UserError where a worker was killed
    (short of memory, say), and for an engine that does not exist.
    """
    check_engine(engine)
    if engine == "ray":
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
            raise UserError(KILLED) from error
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # or the pool would wait for what they are at
            raise


def check_engine(engine: str) -> None:
    """Raises UserError for an engine that does not exist."""
    if engine not in ENGINES:
        raise UserError(f"engine '{engine}': there is {', '.join(ENGINES)}")


def spawn() -> BaseContext:
    """How workers start: not by a fork, which would share this process's OpenGL context; one CPU thread each, together
    with `one_thread` in the worker."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    return multiprocessing.get_context("spawn")


def on_ray(
    work: Callable[[Unit], Result],
    units: Sequence[Unit],
    workers: int,
    fresh: bool,
    retries: int = 0,
    lost: Callable[[Unit], Result] | None = None,
) -> Iterable[Result]:
    """On the cluster that RAY_ADDRESS names, or one started here with `workers` CPUs for as long as this takes. Its
    machines must share this one's folders. A unit whose worker was killed is tried `retries` times more; then its
    result is lost(unit), or UserError is raised."""
    import ray
    from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

    home = os.getcwd()

    def at_home(unit: Unit) -> Result:
        one_thread()
        os.chdir(home)  # units name folders as the command's user did
        return work(unit)

    spawn()  # for the threads
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's default to come; it warns until it is set
    address = os.environ.get("RAY_ADDRESS")
    here = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        _reach(address)
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **here)
    except (OSError, ValueError) as error:
        raise UserError(f"no Ray cluster answers at RAY_ADDRESS={address}: start one there, or unset it") from error
    try:
        task = ray.remote(num_cpus=1, max_retries=retries, max_calls=1 if fresh else 0)(at_home)
        unit_of = {task.remote(unit): unit for unit in units}
        waiting = list(unit_of)
        while waiting:
            (done,), waiting = ray.wait(waiting)
            try:
                result = ray.get(done)
            except (WorkerCrashedError, OutOfMemoryError):  # this unit's; a machine that is lost takes all with it
                if lost is None:
                    raise
                result = lost(unit_of[done])
            yield result
    except RayTaskError as error:
        raise error.cause from error  # as it was raised: ray adds where
    except RayError as error:  # a worker crashed, was short of memory, or its machine was lost
        raise UserError(KILLED) from error
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Raises OSError or ValueError where nobody listens at host:port, for which Ray itself would look for minutes."""
    if address and ":" in address:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()


def one_thread() -> None:
    """OpenCV takes all cores, whatever the environment says: eight workers would be eight times as many threads."""
    import cv2

    cv2.setNumThreads(1)


def start_worker(number: int = 0) -> None:
    """First in each of several workers of one kind: of the GPUs that CUDA_VISIBLE_DEVICES names, they take turns by
    their numbers."""
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
