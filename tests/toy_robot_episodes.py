"""Robot episodes made up from numbers, and what kills and starves a process that saves them."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.data.step_log import StepLog
from robot.recording.recorder import DiskFull, Recorder, episode_folders

TOUCHES = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.listdir", "os.scandir", "shutil.rmtree")


def texture(seed: int, t: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """An image with edges, colours and some noise, unlike any other seed's or time's."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin((x + 7 * t + 3 * seed) / 5) * np.cos(y / 7), np.sin((x - 5 * t) / 9 + y / 4), np.cos((y + t) / 6)]
    noise = np.random.default_rng([seed, t]).normal(0, 3, (height, width, 3))
    return (128 + 80 * np.stack(waves, -1) + noise).clip(0, 255).astype(np.uint8)


def robot_episode(number: int = 0, /, steps: int = 5, cameras: tuple[str, ...] = ("world",), **changes: Any) -> Episode:
    """Times are measured: they jitter about 10 Hz, from wherever the clock stood."""
    rng = np.random.default_rng(number)
    seen = [np.stack([texture(10 * number + i, t) for t in range(steps + 1)]) for i in range(len(cameras))]
    made: dict[str, Any] = {
        "frames": dict(zip(cameras, seen, strict=True)),
        "states": rng.normal(size=(steps + 1, 7)),
        "times": 1000 * rng.random() + np.cumsum(0.1 + 0.01 * rng.uniform(-1, 1, steps + 1)),
        **{f"{name}_actions": rng.uniform(-1.2, 1.2, (steps, 8)) for name in ("base", "residual", "executed")},
        **{"terminated": True, "truncated": False, "success": True},
        **{"task": "open the microwave", "about": {"arm": "simulated"}},
    }
    return Episode(**{**made, **changes})


def noted(
    steps: int, idle: Sequence[int] = (), held: Sequence[int] = (), led: Sequence[int] = (), **stale: Sequence[int]
) -> StepLog:
    """A log in which these steps are idle, held, led by a hand, and what is named was too old in these views."""
    step, view = np.arange(steps), np.arange(steps + 1)
    why = np.where(np.isin(step, held), "guard", "")
    flags = {"idle": np.isin(step, idle), "led": np.isin(step, led)}
    return StepLog(held=why, **flags, stale={name: np.isin(view, at) for name, at in stale.items()})


def same_arrays(a: Episode, b: Episode) -> bool:
    first, second = ({**one.arrays, **one.log.arrays} for one in (a, b))
    same = first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
    return same and all(getattr(a, name) == getattr(b, name) for name in ("about", "task", "seed", "rate_hz"))


def _fork(work: Any) -> tuple[int, int]:
    """A child that does `work(write)` and ends; its number, and where to read what it wrote."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(lambda number: os.write(writing, b"%d\n" % number))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    return child, reading


def _end(child: int, reading: int) -> tuple[bool, list[int]]:
    """Whether it was killed, and the numbers it wrote."""
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    with os.fdopen(reading) as pipe:
        return os.WIFSIGNALED(status), [int(line) for line in pipe]


def _check(root: Path, told: list[int], found: dict[str, int]) -> Recorder:
    """After a kill: what was told to be saved is whole, and nothing that is there is not. Ready for the next."""
    recorder = Recorder(root)
    assert not recorder.damaged, recorder.damaged
    assert set(told) <= set(recorder.whole) == set(episode_folders(root))
    assert not list(root.glob(".episode*")), "leftovers go"
    if told:
        assert same_arrays(load_episode(recorder.whole[told[-1]]), robot_episode(steps=3))
    found["leftovers"] += len(recorder.leftovers)
    return recorder


def kill_at_every_phase(root: Path) -> dict[str, int]:
    """At each file and folder that saving touches, one after the other."""
    told: list[int] = []
    found = {"kills": 0, "leftovers": 0}
    killed = True
    while killed:
        left = found["kills"]

        def work(write: Any, left: int = left) -> None:
            recorder, touched = Recorder(root), 0

            def hook(event: str, arguments: object) -> None:
                nonlocal touched
                touched += event in TOUCHES
                if event in TOUCHES and touched > left:  # os.kill is an event, too
                    os.kill(os.getpid(), signal.SIGKILL)

            episode = robot_episode(steps=3)
            sys.addaudithook(hook)
            recorder.save(episode)
            write(recorder.next_number - 1)

        killed, wrote = _end(*_fork(work))
        told += wrote
        found["kills"] += killed
        _check(root, told, found)
    return {**found, "told": len(told)}


def kill_at_random(root: Path, kills: int) -> dict[str, int]:
    """While it saves one episode after the other."""

    def work(write: Any) -> None:
        while True:
            write(int(recorder.save(episode).name.split("_")[1]))

    recorder, episode = Recorder(root), robot_episode(steps=3)
    began = time.monotonic()
    told = [int(recorder.save(episode).name.split("_")[1])]
    took = time.monotonic() - began
    found = {"leftovers": 0}
    chance = random.Random(0)
    for kill in range(kills):
        child, reading = _fork(work)
        if kill % 2:  # however busy the machine is, some are killed after an episode was saved
            select.select([reading], [], [])
        time.sleep(chance.uniform(0, 2 * took))
        os.kill(child, signal.SIGKILL)
        _, wrote = _end(child, reading)
        assert not set(wrote) & set(told), "a number is given once"
        told += wrote
        recorder = _check(root, told, found)
    return {**found, "told": len(told)}


def starve(root: Path) -> dict[str, int]:
    """Files that may not grow beyond some size, from nothing to enough."""
    recorder = Recorder(root)
    first = recorder.save(robot_episode())
    largest = max(file.stat().st_size for file in first.iterdir())
    refused, tried = 0, [*range(0, largest, largest // 12), largest - 1]
    for most in tried:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        try:
            recorder.save(robot_episode())
        except DiskFull:
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert list(Recorder(root).whole) == [0] and recorder.next_number == 1, (
            "nothing half-written is taken for whole"
        )
        assert {p.name for p in root.iterdir()} <= {".lock", "episodes.jsonl", first.name}
    recorder.save(robot_episode(1))
    again = Recorder(root)
    assert list(again.whole) == [0, 1] and not again.damaged
    return {"refused": refused, "tried": len(tried)}


if __name__ == "__main__":
    known = {"phases": kill_at_every_phase, "random": lambda root: kill_at_random(root, 20), "starve": starve}
    print(json.dumps(known[sys.argv[1]](Path(sys.argv[2]))))
