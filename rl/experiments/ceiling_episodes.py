"""The episodes of `mpr experiment ceiling`: a scripted expert held to what a residual may add."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mpr.core.config import as_dict
from mpr.core.processes import cpu_threads
from mpr.core.report.intervals import success_rate
from mpr.core.runs import RunFolder
from rl.environments.kind import base_digest
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import Follower, opening_plan
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.residual import ResidualEnvironment
from rl.experiments.ceiling import CeilingConfig


def measure_ceiling(config: CeilingConfig) -> None:
    """Play the episodes that are missing, one after another, and say how many succeed.

    Raises what `kitchen_with_base` raises.
    """
    with cpu_threads(1), kitchen_with_base(config.setting) as environment:
        run = RunFolder(config.out, "experiment ceiling", as_dict(config) | {"base_weights": base_digest(config.base)})
        played = {row["seed"] for row in run.metrics()}
        for seed in config.seeds:
            if seed not in played:
                run.log(seed=seed, **expert_episode(environment, seed))
    rows = run.metrics()
    success = success_rate([row["success"] for row in rows])
    clipped = float(np.mean([row["clipped"] for row in rows]))
    run.finish({"success": dataclasses.asdict(success), "clipped": clipped})
    print(f"{config.env}, residual_scale {config.residual_scale:g}: success {success} of {len(rows)} episodes")


def expert_episode(environment: ResidualEnvironment, seed: int) -> dict[str, Any]:
    """One episode of the expert, held to what a residual may add: success, steps, how far the door came, and the share
    of residuals' numbers that the expert wanted larger."""
    kitchen = environment.unwrapped
    assert isinstance(kitchen, KitchenEnvironment)
    observation, info = environment.reset(seed=seed)
    expert = Follower(opening_plan(kitchen, np.random.default_rng(seed)))
    clipped: list[float] = []
    over = False
    while not over:
        wanted = (expert.act(kitchen.data) - observation[environment.base_slice]) / environment.residual_scale
        clipped.append(float((np.abs(wanted) > 1).mean()))
        observation, _, terminated, truncated, info = environment.step(np.clip(wanted, -1, 1).astype(np.float32))
        over = terminated or truncated
    travels = {name: info[name] for name in ("furthest_travel", "beyond_shown") if name in info}
    told = {"success": bool(info["is_success"]), "steps": len(clipped), "clipped": float(np.mean(clipped))}
    return told | travels
