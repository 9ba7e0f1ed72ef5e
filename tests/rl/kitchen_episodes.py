"""Scripted episodes of the kitchen for tests, each made once a process."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")


from mpr.core.data.episode import Episode
from rl.environments.kitchen.config import EPISODE_KINDS
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.episodes import attempt_episode
from rl.environments.kitchen.tasks import KITCHEN_TASKS, find_task

SEED = 600_000
TASK_NAMES, KIND_NAMES = list(KITCHEN_TASKS.ours), list(EPISODE_KINDS)


@lru_cache(maxsize=32)
def episode(task: str, kind: str, seed: int = SEED, view: str = "front") -> Episode:
    return attempt_episode(task, kind, seed, view)


def travel_of(made: Episode) -> np.ndarray:
    assert made.recording is not None
    return find_task(made.task).travel(made.recording.qpos)


def open_to(environment: KitchenEnvironment, travel: float) -> None:
    qpos = environment.data.qpos.copy()
    qpos[environment.task.qpos] = environment.task.sign * travel
    environment.write_qpos(qpos)
