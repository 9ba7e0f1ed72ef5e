"""The environment as the residual policy sees it: the base policy acts inside, the action from outside corrects it.

    executed = clip(base + residual_scale * reach * residual),   observation = state, base action of this very step

`reach` is half of what the environment takes (1 where actions lie in -1..1), so that a residual scale of 1 on a base
policy in the middle spans all of it. The next observation holds the *next* step's base action, that of a final
observation included: a time-out bootstraps from it. A base policy plans in chunks; every reset drops what is left of
one. Nothing here rewards: the environment's own reward passes through, and the finished episode is kept for a reward
model to score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.scene import SceneRecording
from mpr.core.data.step_log import StepLog
from mpr.core.errors import UserError
from rl.environments.practice import TRAVELS
from rl.environments.setting import Setting
from rl.environments.starts import OwnStarts, Starts
from rl.policies.actor import RESIDUAL_SCALE
from rl.policies.base_policy import BasePolicy
from rl.policies.registry import Around, is_named, named_policy

Record = Callable[[Any], SceneRecording]  # of the wrapped environment


def observe(state: NDArray, base_action: NDArray) -> NDArray[np.float32]:
    """The residual policy's observation [..., D + A] of states [..., D] and the base policy's actions [..., A]."""
    return np.concatenate([state, base_action], axis=-1).astype(np.float32)


def flat_boxes(env: gymnasium.Env) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Its action and observation spaces. Raises UserError where they are no flat boxes."""
    found = []
    for name, space in (("action", env.action_space), ("observation", env.observation_space)):
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise UserError(f"residual RL needs a flat Box {name} space, this environment has {space}")
        found.append(space)
    return found[0], found[1]


def middle_and_reach(actions: gymnasium.spaces.Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each action [A], the middle of what the environment takes and half its range; 0 and 1 where it has no end."""
    low, high = actions.low.astype(np.float64), actions.high.astype(np.float64)
    ends = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(ends, low, -1.0), np.where(ends, high, 1.0)
    return (low + high) / 2, (high - low) / 2


def base_for(env: gymnasium.Env, setting: Setting) -> BasePolicy:
    """The base policy that a setting names, for an environment without cameras.

    Zero, the middle of what it takes; or one that `mpr bc` trained. Raises UserError for one with cameras,
    BadCheckpoint for one of other spaces.
    """
    actions, states = flat_boxes(env)
    if is_named(setting.base):
        around = Around(states.shape[0], actions.shape[0], middle_and_reach(actions)[0])
        return named_policy(setting.base, around)
    from mpr.core.checkpoints import refuse_unfinished
    from rl.policies.diffusion.checkpoint import load_actor
    from rl.policies.diffusion.schedule import Sampler

    refuse_unfinished(setting.base, "mpr bc")
    known = {"state": states.shape[0], "action": actions.shape[0]}
    actor = load_actor(setting.base, Sampler("ddim", setting.ddim_steps), lambda step: {}, setting.device, **known)
    if actor.cameras:
        raise UserError(f"{setting.base} sees with cameras {', '.join(actor.cameras)}: --env {setting.env} has none")
    return actor


class ResidualEnvironment(gymnasium.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray, NDArray], OwnStarts):
    """Observation float32 [D + A]: `state_slice`, then `base_slice`. Action [A] in [-1, 1]: the residual.

    Each episode has one seed, for environment and base policy alike: the one given to `reset`, else the next of its
    own (rl.environments.starts, by `role` and the number of this `instance`; an environment to evaluate in takes
    role="evaluation"). So an episode is the same whatever went before. `seed` and every `info` hold it.
    `finished` holds the last complete episode, also after an automatic reset; `record(env)` adds what the simulator
    saw, asked before that reset. `info` gains `is_success` (stable-baselines3's word).
    """

    def __init__(
        self,
        env: gymnasium.Env,
        base: BasePolicy,
        residual_scale: float = RESIDUAL_SCALE,
        *,
        rate_hz: float = 12.5,
        role: str = "training",
        instance: int | None = None,
        record: Record | None = None,
    ) -> None:
        super().__init__(env)
        inner, state = flat_boxes(env)
        for name, value in (("residual scale", residual_scale), ("rate_hz", rate_hz)):
            if not 0 < value < float("inf"):
                raise UserError(f"{name} {value}: it is above 0")
        self.base, self.residual_scale, self.rate_hz, self.record = base, residual_scale, rate_hz, record
        self._low, self._high = inner.low.astype(np.float64), inner.high.astype(np.float64)
        self._reach = middle_and_reach(inner)[1]
        size, actions = state.shape[0], inner.shape[0]
        self.state_slice, self.base_slice = slice(0, size), slice(size, size + actions)
        low = np.concatenate([state.low, inner.low]).astype(np.float32)
        high = np.concatenate([state.high, inner.high]).astype(np.float32)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.starts = Starts(role, instance)
        self.finished: Episode | None = None
        self.has_success = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin the episode of `seed`, else the next: observation [D + A] and its info."""
        start = self.starts.begin(seed)
        state, info = self.env.reset(seed=start, options=options)
        self.base.reset(start)
        self._states, self._bases = [state], [self.ask_base(state)]
        self._residuals: list[NDArray[np.float64]] = []
        self._executed: list[NDArray[np.float64]] = []
        self._rewards: list[float] = []
        return self._observation(), {**info, "seed": start}

    @property
    def seed(self) -> int:
        """Of the episode that was reset to."""
        return self.starts.start

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step by the residual [A], in -1..1: observation [D + A], reward, terminated, truncated, info."""
        self.starts.practise()
        residual = np.asarray(action, np.float64)
        executed = self.compose(self._bases[-1], residual)
        state, reward, terminated, truncated, info = self.env.step(executed.astype(self.env.action_space.dtype))
        self._states.append(state)
        self._bases.append(self.ask_base(state))
        self._residuals.append(residual)
        self._executed.append(executed)
        self._rewards.append(float(reward))
        self.has_success |= "success" in info or "is_success" in info
        success = bool(info.get("success", info.get("is_success", False)))
        if terminated or truncated:
            self.finished = self._episode(terminated, truncated, success, info)
        told = {**info, "is_success": success, "seed": self.seed}
        return self._observation(), float(reward), terminated, truncated, told

    def compose(self, base: NDArray, residual: NDArray) -> NDArray[np.float64]:
        """The base action [A] plus the residual [A], scaled and clipped to what the environment takes."""
        return np.clip(base + self.residual_scale * self._reach * residual, self._low, self._high)

    def correction(self, base: NDArray, wanted: NDArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The residual [A] in -1..1 that makes `wanted` [A] of a base action [A], or comes nearest.

        Also where it falls short, bool [A].
        """
        needed = (np.asarray(wanted, np.float64) - base) / (self.residual_scale * self._reach)
        return np.clip(needed, -1.0, 1.0), np.abs(needed) > 1.0

    def close(self) -> None:
        self.starts.close()
        super().close()

    def features_of(self, episode: Episode) -> NDArray[np.float32]:
        """None, [T+1, 0]: no camera is looked through here."""
        return np.zeros((len(episode) + 1, 0), np.float32)

    def ask_base(self, state: NDArray) -> NDArray[np.float64]:
        """The base policy's action [A], clipped to what the environment takes."""
        action = np.asarray(self.base.act(state), np.float64)
        if action.shape != self._low.shape or not np.isfinite(action).all():
            raise UserError(f"the base policy gave {action}: {len(self._low)} finite numbers are needed")
        return np.clip(action, self._low, self._high)

    def _observation(self) -> NDArray[np.float32]:
        return observe(self._states[-1], self._bases[-1])

    def _episode(self, terminated: bool, truncated: bool, success: bool, info: dict[str, Any]) -> Episode:
        steps = len(self._executed)
        return Episode(
            states=np.array(self._states, np.float64),
            times=np.arange(steps + 1) / self.rate_hz,
            base_actions=np.array(self._bases[:steps]),
            residual_actions=np.array(self._residuals),
            executed_actions=np.array(self._executed),
            terminated=terminated,
            truncated=truncated,
            success=success,
            recording=self.record(self.env) if self.record else None,
            log=StepLog(reward=np.array(self._rewards)),
            seed=self.seed,
            rate_hz=self.rate_hz,
            about={"residual_scale": self.residual_scale, **{name: info[name] for name in TRAVELS if name in info}},
        )
