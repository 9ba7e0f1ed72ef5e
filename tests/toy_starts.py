"""Episodes of one step, and of nothing that takes long to import: which starts are played, in processes too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from rl.environments.residual import ResidualEnvironment
from rl.policies.base_policy import ZeroPolicy


class Blink(gymnasium.Env):
    """State [1]: a number drawn from the start. Its one step is a time-out."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(0, 1, 1)
        return self.state.copy(), {}

    def step(self, action: Any) -> Any:
        return self.state.copy(), 0.0, False, True, {"success": False}


def blinking(**settings: Any) -> ResidualEnvironment:
    return ResidualEnvironment(Blink(), ZeroPolicy(1), **settings)


def makers(count: int, **settings: Any) -> list[Callable[[], gymnasium.Env]]:
    return [lambda: blinking(**settings) for _ in range(count)]
