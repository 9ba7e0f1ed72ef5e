"""The environment as the residual policy sees it: the base policy acts inside, the action from outside corrects it.

    executed = clip(base + alpha * residual),   observation = state, base action of this very step

so the next observation holds the *next* step's base action, that of a final observation included: a time-out
bootstraps from it. A base policy plans in chunks; every reset drops what is left of one. Nothing here rewards: the
environment's own reward passes through, and the finished episode is kept for a reward model to score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from rl.base_policy import BasePolicy
from tracking.errors import UserError
from tracking.scene import SceneRecording

ALPHA = 0.1  # residual scale (FACTS: the authors' code, as in ResiP and ResFiT)
FIRST_SEED = 10_000  # seeds of training episodes start here; those below are demonstrations'
SELECTION = 500_000  # seeds on which anything may be chosen start here; from 700,000 on they are for reports, used once


Record = Callable[[Any], SceneRecording]  # of the wrapped environment


def observe(state: NDArray, base_action: NDArray) -> NDArray[np.float32]:
    """The residual policy's observation [..., D + A] of states [..., D] and the base policy's actions [..., A]."""
    return np.concatenate([state, base_action], axis=-1).astype(np.float32)


class ResidualEnvironment(gymnasium.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray, NDArray]):
    """Observation float32 [D + A]: `state_slice`, then `base_slice`. Action [A] in [-1, 1]: the residual.

    Each episode has one seed, for environment and base policy alike: the one given to `reset`, else the last one plus
    one (`seed` holds it). So an episode is the same whatever went before, which is all that resuming needs.
    `finished` holds the last complete episode, also after an automatic reset; `record(env)` adds what the simulator
    saw, asked before that reset. `info` gains `is_success` (stable-baselines3's word).
    """

    def __init__(
        self,
        env: gymnasium.Env,
        base: BasePolicy,
        alpha: float = ALPHA,
        *,
        rate_hz: float = 12.5,
        first_seed: int = FIRST_SEED,
        record: Record | None = None,
    ) -> None:
        super().__init__(env)
        inner, state = env.action_space, env.observation_space
        for name, space in (("action", inner), ("observation", state)):
            if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
                raise UserError(f"residual RL needs a flat Box {name} space, this environment has {space}")
        assert isinstance(inner, gymnasium.spaces.Box) and isinstance(state, gymnasium.spaces.Box)
        if alpha <= 0:
            raise UserError(f"residual scale {alpha}: it is above 0")
        self.base, self.alpha, self.rate_hz, self.record = base, alpha, rate_hz, record
        self._low, self._high = inner.low.astype(np.float64), inner.high.astype(np.float64)
        size, actions = state.shape[0], inner.shape[0]
        self.state_slice, self.base_slice = slice(0, size), slice(size, size + actions)
        low = np.concatenate([state.low, inner.low]).astype(np.float32)
        high = np.concatenate([state.high, inner.high]).astype(np.float32)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.seed = first_seed - 1
        self.finished: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.seed = self.seed + 1 if seed is None else seed
        state, info = self.env.reset(seed=self.seed, options=options)
        self.base.reset(self.seed)
        self._states, self._bases = [state], [self.ask_base(state)]
        self._residuals: list[NDArray[np.float64]] = []
        self._executed: list[NDArray[np.float64]] = []
        return self._observation(), info

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        residual = np.asarray(action, np.float64)
        executed = np.clip(self._bases[-1] + self.alpha * residual, self._low, self._high)
        state, reward, terminated, truncated, info = self.env.step(executed.astype(self.env.action_space.dtype))
        self._states.append(state)
        self._bases.append(self.ask_base(state))
        self._residuals.append(residual)
        self._executed.append(executed)
        success = bool(info.get("success", False))
        if terminated or truncated:
            self.finished = self._episode(terminated, truncated, success)
        return self._observation(), float(reward), terminated, truncated, {**info, "is_success": success}

    def ask_base(self, state: NDArray) -> NDArray[np.float64]:
        """The base policy's action [A], clipped to what the environment takes."""
        action = np.asarray(self.base.act(state), np.float64)
        if action.shape != self._low.shape or not np.isfinite(action).all():
            raise UserError(f"the base policy gave {action}: {len(self._low)} finite numbers are needed")
        return np.clip(action, self._low, self._high)

    def _observation(self) -> NDArray[np.float32]:
        return observe(self._states[-1], self._bases[-1])

    def _episode(self, terminated: bool, truncated: bool, success: bool) -> Episode:
        steps = len(self._executed)
        return Episode(
            frames={},
            states=np.array(self._states, np.float64),
            times=np.arange(steps + 1) / self.rate_hz,
            base_actions=np.array(self._bases[:steps]),
            residual_actions=np.array(self._residuals),
            executed_actions=np.array(self._executed),
            terminated=terminated,
            truncated=truncated,
            success=success,
            recording=self.record(self.env) if self.record else None,
            about={"seed": self.seed, "alpha": self.alpha},
        )
