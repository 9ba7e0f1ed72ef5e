"""The predictor's sizes: encoder, predictor, points and training schedule that belong together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mpr.encoders import FrozenDino, SmallViT
from mpr.predictor import MotionPredictor, PredictorShape


@dataclass(frozen=True)
class Size:
    """Everything that decides the shape of a model; travels with the weights."""

    image: int  # pixels a side that the encoder sees
    points: int  # budget of points per sample
    encoder: str  # "vit" (trained along) or "dinov2" (frozen, weights needed)
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


# Steps are for one CPU core: tiny 46 samples a second, 7 minutes; laptop 18 a second, 53 minutes.
SIZES = {
    "tiny": Size(128, 96, "vit", 16, 128, 4, 4, 128, 4, 4, 6, True, 1100, 16, 1e-3, 100),
    "laptop": Size(128, 96, "vit", 16, 192, 4, 6, 192, 6, 6, 6, True, 3600, 16, 1e-3, 200),
    "paper": Size(224, 300, "dinov2", 14, 384, 12, 6, 1024, 24, 16, 0, False, 200_000, 20, 1e-4, -1),
}


class MotionModel(nn.Module):
    """Encoder and predictor as one module: frames in, next points out."""

    def __init__(self, size: Size, weights: Path | None = None) -> None:
        super().__init__()
        if size.encoder == "dinov2":
            self.encoder: SmallViT | FrozenDino = FrozenDino(weights or Path("weights/dinov2-small"), size.image)
        else:
            self.encoder = SmallViT(size.image, size.patch, size.encoder_width, size.encoder_depth, size.encoder_heads)
        self.predictor = MotionPredictor(predictor_shape(size, self.encoder.width))

    def forward(self, frames: Tensor, points: Tensor, progress: Tensor, valid: Tensor) -> Tensor:
        """Frames uint8 [B, 2, H, W, 3] (previous, current); the rest, and what comes out, as in MotionPredictor."""
        b = len(frames)
        tokens = self.encoder(frames.flatten(0, 1))  # [2 B, S, D]: the two frames separately
        return self.predictor(tokens.reshape(b, -1, tokens.shape[-1]), points, progress, valid)


def predictor_shape(size: Size, token_width: int) -> PredictorShape:
    return PredictorShape(size.width, size.depth, size.heads, token_width, size.point_bands, size.local_tokens)


def resized(size: Size, **changes) -> Size:
    """The size with those changes that are not None."""
    return dataclasses.replace(size, **{k: v for k, v in changes.items() if v is not None})
