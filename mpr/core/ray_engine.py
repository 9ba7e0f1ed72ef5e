"""Work on a Ray cluster: the one that RAY_ADDRESS names, or one that is started here for as long as the work takes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from mpr.core.errors import UserError, in_brief
from mpr.core.processes import ONE_THREAD, WORKER_KILLED, defaults, one_thread

STARTS = 3  # tries: Ray waits half a minute for its parts, which a busy machine may not have ready
_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's default to come: it warns until it is set
    "RAY_worker_niceness": "0",  # Ray's 15 leaves a worker a thirtieth of a core beside other work
}
Unit = TypeVar("Unit")
Result = TypeVar("Result")


def on_ray(
    work: Callable[[Unit], Result],
    units: Sequence[Unit],
    workers: int,
    fresh: bool,
    retries: int = 0,
    lost: Callable[[Unit], Result] | None = None,
) -> Iterable[Result]:
    """The results of work(unit) of every unit, as they come from a Ray cluster.

    It is the one that RAY_ADDRESS names, or one started here with `workers` CPUs for as long as this takes. Its
    machines must share this one's folders. A unit whose worker was killed is tried `retries` times more; then its
    result is lost(unit), or UserError is raised.
    """
    home = os.getcwd()

    def at_home(unit: Unit) -> Result:
        one_thread()
        os.chdir(home)  # units name folders as the command's user did
        return work(unit)

    with _cluster(workers):
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

        task = ray.remote(num_cpus=1, max_retries=retries, max_calls=1 if fresh else 0)(at_home)
        unit_of = {task.remote(unit): unit for unit in units}
        waiting = list(unit_of)
        try:
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
            raise UserError(WORKER_KILLED) from error


@contextmanager
def _cluster(workers: int) -> Iterator[None]:
    """Connected. Raises UserError where no cluster answers, or none starts. What Ray leaves in the process that calls
    it, a handler for SIGTERM, an exception hook and variables of its own, is put back as it was."""
    handler, hook, variables = signal.getsignal(signal.SIGTERM), sys.excepthook, dict(os.environ)
    import ray  # which leaves some of it already

    names: set[str] = set()
    try:
        try:
            _start(os.environ.get("RAY_ADDRESS"), workers)
        finally:
            names |= {name for name, value in os.environ.items() if variables.get(name) != value}
        yield
    finally:
        ray.shutdown()
        sys.excepthook = hook
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        for name in names & set(os.environ):
            del os.environ[name]
            os.environ.update({name: variables[name]} if name in variables else {})


def _start(address: str | None, workers: int) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address:
        try:
            _reach(address)
            ray.init(**quiet)
        except (OSError, ValueError) as error:
            raise UserError(f"no Ray cluster answers at RAY_ADDRESS={address}: start one there, or unset it") from error
        return
    for left in reversed(range(STARTS)):
        try:
            with defaults(**ONE_THREAD, **_SETTINGS):
                ray.init(num_cpus=workers, include_dashboard=False, **quiet)
            return
        except Exception as error:  # Ray raises all kinds of them, bare ones too
            ray.shutdown()
            if not left:
                said = in_brief(error)
                raise UserError(f"Ray does not start on this machine ({said}): free some of it, run again") from error


def _reach(address: str) -> None:
    """Raises OSError or ValueError where nobody listens at host:port, for which Ray itself would look for minutes."""
    if ":" in address:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()
