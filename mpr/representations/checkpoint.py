"""Checkpoints of `mpr pretrain`, and a trained representation as rewards use it.

checkpoints/<step> holds model.safetensors (encoder and linear map), head.safetensors (what the objective trained on top
of them, where there is such a thing), optimizer.pt, checkpoint.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpr.core.checkpoints import (
    ABOUT,
    OPTIMIZER,
    WEIGHTS,
    BadCheckpoint,
    CheckpointKind,
    fitting_weights,
    optimizer_state,
    reading,
    wanted_checkpoint,
    write_checkpoint,
)
from mpr.core.data.clip import FrameSource
from mpr.predictor.inputs import resampled
from mpr.predictor.sizes import PredictorSize
from mpr.representations.model import EmbeddingModel

HEAD = "head.safetensors"
_BATCH = 64  # frames embedded at once
_MOST = 4096  # pixels of a side, blocks, numbers of a vector: of a size that a file tells


class RepresentationCard(TypedDict):
    """What loading needs of a representation's checkpoint.json."""

    size: PredictorSize
    width: int
    objective: str
    rate_hz: float
    step: int
    steps: int
    core_minutes: float
    made_of: str


REPRESENTATION_CHECKPOINT = CheckpointKind(
    "representation", "mpr pretrain", "mean token, linear map", 1, RepresentationCard
)


def save_representation(
    run: Path,
    step: int,
    model: EmbeddingModel,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
) -> None:
    """Write checkpoints/<step> and drop the ones before it; at every moment one whole checkpoint is there."""
    weights: dict[str, Mapping[str, Tensor]] = {WEIGHTS: model.state_dict()}
    if on_top := head.state_dict():
        weights[HEAD] = on_top
    states = {OPTIMIZER: optimizer_state(optimizer)}
    write_checkpoint(run, step, REPRESENTATION_CHECKPOINT, {"step": step, **about}, weights, states)


def fill_weights(folder: Path, model: nn.Module, head: nn.Module) -> None:
    """Fill both with a checkpoint's weights. Raises BadCheckpoint naming the first weight that does not fit."""
    model.load_state_dict(fitting_weights(folder / WEIGHTS, model.state_dict()))
    if mine := head.state_dict():
        head.load_state_dict(fitting_weights(folder / HEAD, mine))


class Representation:
    """A trained encoder in eval mode: frames of any square size to one vector each."""

    def __init__(self, model: EmbeddingModel, size: PredictorSize, rate_hz: float = 0.0, device: str = "cpu") -> None:
        self.model, self.size, self.rate_hz, self.device = model.to(device).eval(), size, rate_hz, device

    @torch.inference_mode()
    def __call__(self, frames: FrameSource) -> Tensor:
        """Vectors [T, D] of frames, each uint8 [H, W, 3]."""
        found = []
        for start in range(0, len(frames), _BATCH):
            some = range(start, min(start + _BATCH, len(frames)))
            small = np.stack([resampled(np.asarray(frames[t]), self.size.image) for t in some])
            found.append(self.model(torch.from_numpy(small).to(self.device)).cpu())
        return torch.cat(found)


_UNTRAINED = 2**31 - 1  # seeds its weights: no run of ours began with them


def untrained_representation(
    trained: Representation, head: type[nn.Module] | None = None
) -> tuple[Representation, Any]:
    """The same network before any training, and a head as new, of random weights: a null model. See
    `load_representation`."""
    width = trained.model.map.out_features
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_UNTRAINED)
        model = EmbeddingModel(trained.size, width)
        on_top = head(width).eval() if head else None
    return Representation(model, trained.size, trained.rate_hz, trained.device), on_top


PIXELS = 32  # a side


def pixel_vectors(frames: FrameSource) -> Tensor:
    """Frames as they are, at 32 x 32 pixels, 0 to 1, as vectors [T, 3072]: what a representation has to beat."""
    small: list[NDArray] = [resampled(np.asarray(frames[t]), PIXELS) for t in range(len(frames))]
    return torch.from_numpy(np.stack(small)).flatten(1).float() / 255


def load_representation(run: Path, objective: str, head: type[nn.Module] | None = None) -> tuple[Representation, Any]:
    """The newest checkpoint of a run of `mpr pretrain --objective OBJECTIVE`, and what was trained on top of it.

    `head` is made of a vector's width; None where the objective trains none. Raises BadCheckpoint, also for a run of
    another objective.
    """
    folder, about = wanted_checkpoint(run, REPRESENTATION_CHECKPOINT)
    if about["objective"] != objective:
        raise BadCheckpoint(
            f"{run} was trained with --objective {about['objective']}: this takes a run of "
            f"`mpr pretrain --objective {objective}`"
        )
    size, width = PredictorSize(**about["size"]), about["width"]
    with reading(folder / ABOUT):
        sides = (size.image, size.patch, size.encoder_width, size.encoder_depth, size.encoder_heads, width)
        if not all(0 < side <= _MOST for side in sides):
            raise ValueError(f"its encoder's numbers are {sides}: each is 1 to {_MOST}")
        with torch.device("meta"):  # before a byte of it is made
            fitting_weights(folder / WEIGHTS, EmbeddingModel(size, width).state_dict())
        model = EmbeddingModel(size, width)
        on_top = head(width) if head else nn.Identity()
    fill_weights(folder, model, on_top)
    return Representation(model, size, about["rate_hz"]), on_top.eval() if head else None
