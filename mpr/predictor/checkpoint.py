"""A predictor's checkpoints (`mpr.core.checkpoints`), and the trained predictor as scoring uses it.

checkpoints/<step> holds model.safetensors (trained weights; a frozen encoder's stay where they are), optimizer.pt,
checkpoint.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpr.core.checkpoints import (
    ABOUT,
    OPTIMIZER,
    WEIGHTS,
    CheckpointKind,
    fitting_weights,
    optimizer_state,
    reading,
    wanted_checkpoint,
    write_checkpoint,
)
from mpr.predictor.inputs import Fill, in_pixels, normalised, resampled
from mpr.predictor.model import MotionModel, predictor_shape
from mpr.predictor.network import MotionPredictor
from mpr.predictor.registry import find_encoder
from mpr.predictor.sizes import PredictorSize

MOST_BLOCKS, MOST_POINTS, MOST_PIXELS = 1000, 100_000, 4096  # of a size that a file tells; pixels of an image's side


class TrainedSettings(TypedDict, total=False):
    fill: Fill


class _Card(TypedDict):
    size: PredictorSize
    rate_hz: float
    step: int


class Card(_Card, total=False):
    """What loading and scoring need of a predictor's checkpoint.json."""

    encoder_weights: str | None
    mean_motion: tuple[float, float]
    config: TrainedSettings


PREDICTOR_CHECKPOINT = CheckpointKind("predictor", "mpr train", "points DiT, cross-attention to tokens", 2, Card)


def save_predictor_checkpoint(
    run: Path, step: int, model: MotionModel, optimizer: torch.optim.Optimizer, about: dict[str, Any]
) -> None:
    """Write checkpoints/<step> and drop the ones before it; at every moment one whole checkpoint is there."""
    weights, states = {WEIGHTS: trained_state(model)}, {OPTIMIZER: optimizer_state(optimizer)}
    write_checkpoint(run, step, PREDICTOR_CHECKPOINT, {"step": step, **about}, weights, states)


def trained_state(model: MotionModel) -> dict[str, Tensor]:
    """The state that training made, tensors of any shape [...] by name: without a frozen encoder's weights."""
    frozen = not any(p.requires_grad for p in model.encoder.parameters())
    return {k: v for k, v in model.state_dict().items() if not (frozen and k.startswith("encoder."))}


def load_weights(folder: Path, model: MotionModel) -> None:
    """Fill `model` with a checkpoint's weights. Raises BadCheckpoint naming the first weight that does not fit."""
    model.load_state_dict(fitting_weights(folder / WEIGHTS, trained_state(model)), strict=False)


class Predictor:
    """A trained encoder and predictor in eval mode: frames of 256 in, predicted deltas in pixels of 256 out."""

    def __init__(self, motion: MotionModel, size: PredictorSize, card: dict[str, Any], device: str = "cpu") -> None:
        motion.to(device).eval()
        self.encoder, self.model = motion.encoder, motion.predictor
        self.size, self.card, self.device = size, card, device
        self.budget = size.points
        self.rate_hz = float(card["rate_hz"])
        self.fill: Fill = card.get("config", {}).get("fill", "repeat")  # points are prepared as they were in training

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """Frames uint8 [B, H, W, 3] to their tokens [B, S, D]."""
        small = np.stack([resampled(frame, self.size.image) for frame in frames])
        return self.encoder(torch.from_numpy(small).to(self.device))

    def tokens(self, previous: NDArray[np.uint8], now: NDArray[np.uint8]) -> Tensor:
        """Tokens [B, 2 S, D] of two frames each, uint8 [B, 256, 256, 3]."""
        both = self.encode(np.concatenate([previous, now]))
        return torch.cat([both[: len(previous)], both[len(previous) :]], 1)

    @torch.inference_mode()
    def predict(
        self, tokens: Tensor, points: NDArray, progress: NDArray, valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Deltas [B, N, 2] in pixels of 256 of points [B, N, 2] (crop pixels), at progress [B], where valid [B, N]."""
        at = torch.as_tensor(normalised(np.asarray(points, np.float32)), device=self.device)
        t = torch.as_tensor(progress, dtype=torch.float32, device=self.device)
        seen = torch.as_tensor(valid, dtype=torch.bool, device=self.device)
        after = self.model(tokens, at, t, seen)
        return in_pixels(after - at).cpu().numpy()


def refuse_other_size(folder: Path, size: PredictorSize) -> None:
    """Compare a checkpoint's weights with those of a model of that size, before a byte of it is made.

    Raises BadCheckpoint where they differ; ValueError where there is no such model.
    """
    if not (0 < size.depth <= MOST_BLOCKS and 0 < size.encoder_depth <= MOST_BLOCKS):
        raise ValueError(f"depth is {size.depth}, encoder_depth {size.encoder_depth}: 1 to {MOST_BLOCKS}")
    if not 0 < size.image <= MOST_PIXELS:  # positions of its patches are made before its weights are compared
        raise ValueError(f"image is {size.image}: 1 to {MOST_PIXELS}")
    if not 3 <= size.points <= MOST_POINTS:
        raise ValueError(f"points is {size.points}: 3 to {MOST_POINTS}")
    with torch.device("meta"):
        if (kind := find_encoder(size.encoder)).frozen:  # its weights are elsewhere
            predictor = MotionPredictor(predictor_shape(size, kind.width)).state_dict()
            mine = {f"predictor.{name}": weight for name, weight in predictor.items()}
        else:
            mine = trained_state(MotionModel(size))
    fitting_weights(folder / WEIGHTS, mine)


def load_predictor(run: Path, device: str = "cpu") -> Predictor:
    """The newest checkpoint of a training run. Raises BadCheckpoint, or MissingWeights for an absent frozen encoder."""
    folder, about = wanted_checkpoint(run, PREDICTOR_CHECKPOINT)
    size = PredictorSize(**about["size"])
    with reading(folder / ABOUT):
        refuse_other_size(folder, size)
        motion = MotionModel(size, Path(about["encoder_weights"]) if about.get("encoder_weights") else None)
    load_weights(folder, motion)
    return Predictor(motion, size, about, device)
