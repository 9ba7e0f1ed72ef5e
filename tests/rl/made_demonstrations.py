"""Demonstrations made up for tests, and Minari data sets of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("minari")

import gymnasium
import minari
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from mpr.core.data.episode import Episode
from mpr.core.data.scene import CameraPath, SceneRecording
from rl.data.demonstrations import (
    labels,
)

PIXELS = (40, 36, 3)  # large enough for Minari to take it for an image


def made(seed: int = 0, steps: int = 5, cameras: tuple[str, ...] = (), success: bool = True, size: int = 4) -> Any:
    """Random numbers in a demonstration's form."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.05, 0.1, steps + 1))
    path = CameraPath(rng.normal(size=(steps + 1, 3)), np.tile([0.0, 0, 0, 1], (steps + 1, 1)), 0.8, 64, 64)
    return Episode(
        states=rng.normal(size=(steps + 1, size)).astype(np.float32),
        teacher_actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        executed_actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        times=times,
        terminated=success,
        truncated=not success,
        success=success,
        seed=seed,
        frames={c: rng.integers(0, 256, (steps + 1, *PIXELS), dtype=np.uint8) for c in cameras},
        recording=SceneRecording("kitchen", {"base_offset": [0.01, 0.02]}, rng.normal(size=(steps + 1, 3)), times, 12.5,
                                 path, ("door",), ("door",)),
    )  # fmt: skip


def assert_same(a: Episode, b: Episode) -> None:
    for name in ("states", "executed_actions", "times"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype
    np.testing.assert_array_equal(labels(a), labels(b))
    assert (a.success, a.seed, a.task, set(a.frames)) == (b.success, b.seed, b.task, set(b.frames))
    for camera in a.frames:
        assert len(a.frames[camera]) == len(b.frames[camera])
        for t in range(len(a.frames[camera])):
            np.testing.assert_array_equal(a.frames[camera][t], b.frames[camera][t])


def write_minari(root: Path, observations: gymnasium.Space, episodes: list[EpisodeBuffer]) -> Path:
    (root / "some").mkdir(parents=True)
    actions = gymnasium.spaces.Box(-1, 1, (9,), np.float64)
    storage = MinariStorage.new(root / "some", observations, actions)
    storage.update_metadata({"dataset_id": "some-v0", "minari_version": minari.__version__})
    storage.update_episodes(episodes)
    (root / "some").rename(root / "data")
    return root


def stock_episode(number: int, travels: list[float]) -> EpisodeBuffer:
    """As D4RL's kitchen: the microwave's door goes through `travels` while the arm moves a little."""
    rng, steps = np.random.default_rng(number), len(travels) - 1
    observation = rng.normal(scale=0.05, size=(steps + 1, 59))
    observation[:, 18 + 22 - 9] = -np.array(travels)
    goals = {"microwave": observation[:, 31:32], "kettle": observation[:, 32:39]}
    return EpisodeBuffer(
        id=number,
        observations={"observation": observation, "achieved_goal": goals, "desired_goal": goals},
        actions=rng.uniform(-1, 1, (steps, 9)),
        rewards=[0.0] * steps,
        terminations=[False] * steps,
        truncations=[False] * (steps - 1) + [True],
    )


def numbers(size: int) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
