"""Small demonstrations with a known teacher, in memory; what tests of policies learn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rl.demonstrations import Demonstration


def toy_demonstration(
    seed: int,
    length: int = 20,
    width: int = 3,
    teacher: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    cameras: tuple[str, ...] = (),
    shape: tuple[int, int] = (24, 32),
) -> Demonstration:
    """States [T+1, width] are a random walk, the last of them constant; actions are the teacher's (default: two)."""
    rng = np.random.default_rng(seed)
    states = np.cumsum(rng.normal(0, 0.1, (length + 1, width)), 0).astype(np.float32)
    states[:, -1] = 0.7
    actions = np.stack([states[:-1, 0], -2 * states[:-1, 1]], 1) if teacher is None else teacher(states[:-1])
    frames = {camera: rng.integers(0, 256, (length + 1, *shape, 3), dtype=np.uint8) for camera in cameras}
    times = np.arange(length + 1) / 12.5
    return Demonstration(states, actions.astype(np.float32), actions.astype(np.float32), times, True, seed, frames)
