"""Work over processes: the same results, and nothing left behind."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from mpr.core.errors import UserError
from mpr.core.processes import ONE_THREAD, cpu_threads, mapped
from tests.apart import apart
from tests.process_state import state

PARENT = """
import sys
from tests.core.test_processes import linger
from mpr.core.processes import mapped
if __name__ == "__main__":
    list(mapped(linger, [sys.argv[1], sys.argv[1]], 2, engine=sys.argv[2]))
"""


each_engine = pytest.mark.parametrize(
    "engine", ["local", pytest.param("ray", marks=pytest.mark.slow)]
)  # ray: 20 s each


def square(x: int) -> int:
    return x * x


def end_at_once(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def linger(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(250)


def niceness(_: int) -> int:
    return os.nice(0)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def refuse(x: int) -> int:
    raise UserError(f"no {x} here")


def all_mapped(work: Callable[[int], int], units: list[int], engine: str) -> list[int]:
    return sorted(mapped(work, units, 2, engine=engine))


def test_results_do_not_depend_on_the_number_of_processes_or_the_engine():
    assert list(mapped(square, [1, 2, 3], 1)) == [1, 4, 9]
    assert all_mapped(square, [1, 2, 3], "local") == [1, 4, 9]
    with pytest.raises(UserError, match="there is local, ray"):
        list(mapped(square, [1], 1, engine="abacus"))


def threads_of(_: int) -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in ONE_THREAD)


def test_workers_have_one_thread_and_the_process_that_starts_them_its_own_variables(monkeypatch):
    for name in ONE_THREAD:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    assert list(mapped(threads_of, [1, 2], 2)) == [("1", "1")] * 2
    assert dict(os.environ) == before
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # the user's word
    assert list(mapped(threads_of, [1, 2], 2)) == [("3", "1")] * 2


def test_a_command_s_threads_are_its_own():
    before = torch.get_num_threads(), cv2.getNumThreads()
    with pytest.raises(KeyboardInterrupt), cpu_threads(7, opencv=True):
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (7, 7)
        raise KeyboardInterrupt
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def changed_by_ray(starts: bool) -> list[str]:
    """What a process has otherwise after work on Ray, or after Ray did not start; a refusal's words among it."""
    importlib.import_module("mpr.core.ray_engine")  # its tables are there from here on
    before = state()
    with pytest.MonkeyPatch.context() as patch:
        if not starts:
            import ray

            before = state()
            patch.setattr(ray, "init", lambda **_: exec("raise Exception('The node timed out.\\nIt may be')"))
        try:
            assert all_mapped(square, [1, 2, 3], "ray") == [1, 4, 9]
        except UserError as error:
            return [*(name for name, value in state().items() if before.get(name) != value), str(error)]
    return [name for name, value in state().items() if before.get(name) != value]


def test_ray_leaves_the_process_that_calls_it_as_it_was():
    assert apart(changed_by_ray, True) == []


def test_ray_that_does_not_start_is_named_in_one_line():
    (said,) = apart(changed_by_ray, False)
    assert said.startswith("Ray does not start on this machine (The node timed out. It may be)")


@each_engine
def test_a_worker_gives_way_to_others_no_more_than_the_command_that_started_it(engine):
    assert apart(all_mapped, niceness, [1, 2], engine) == [os.nice(0)] * 2


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:door"])
def test_a_cluster_that_does_not_answer_is_named(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"no Ray cluster answers at RAY_ADDRESS={address}"):
        list(mapped(square, [1, 2], 2, engine="ray"))


@each_engine
def test_a_killed_worker_is_named_and_not_waited_for(engine):
    with pytest.raises(UserError, match="a worker process was killed"):
        apart(all_mapped, end_at_once, [1, 2], engine)


@each_engine
def test_a_refusal_is_the_worker_s_own_words(engine):
    with pytest.raises(UserError) as refused:
        apart(all_mapped, refuse, [7, 8], engine)
    assert len(str(refused.value).splitlines()) == 1 and str(refused.value) in ("no 7 here", "no 8 here")


REFUSED = """
import time
from tests.core.test_processes import refuse_or_linger
from mpr.core.errors import UserError
from mpr.core.processes import mapped
if __name__ == "__main__":
    try:
        list(mapped(refuse_or_linger, [0, 10_000], 2))
    except UserError as error:
        print(error)
"""


def refuse_or_linger(seconds: int) -> None:
    if not seconds:
        raise UserError("not here")
    time.sleep(seconds)


def test_a_refusal_neither_waits_for_the_others_nor_says_more(tmp_path):
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=250)
    assert (done.stdout, done.stderr) == ("not here\n", "")


@each_engine
def test_workers_end_with_the_command_that_started_them(tmp_path, engine):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), engine])
    until = time.monotonic() + 250
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    workers = [int(file.name) for file in tmp_path.iterdir()]
    assert len(workers) == 2 and all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait()
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)
