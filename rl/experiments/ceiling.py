"""`mpr experiment ceiling`: how far a residual reaches, the most there is to gain by practice on a base policy.

The kitchen's scripted expert is asked at every step, and its difference to the base policy's action clipped to what a
residual may add. A policy that plans for this does better: the figure is a guide to `residual_scale`, not a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import Range, check_ranges, parse_config, print_plan
from mpr.core.errors import UserError
from rl.environments.kitchen.opening import kitchen_opening
from rl.environments.kitchen.tasks import find_task
from rl.environments.setting import ENVIRONMENT, ZERO, Rules, Setting, rules_of
from rl.environments.starts import SELECTION
from rl.policies.actor import RESIDUAL_SCALE

CEILING_S = 0.9  # core-seconds an episode


@dataclass(frozen=True)
class CeilingConfig(Rules):
    """Success of the scripted expert where it may add to the base policy no more than a residual does."""

    env: str = ENVIRONMENT  # kitchen:microwave, hinge or slide
    base: Path = Path("runs/bc")  # run folder of `mpr bc`; zero: no base policy
    episodes: int = 50  # to play
    residual_scale: float = RESIDUAL_SCALE  # share of half the action range that a residual reaches
    seed: int = SELECTION  # of the first episode: 500,000 and up
    out: Path = Path("runs/ceiling")  # run folder

    def __post_init__(self) -> None:
        if self.setting.kind != "kitchen":
            raise UserError(f"--env {self.env}: the scripted expert is the kitchen's, as kitchen:microwave")
        if find_task(self.setting.name).grasp is None:
            raise UserError(f"--env {self.env}: the task has no grasp, so it has no scripted expert")
        kitchen_opening(self.setting.name, self)
        check_ranges(self, {"episodes": Range(1), "residual_scale": Range(0, above=True)})
        if self.seed < SELECTION:
            raise UserError(f"--seed {self.seed}: below {SELECTION:,} are seeds of demonstrations and practice")

    @property
    def setting(self) -> Setting:
        return Setting(self.env, self.base, self.residual_scale, **rules_of(self))

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.episodes)


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse_config(CeilingConfig, argv, "mpr experiment ceiling", others={"task": "env"})
    if dry_run:
        facts = {"episodes": config.episodes, "core-hours, about": f"{config.episodes * CEILING_S / 3600:.1g}"}
        return print_plan(config, {} if config.base == ZERO else {"base": config.base}, facts, config.out)
    from rl.experiments.ceiling_episodes import measure_ceiling

    measure_ceiling(config)
