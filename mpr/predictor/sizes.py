"""The predictor's sizes: encoder, predictor, points and training schedule that belong together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PredictorSize:
    """Everything that decides the shape of a model; travels with the weights."""

    image: int  # pixels a side that the encoder sees
    points: int  # budget of points per sample
    encoder: str  # "vit" (trained along), "dinov2" (frozen, weights needed) or another of mpr.predictor.registry
    patch: int  # pixels a side, vit only
    encoder_width: int  # vit only
    encoder_depth: int  # vit only
    encoder_heads: int  # vit only
    width: int  # of the predictor
    depth: int
    heads: int
    point_bands: int  # Fourier bands of the point embedding; 0: the paper's Linear(2 -> width)
    local_tokens: bool  # add the tokens at each point to its embedding
    steps: int  # default training steps
    batch: int  # default batch size
    lr: float  # default peak learning rate
    warmup: int  # default warm-up steps; then cosine to zero. -1: constant rate throughout


# Steps are for one CPU core: tiny 83-91 samples a second, 6 minutes; laptop 18, 50 minutes.
PREDICTOR_SIZES = {
    "tiny": PredictorSize(128, 48, "vit", 16, 128, 2, 4, 128, 3, 4, 6, True, 1000, 32, 1e-3, 100),
    "laptop": PredictorSize(128, 96, "vit", 16, 192, 4, 6, 192, 6, 6, 6, True, 1700, 32, 1e-3, 200),
    "paper": PredictorSize(224, 300, "dinov2", 14, 384, 12, 6, 1024, 24, 16, 0, False, 200_000, 20, 1e-4, -1),
}


def resized(size: PredictorSize, **changes: Any) -> PredictorSize:
    """The size with those changes that are not None."""
    return dataclasses.replace(size, **{k: v for k, v in changes.items() if v is not None})
