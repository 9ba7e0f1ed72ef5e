"""Episodes one after another: run, marked, on disk and closed before the next begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode, load_episode
from robot.action import SIZE
from robot.environment import FrankaEnv, Observation, Stopped
from robot.interrupt import uninterrupted
from robot.operator import Mark
from robot.recording.film import ending
from robot.recording.recorder import Recorder

Residual = Callable[[Observation], NDArray[np.float32]]  # [8] in -1..1


def no_residual(_: Observation) -> NDArray[np.float32]:
    return np.zeros(SIZE, np.float32)


def session(
    env: FrankaEnv,
    recorder: Recorder,
    count: int,
    seed: int = 0,
    residual: Residual = no_residual,
    finish: Callable[[Episode], Episode] = lambda episode: episode,
) -> Iterator[Path]:
    """Until `count` episodes are on disk, those that were there already included: each new one's folder.

    An episode that the operator wants redone is not kept, and begins again from the same seed; quitting ends the
    session. The first episode's seed is `seed`, each other's one more than the last one's that was kept.
    """
    seed = max([seed, *(1 + int(load_episode(folder).about.get("seed", -1)) for folder in recorder.whole.values())])
    while len(recorder.whole) < count:
        recorder.check_room(env.step_limit, (camera.features for camera in env.cameras))
        try:
            episode, mark = one_episode(env, seed, residual)
        except Stopped:
            return
        if mark in (Mark.REDO, Mark.QUIT):
            env.finished = episode = None
            env.operator.say(f"not kept: {mark.value}")
            if mark is Mark.QUIT:
                return
            continue
        with uninterrupted():  # the arm is held: there is time to keep what somebody marked
            episode = finish(episode)
            folder = recorder.save(episode)
            env.operator.say(f"{folder.name}: {told(episode)}")
        env.finished = episode = None  # its pictures are on disk: they need not be in memory too
        seed += 1
        yield folder


def one_episode(env: FrankaEnv, seed: int, residual: Residual = no_residual) -> tuple[Episode, Mark | None]:
    """From reset to its end. Raises Stopped where the operator quits before it began."""
    observation, _ = env.reset(seed=seed)
    while True:
        observation, _, terminated, truncated, info = env.step(residual(observation))
        if terminated or truncated:
            assert env.finished is not None
            return env.finished, info["mark"]


def told(episode: Episode) -> str:
    """An episode in one line."""
    about: dict[str, Any] = dict(episode.about)
    held = ", ".join(f"{kind} {count}" for kind, count in about["held"].items())
    return f"{ending(episode)} after {len(episode)} steps" + (f"; held at: {held}" if held else "")
