"""`mpr episodes`: record scripted kitchen episodes of one task and kind into a folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from rl.environments.kitchen.config import CYCLES, EPISODE_KINDS, EpisodesConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr episodes`: records as many scripted episodes as are asked for."""
    config, dry_run = parse_config(EpisodesConfig, argv, prog="mpr episodes")
    if dry_run:
        views = CYCLES.get(config.view, (config.view,))
        facts = {
            "views": ", ".join(views),
            "kinds": ", ".join(EPISODE_KINDS),
            "size": f"about {config.episodes * 0.1:.1f} MB",
        }
        return print_plan(config, inputs={}, facts=facts, out=config.out)
    from rl.environments.kitchen.episodes import record_episodes

    record_episodes(config)
