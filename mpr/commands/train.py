"""`mpr train`: tracked clips in, a run folder with a trained motion predictor out. Killed at any moment, it resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from mpr.core.data.clip_folder import clip_folders
from mpr.predictor.registry import find_encoder
from mpr.predictor.sizes import PredictorSize
from mpr.training.config import TrainConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr train`. Raises UserError."""
    config, dry_run = parse_config(TrainConfig, argv, prog="mpr train")
    if dry_run:
        return _plan(config, config.resolved_size)
    from mpr.training.run import train

    train(config)


def _plan(config: TrainConfig, size: PredictorSize) -> None:
    import torch

    from mpr.predictor.model import MotionModel, predictor_shape
    from mpr.predictor.network import MotionPredictor
    from mpr.training.clip_cache import cache_bytes

    facts: dict[str, object] = {"size": dataclasses.asdict(size)}
    inputs = {"clips": config.clips}
    kind = find_encoder(size.encoder)
    if kind.frozen:
        inputs["encoder_weights"] = config.weights
    with torch.device("meta"):
        model = MotionPredictor(predictor_shape(size, kind.width)) if kind.frozen else MotionModel(size)
        facts["trained parameters"] = sum(p.numel() for p in model.parameters())
    if config.clips.exists():
        folders = clip_folders(config.clips)
        facts["clips"] = len(folders)
        facts["decoded clips, GB"] = round(cache_bytes(folders, config.cached_size) / 1e9, 3)
    print_plan(config, inputs, facts, config.out)
