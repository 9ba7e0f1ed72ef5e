"""`mpr experiment base`: how many demonstrations make a base policy worth improving.

The rule: of 20, 10, 5, 4, 3, 2 demonstrations, the first whose policy (training seed 0, fixed steps) succeeds in 30 to
60 % of selection episodes. Written down before any reinforcement learning; two more training seeds are shown beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import parse_config, print_plan, with_settings
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from rl.environments.kitchen.tasks import find_task
from rl.environments.setting import Rules
from rl.environments.starts import SELECTION
from rl.policies.diffusion.config import BcConfig

OTHER_SEEDS = (1, 2)  # of training, shown at the chosen count
_PRESETS: dict[str, dict[str, Any]] = {
    "check": {"counts": [2], "settings": "size=tiny steps=50", "episodes": 5},
    "report": {"settings": "size=tiny", "episodes": 100},
    "paper": {"settings": "size=paper", "episodes": 100},
}
STEP_S = {"tiny": 0.05, "small": 0.1, "paper": 1.4}  # core-seconds of a training step of a policy that sees states
EVALUATION_S = 0.7  # of an evaluation episode


@dataclass(frozen=True)
class BaseConfig(Rules):
    """Trains base policies on fewer and fewer demonstrations until one is neither hopeless nor finished."""

    task: str = "microwave"  # microwave, hinge or slide
    demos: Path = Path("runs/demos")  # demonstrations, from `mpr demos`; each policy takes the first so many
    counts: list[int] = field(default_factory=lambda: [20, 10, 5, 4, 3, 2])  # of demonstrations, tried in turn
    low: float = 0.3  # least share of successes of the policy chosen
    high: float = 0.6  # most
    settings: str = "size=tiny"  # of `mpr bc`, for every policy, as "size=small steps=8000"
    episodes: int = 100  # of evaluation, each policy
    seed: int = SELECTION  # of the first episode
    threads: int = 1  # CPU threads; another number gives other last bits
    out: Path = Path("runs/base_rule")  # run folder

    def __post_init__(self) -> None:
        if not self.counts or min(*self.counts, self.episodes) < 1:
            raise UserError("counts and episodes are at least 1")
        if not 0 <= self.low < self.high <= 1:
            raise UserError(f"low {self.low} and high {self.high}: shares of successes, low below high")
        self.policy(self.counts[0], 0)  # a wrong name or value is refused now

    def policy(self, count: int, seed: int) -> BcConfig:
        """The training run of one policy. Raises UserError naming a setting that does not exist."""
        folder = self.out / f"{count:02d}_demonstrations_seed_{seed}"
        config = with_settings(BcConfig, self.settings, "--settings", ("demos", "num_demos", "seed", "threads", "out"))
        if config.training_steps % self.ddim_steps:
            raise UserError("--settings: ddim_steps divides training_steps")
        return dataclasses.replace(
            config, demos=self.demos, num_demos=count, seed=seed, threads=self.threads, out=folder
        )


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment base`: trains and evaluates base policies on more and more demonstrations."""
    config, dry_run = parse_config(
        BaseConfig, argv, "mpr experiment base", _PRESETS, {"env": "task", "residual_scale": "task"}
    )
    find_task(config.task)
    if dry_run:
        policies = len(config.counts) + len(OTHER_SEEDS)
        policy = config.policy(config.counts[0], 0)
        seconds = policies * (policy.resolved_size.steps * STEP_S[policy.size] + config.episodes * EVALUATION_S)
        facts = {"policies at most": policies, "core-hours at most, about": f"{seconds / 3600:.1f}"}
        return print_plan(config, {"demos": config.demos}, facts, config.out)
    from rl.experiments.base_rule import find_base

    with cpu_threads(config.threads):
        find_base(config)
