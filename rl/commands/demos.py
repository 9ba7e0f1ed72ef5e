"""`mpr demos`: demonstrations of a kitchen task into a folder that can be resumed, by the expert or out of Minari."""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from rl.environments.kitchen.config import SAID_TO_PRACTICE, KitchenDemosConfig
from rl.environments.kitchen.opening import kitchen_opening


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr demos`: collects as many demonstrations as are asked for."""
    config, dry_run = parse_config(KitchenDemosConfig, argv, "mpr demos", others=SAID_TO_PRACTICE)
    if dry_run:
        frames = kitchen_opening(config.task, config).step_limit + 1
        images = config.num_demos * frames * len(config.views) * config.size**2 * 3
        most = (config.num_demos * 0.2e6 + images) * (2 if config.minari else 1)
        facts = {"from": config.source or "the scripted expert", "size": f"at most {most / 1e6:.0f} MB"}
        return print_plan(config, inputs={}, facts=facts, out=config.out)
    from rl.environments.kitchen.collect import collect_kitchen_demos

    collect_kitchen_demos(config)
