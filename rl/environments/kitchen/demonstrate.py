"""One demonstration by the scripted expert: a random start, its own speed, noise on what is executed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpr.core.data.episode import Episode
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import opening_plan
from rl.environments.kitchen.rollout import follow_plan
from rl.environments.kitchen.setting import NOISE

STREAM = 100  # of random numbers, beside those of `episodes`
RECORDED_VIEW = "front"  # of the recording; images can be rendered from any


def demonstrate(environment: KitchenEnvironment, seed: int, noise: float = NOISE, rest: int = 0) -> Episode:
    """The expert's attempt at the start that `seed` gives, in float32.

    It ends at the first success, or `rest` steps at rest later, or has `success` False. `teacher_actions` are the
    expert's before `noise` (standard deviation, action units, only the arm) was added.
    """
    state, _ = environment.reset(seed=seed)
    rng = np.random.default_rng([seed, STREAM])
    plan, limit = opening_plan(environment, rng), environment.step_limit
    made = follow_plan(environment, state, plan, rng, noise, view=RECORDED_VIEW, step_limit=limit, rest=rest)
    singles = {name: array.astype(np.float32) for name, array in made.arrays.items() if name != "times"}
    return replace(made, seed=seed, **singles)
