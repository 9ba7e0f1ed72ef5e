"""`mpr finetune`: a frozen base policy in an environment, a residual policy that practises.

Killed at any moment, it resumes at the last checkpoint and ends as an unbroken run.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from mpr.reward.registry import reward_class
from rl.environments.kind import is_trained
from rl.environments.setting import SAID_TO_DEMOS
from rl.residual.config import FINETUNE_PRESETS, FinetuneConfig, buffer_bytes


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr finetune`: trains a residual policy on a frozen base policy."""
    config, dry_run = parse_config(FinetuneConfig, argv, "mpr finetune", FINETUNE_PRESETS, others=SAID_TO_DEMOS)
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
    reward = reward_class(config.reward)
    if reward.objective and config.representation is not None:
        inputs["representation"] = config.representation
    if reward.compares and config.goal_image is not None:
        inputs["goal_image"] = config.goal_image
    facts: dict[str, object] = {}
    if config.kind.sizes and (seen := config.kind.observation_size(config.asked)) is not None:
        facts["replay buffer, MB"] = round(buffer_bytes(config.buffer, seen, config.kind.sizes[1]) / 1e6, 1)
    if (steps := config.kind.step_limit(config.asked)) is not None:
        facts["updates at most"] = config.critic_lessons + round(config.utd * config.most_steps(steps))
    print_plan(config, inputs, facts, config.out)
