"""A point that must reach a goal, and a base policy that is nearly good enough: residual RL in milliseconds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from mpr.core.data.episode import Episode
from rl.environments.residual import ResidualEnvironment
from rl.policies.residual import ResidualPolicy
from rl.residual.algorithm import ResidualSAC
from tests.toy_demonstrations import demonstration

LIMIT = 20
SMALL = {"net_arch": [16, 16]}


class Reach(gymnasium.Env):
    """State [4]: position and goal. Action [2]: velocity, 0.1 a step. Success within `radius` of the goal."""

    def __init__(self, radius: float = 0.06, limit: int = LIMIT) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)
        self.radius, self.limit = radius, limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal, self.steps = np.zeros(2), self.np_random.uniform(-0.6, 0.6, 2), 0
        return self._state(), {"success": False}

    def step(self, action):
        self.at = self.at + 0.1 * np.asarray(action, np.float64)
        self.steps += 1
        success = bool(np.linalg.norm(self.at - self.goal) < self.radius)
        truncated = self.steps >= self.limit and not success
        return self._state(), float(success), success, truncated, {"success": success}

    def _state(self):
        return np.concatenate([self.at, self.goal])


class Chunked:
    """Steers to a point beside the goal, 3 actions at a time, with noise of its own. Counts what tests ask about."""

    def __init__(self, miss: float = 0.09, noise: float = 0.05, chunk: int = 3) -> None:
        self.miss, self.noise, self.chunk = miss, noise, chunk
        self.queue: list[np.ndarray] = []
        self.cameras: dict[str, tuple[int, int]] = {}

    def reset(self, seed: int, look=None) -> None:
        self.queue, self.rng = [], np.random.default_rng([seed, 7])

    def act(self, observation):
        if not self.queue:
            at, goal = np.asarray(observation, np.float64)[:2], np.asarray(observation, np.float64)[2:4]
            for _ in range(self.chunk):
                step = np.clip(4 * (goal + self.miss - at), -0.8, 0.8) + self.rng.normal(0, self.noise, 2)
                self.queue.append(step.astype(np.float32))
                at = at + 0.1 * step
        return self.queue.pop(0)


def demonstrate(seed: int, environment: Reach | None = None) -> Episode:
    """The straight way, with noise on what is executed."""
    environment = environment or Reach()
    rng = np.random.default_rng([seed, 3])
    state, _ = environment.reset(seed=seed)
    states, labels, sent, success, over = [state], [], [], False, False
    while not over:
        label = np.clip(8 * (state[2:] - state[:2]), -0.9, 0.9)
        executed = np.clip(label + rng.normal(0, 0.1, 2), -1, 1)
        state, _, success, truncated, _ = environment.step(executed)
        over = success or truncated
        states.append(state)
        labels.append(label)
        sent.append(executed)
    arrays = (np.array(values, np.float32) for values in (states, labels, sent))
    return demonstration(*arrays, times=np.arange(len(states)) / 12.5, success=success, seed=seed)


def wrapped(residual_scale: float = 0.1, limit: int = 20, radius: float = 0.06, **base) -> ResidualEnvironment:
    return ResidualEnvironment(Reach(radius, limit), Chunked(**base), residual_scale)


def learner(environment=None, **settings) -> ResidualSAC:
    given: dict[str, Any] = {
        "seed": 3,
        "batch_size": 16,
        "buffer_size": 500,
        "learning_starts": 0,
        "policy_kwargs": dict(SMALL),
    }
    given |= {"train_freq": (1, "episode"), "gradient_steps": -1, "device": "cpu"}
    return ResidualSAC(ResidualPolicy, environment or wrapped(), **given | settings)
