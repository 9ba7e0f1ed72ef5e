"""Small demonstrations with a known teacher, in memory; what tests of policies learn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource
from mpr.core.data.episode import Episode
from rl.policies.base_policy import BasePolicy


def toy_demonstration(
    seed: int,
    length: int = 20,
    width: int = 3,
    cameras: tuple[str, ...] = (),
    shape: tuple[int, int] = (24, 32),
) -> Episode:
    """States [T+1, width] are a random walk, the last of them constant; actions have two dimensions."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.1, (length + 1, width)), 0).astype(np.float32)
    walk[:, -1] = 0.7
    actions = np.stack([walk[:-1, 0], -2 * walk[:-1, 1]], 1)
    frames = {camera: rng.integers(0, 256, (length + 1, *shape, 3), dtype=np.uint8) for camera in cameras}
    times = np.arange(length + 1) / 12.5
    return demonstration(walk, actions, actions, times, seed, frames)


def demonstration(
    states: NDArray[np.float32],
    teacher: NDArray[np.float32],
    executed: NDArray[np.float32],
    times: NDArray[np.float64],
    seed: int = 0,
    frames: Mapping[str, FrameSource] | None = None,
    success: bool = True,
) -> Episode:
    """States [T+1, D] between the teacher's actions [T, A], as they were executed."""
    return Episode(
        states=states,
        times=times,
        executed_actions=executed,
        teacher_actions=teacher,
        terminated=success,
        truncated=not success,
        success=success,
        frames=frames or {},
        seed=seed,
    )


def states(length: int, seed: int = 0) -> NDArray[np.float64]:
    """States [length, 3] of nothing in particular."""
    return np.random.default_rng(seed).normal(size=(length, 3))


def played(actor: BasePolicy, seed: int, seen: NDArray[np.float64]) -> NDArray[np.float32]:
    """The actions [T, A] of an episode in which the actor sees these states [T, D]."""
    actor.reset(seed)
    return np.stack([actor.act(state) for state in seen])
