"""One demonstration by the scripted expert: a random start, its own speed, noise on what is executed."""

from __future__ import annotations

import numpy as np

from rl.demonstrations import Demonstration
from rl.kitchen.environment import KitchenEnvironment
from rl.kitchen.expert import opening_plan
from rl.kitchen.recording import scene_recording
from rl.kitchen.rollout import NOISE, follow

STREAM = 100  # of random numbers, beside those of `episodes`
VIEW = "front"  # of the recording; pictures can be rendered from any


def demonstrate(environment: KitchenEnvironment, seed: int, noise: float = NOISE) -> Demonstration:
    """The expert's attempt at the start that `seed` gives. It ends at the first success, or has `success` False.

    `actions` are the expert's before `noise` (standard deviation, action units, arm alone) was added; `executed` after.
    """
    state, _ = environment.reset(seed=seed)
    rng = np.random.default_rng([seed, STREAM])
    rollout = follow(environment, state, opening_plan(environment, rng), rng, noise)
    recording = scene_recording(environment.task, environment.base_offset, rollout.qpos, VIEW)
    return Demonstration(
        states=rollout.states.astype(np.float32),
        actions=rollout.labels.astype(np.float32),
        executed=rollout.actions.astype(np.float32),
        times=recording.times,
        success=rollout.terminated,
        seed=seed,
        recording=recording,
    )
