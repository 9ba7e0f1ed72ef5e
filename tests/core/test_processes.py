"""Work over processes: the same results, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracking.errors import UserError
from tracking.processes import mapped

PARENT = """
import sys
from tests.test_processes import linger
from tracking.processes import mapped
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
    time.sleep(60)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def refuse(x: int) -> int:
    raise UserError(f"no {x} here")


def test_results_do_not_depend_on_the_number_of_processes_or_the_engine():
    assert list(mapped(square, [1, 2, 3], 1)) == [1, 4, 9]
    assert sorted(mapped(square, [1, 2, 3], 2)) == [1, 4, 9]
    assert sorted(mapped(square, [1, 2, 3], 2, engine="ray")) == [1, 4, 9]
    with pytest.raises(UserError, match="there is local, ray"):
        list(mapped(square, [1], 1, engine="abacus"))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:door"])
def test_a_cluster_that_does_not_answer_is_named(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"no Ray cluster answers at RAY_ADDRESS={address}"):
        list(mapped(square, [1, 2], 2, engine="ray"))


@each_engine
def test_a_killed_worker_is_named_and_not_waited_for(engine):
    with pytest.raises(UserError, match="a worker process was killed"):
        list(mapped(end_at_once, [1, 2], 2, engine=engine))


@each_engine
def test_a_refusal_is_the_worker_s_own_words(engine):
    with pytest.raises(UserError) as refused:
        list(mapped(refuse, [7, 8], 2, engine=engine))
    assert len(str(refused.value).splitlines()) == 1 and str(refused.value) in ("no 7 here", "no 8 here")


REFUSED = """
import time
from tests.test_processes import refuse_or_linger
from tracking.errors import UserError
from tracking.processes import mapped
if __name__ == "__main__":
    try:
        list(mapped(refuse_or_linger, [0, 40], 2))
    except UserError as error:
        print(error)
"""


def refuse_or_linger(seconds: int) -> None:
    if not seconds:
        raise UserError("not here")
    time.sleep(seconds)


def test_a_refusal_neither_waits_for_the_others_nor_says_more(tmp_path):
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("not here\n", "") and time.monotonic() - started < 30


@each_engine
def test_workers_end_with_the_command_that_started_them(tmp_path, engine):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), engine])
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    workers = [int(file.name) for file in tmp_path.iterdir()]
    assert len(workers) == 2 and all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait()
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)
