"""Units that fail, and units that end their process: named, and nobody else loses anything."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest

from mpr.core.attempts import Failed, attempted
from mpr.core.errors import BadVideo, MissingWeights, NotReady, UserError
from mpr.core.processes import cpu_threads
from tests.apart import apart

each_engine = pytest.mark.parametrize(
    "engine", ["local", pytest.param("ray", marks=pytest.mark.slow)]
)  # ray: 20 s each


def strange(unit: tuple[str, str]) -> int:
    """Fails as told; `folder` counts the tries."""
    kind, folder = unit
    (Path(folder) / f"{kind}_{len(list(Path(folder).glob(kind + '_*')))}").touch()
    if kind == "bad":
        raise BadVideo("no video at all")
    if kind == "bug":
        raise ZeroDivisionError("of a library\nin two lines")
    if kind == "killed" or (kind == "once" and not (Path(folder) / "once_1").exists()):
        os.kill(os.getpid(), signal.SIGKILL)
    return len(kind)


def all_attempted(work: Callable[[Any], Any], units: Sequence[Any], workers: int, engine: str) -> list[tuple[int, Any]]:
    return list(attempted(work, units, workers, engine))


@each_engine
@pytest.mark.parametrize("workers", [1, 2])
def test_each_unit_gives_its_result_or_says_why_not(tmp_path: Path, engine: str, workers: int) -> None:
    kinds = ["good", "bad", "killed", "fine", "bug", "once", "great"]
    units = []
    for kind in kinds:
        (tmp_path / kind).mkdir()
        units.append((kind, str(tmp_path / kind)))
    found = dict(apart(all_attempted, strange, units, workers, engine))
    assert sorted(found) == list(range(len(kinds)))
    by_kind = {kinds[index]: result for index, result in found.items()}
    assert [by_kind[kind] for kind in ("good", "fine", "once", "great")] == [4, 4, 4, 5]
    assert by_kind["bad"] == Failed("bad video", "no video at all")
    killed, bug = by_kind["killed"], by_kind["bug"]
    assert isinstance(killed, Failed) and killed.reason == "worker killed"
    assert isinstance(bug, Failed) and bug.reason == "ZeroDivisionError" and len(bug.message.splitlines()) == 1
    assert "strange" in bug.details
    tries = {kind: len(list((tmp_path / kind).iterdir())) for kind in kinds}
    assert tries == {"good": 1, "bad": 1, "killed": 2, "fine": 1, "bug": 1, "once": 2, "great": 1}


def weightless(_: int) -> int:
    raise MissingWeights("no weights at weights/")


@each_engine
def test_what_no_unit_could_do_without_is_not_tried_again_and_again(engine: str) -> None:
    with pytest.raises(MissingWeights, match="no weights at"):
        apart(all_attempted, weightless, [1, 2, 3], 2, engine)


def full_disk(unit: int) -> int:
    if unit:
        raise OSError(errno.ENOSPC, "No space left on device")
    return unit


def test_a_full_disk_stops_them_all() -> None:
    with pytest.raises(OSError, match="No space left"):
        list(attempted(full_disk, [0, 1, 2], 1))


def own_pid(_: int) -> int:
    return os.getpid()


def test_a_worker_that_is_killed_while_it_waits_costs_no_unit_a_try() -> None:
    found = attempted(own_pid, [0, 1, 2], 1)
    _, first = next(found)
    assert isinstance(first, int)
    os.kill(first, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):  # or it is a zombie, which nobody has waited for yet
        while psutil.Process(first).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    (_, second), (_, third) = found
    assert second == third != first


@pytest.mark.parametrize("wanted", [3, 1])
def test_no_worker_outlives_its_units(wanted: int) -> None:
    """Nor the first result, where nobody asks for a second. Workers left to the interpreter's end kept their process
    waiting for ever where multiprocessing had started it."""
    found = attempted(own_pid, [0, 1, 2], 2)
    pids = [next(found)[1] for _ in range(wanted)]
    found.close()  # type: ignore[attr-defined]
    assert pids and not multiprocessing.active_children()


def not_ready(_: int) -> None:
    raise NotReady("nothing to do it with")


def test_no_worker_outlives_what_stops_them_all() -> None:
    with pytest.raises(NotReady):
        list(attempted(not_ready, [0, 1, 2], 2))
    assert not multiprocessing.active_children()


def seen_gpu(_: int) -> tuple[int, str | None]:
    time.sleep(0.3)  # so that both workers have some
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(("named", "seen"), [("4,7", {"4", "7"}), ("2", {"2"}), (None, {None})])
def test_gpus_that_are_named_are_shared_out(
    monkeypatch: pytest.MonkeyPatch, named: str | None, seen: set[str | None]
) -> None:
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    found = [result for _, result in attempted(seen_gpu, range(6), 2)]
    assert {gpu for _, gpu in found} == seen and len(set(found)) == 2, "a worker keeps its own"


def test_an_engine_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="there is local, ray"):
        list(attempted(strange, [], 1, "abacus"))
    assert list(attempted(strange, [], 2)) == []


def opencv_threads(_: int) -> int:
    return cv2.getNumThreads()


def test_a_worker_is_one_thread_whatever_opencv_takes() -> None:
    with cpu_threads(1, opencv=True):
        cv2.setNumThreads(2)
        assert [found for _, found in attempted(opencv_threads, [0, 1], 2)] == [1, 1]
