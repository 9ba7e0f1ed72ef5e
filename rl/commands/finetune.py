"""`mpr finetune`: a frozen base policy in an environment, a residual policy that practises.

Killed at any moment, it resumes at the last checkpoint and ends as an unbroken run.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from rl.environments.kind import is_trained
from rl.residual.config import FINETUNE_PRESETS, FinetuneConfig, buffer_bytes


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr finetune`: trains a residual policy on a frozen base policy."""
    config, dry_run = parse_config(FinetuneConfig, argv, "mpr finetune", FINETUNE_PRESETS)
    if dry_run:
        return _plan(config)
    from rl.residual.train import finetune

    finetune(config)


def _plan(config: FinetuneConfig) -> None:
    inputs = {"demos": config.demos} if config.demonstrated else {}
    if is_trained(config.base, config.kind):
        inputs["base"] = config.base
    if config.reward == "motion" and config.predictor is not None:
        inputs["predictor"] = config.predictor
    facts: dict[str, object] = {}
    if config.kind.sizes is not None:
        observation, action, steps = config.kind.sizes
        facts["replay buffer, MB"] = round(buffer_bytes(config.buffer, observation, action) / 1e6, 1)
        facts["updates at most"] = config.critic_lessons + round(config.utd * steps * config.episodes)
    print_plan(config, inputs, facts, config.out)
