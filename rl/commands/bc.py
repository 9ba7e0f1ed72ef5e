"""`mpr bc`: demonstrations in, a run folder with a trained diffusion policy out. Killed at any moment, it resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from mpr.core.processes import cpu_threads
from mpr.predictor.registry import find_encoder
from rl.data.demonstrations import demonstration_folders, frame_sizes, load_demonstrations
from rl.policies.diffusion.config import BcConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bc`: trains a diffusion policy on demonstrations."""
    config, dry_run = parse_config(BcConfig, argv, prog="mpr bc")
    if dry_run:
        return _plan(config)
    from rl.policies.diffusion.train import PolicyTraining

    with cpu_threads(config.threads):
        PolicyTraining(config).run()


def _plan(config: BcConfig) -> None:
    inputs: dict[str, Path] = {"demos": config.demos}
    facts: dict[str, object] = {"size": dataclasses.asdict(config.resolved_size)}
    if config.cameras and find_encoder(config.encoder).frozen:
        inputs["encoder_weights"] = config.weights
    if demonstration_folders(config.demos):
        facts |= _counted(config)
    print_plan(config, inputs, facts, config.out)


def _counted(config: BcConfig) -> dict[str, object]:
    """What the demonstrations come to, and the size of the policy that they are for."""
    import torch

    from rl.policies.diffusion.policy import DiffusionPolicy
    from rl.policies.diffusion.samples import PolicyWindows
    from rl.policies.diffusion.train import shape_of, steps_of

    demonstrations = load_demonstrations(config.demos, config.num_demos)
    cameras = frame_sizes(demonstrations, config.cameras)
    windows = PolicyWindows(demonstrations, config.horizons, config.seed, pad_after=config.pad_after)
    facts: dict[str, object] = {
        "demonstrations": len(demonstrations),
        "windows": len(windows),
        "steps": steps_of(config, windows),
    }
    kind = find_encoder(config.encoder)
    if not (config.cameras and kind.frozen):  # a frozen one's features are counted once it is loaded
        with torch.device("meta"):
            policy = DiffusionPolicy(shape_of(config, windows, cameras, kind.width))
        facts["parameters"] = sum(p.numel() for p in policy.parameters())
    return facts
