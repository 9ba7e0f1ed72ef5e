"""`mpr evaluate`: a base policy and base + residual on the same seeds: success or return, steps, curves, films."""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from rl.environments.kind import is_trained
from rl.environments.play import BASE_NAME
from rl.environments.practice import Stopped
from rl.environments.setting import SAID_TO_DEMOS
from rl.evaluation.config import EvaluateConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr evaluate`: plays every policy's episodes and reports; it can be stopped and resumed."""
    config, dry_run = parse_config(
        EvaluateConfig, argv, "mpr evaluate", others={**SAID_TO_DEMOS, "residual_scale": "env"}
    )
    inputs = {path.name: path for path in config.residuals}
    if is_trained(config.base, config.kind):
        inputs[BASE_NAME] = config.base
    if dry_run:
        return print_plan(config, inputs, {"episodes": config.episodes * (1 + len(config.residuals))}, config.out)
    from rl.evaluation.evaluate import evaluate

    try:
        evaluate(config)
    except Stopped:
        print(f"stopped: the same command goes on with what {config.out} lacks")
