"""`mpr pretrain`: clips in, a run folder with a trained picture encoder out. Killed at any moment, it resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from mpr.core.data.clip_folder import clip_folders
from mpr.pretraining.config import PretrainConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr pretrain`. Raises UserError."""
    config, dry_run = parse_config(PretrainConfig, argv, prog="mpr pretrain")
    if dry_run:
        return _plan(config)
    from mpr.pretraining.run import pretrain

    pretrain(config)


def _plan(config: PretrainConfig) -> None:
    from mpr.training.clip_cache import cache_bytes

    size = config.resolved_size
    facts: dict[str, object] = {"size": dataclasses.asdict(size)}
    facts["steps"] = f"as many as {config.minutes:g} core-minutes hold" if config.minutes else size.steps
    if config.clips.exists():
        folders = clip_folders(config.clips)
        facts["clips"] = len(folders)
        facts["decoded clips, GB"] = round(cache_bytes(folders, size.image) / 1e9, 3)
    print_plan(config, {"clips": config.clips}, facts, config.out)
