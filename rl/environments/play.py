"""One episode of a policy without exploration, and what became of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rl.environments.practice import TRAVELS, PracticeEnvironment

if TYPE_CHECKING:
    from rl.policies.residual import ResidualPolicy

BASE_NAME = "base"  # the base policy's name in tables


@dataclass(frozen=True)
class ResidualActor:
    """A residual policy and how far it reaches."""

    policy: ResidualPolicy
    residual_scale: float


@dataclass(frozen=True)
class Outcome:
    """One episode of one policy."""

    policy: str
    seed: int
    success: bool | None  # the environment's word; None where it has none
    steps: int
    opened: bool = False  # whether the object came to the goal, or to what we call open (slide cabinet: 0.25 m)
    travel: float = 0.0  # radians or metres at the end
    furthest_travel: float | None = None  # at any time; None where the environment knows of no travel
    beyond_shown: float | None = None  # share of the way from what demonstrations show to the goal; None: all is shown
    returned: float | None = None  # sum of the environment's own rewards, where it has no word of success

    @property
    def figures(self) -> dict[str, Any]:
        """A row without the policy's name."""
        return {name: value for name, value in self.row.items() if name != "policy"}

    @property
    def row(self) -> dict[str, Any]:
        """A line of metrics.jsonl: what there is, the return under its name."""
        told = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return {"return" if name == "returned" else name: value for name, value in told.items()}


def play_episode(
    environment: PracticeEnvironment, residual: ResidualActor | None, seed: int, name: str = BASE_NAME
) -> Outcome:
    """Play one episode with the residual's mean action, or (None) with the base policy alone.

    `seed` decides the start and the base policy's sampling noise, so policies that are given the same seed meet the
    same episode.
    """
    before = environment.residual_scale
    environment.residual_scale = before if residual is None else residual.residual_scale
    try:
        observation, info = environment.reset(seed=seed)
        rest = np.zeros(environment.action_space.shape or (), np.float32)
        over, steps, returned = False, 0, 0.0
        while not over:
            action = rest if residual is None else residual.policy.predict(observation, deterministic=True)[0]
            observation, reward, terminated, truncated, info = environment.step(action)
            over, steps, returned = terminated or truncated, steps + 1, returned + float(reward)
    finally:
        environment.residual_scale = before
    seen: dict[str, Any] = {key: info[key] for key in TRAVELS if key in info}
    if not environment.has_success:
        return Outcome(name, seed, None, steps, **seen, returned=returned)
    return Outcome(name, seed, bool(info["is_success"]), steps, **seen)
