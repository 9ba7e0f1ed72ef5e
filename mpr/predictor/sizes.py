"""The predictor's sizes: encoder, predictor, points and training schedule that belong together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mpr.encoders import FrozenDino, SmallViT
from mpr.predictor import MotionPredictor, PredictorShape

ENCODERS = ("vit", "dinov2")
DINO_WIDTH = 384  # of DINOv2-S


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


# Steps are for one CPU core: tiny 83-91 samples a second, 6 minutes; laptop 18, 50 minutes.
SIZES = {
    "tiny": Size(128, 48, "vit", 16, 128, 2, 4, 128, 3, 4, 6, True, 1000, 32, 1e-3, 100),
    "laptop": Size(128, 96, "vit", 16, 192, 4, 6, 192, 6, 6, 6, True, 1700, 32, 1e-3, 200),
    "paper": Size(224, 300, "dinov2", 14, 384, 12, 6, 1024, 24, 16, 0, False, 200_000, 20, 1e-4, -1),
}


FOREGROUND_CELLS = 4  # a patch's side, in cells of the foreground that a trained encoder foretells


class MotionModel(nn.Module):
    """Encoder and predictor as one module: frames in, next points out.

    An encoder that starts from nothing also learns to tell the object's pixels from the rest (`foreground`): the
    motion of points alone teaches it so little at first that it takes many times the samples to look at the picture.
    """

    def __init__(self, size: Size, weights: Path | None = None) -> None:
        super().__init__()
        if size.encoder == "dinov2":
            self.encoder: SmallViT | FrozenDino = FrozenDino(weights or Path("weights/dinov2-small"), size.image)
        else:
            self.encoder = SmallViT(size.image, size.patch, size.encoder_width, size.encoder_depth, size.encoder_heads)
        self.predictor = MotionPredictor(predictor_shape(size, self.encoder.width))
        trained = isinstance(self.encoder, SmallViT)
        self.foreground = nn.Linear(self.encoder.width, FOREGROUND_CELLS**2) if trained else None

    def forward(self, frames: Tensor, points: Tensor, progress: Tensor, valid: Tensor) -> tuple[Tensor, Tensor | None]:
        """Frames uint8 [B, 2, H, W, 3] (previous, current); the rest as in MotionPredictor.

        Returns the next points [B, N, 2] and the logits [B, G, G] of the object's pixels in the current frame,
        G = grid * FOREGROUND_CELLS (None for a frozen encoder).
        """
        b = len(frames)
        tokens = self.encoder(frames.flatten(0, 1))  # [2 B, S, D]: the two frames separately
        after = self.predictor(tokens.reshape(b, -1, tokens.shape[-1]), points, progress, valid)
        if self.foreground is None:
            return after, None
        grid, k = self.encoder.grid, FOREGROUND_CELLS
        cells = self.foreground(tokens[1::2]).view(b, grid, grid, k, k)
        return after, cells.transpose(2, 3).reshape(b, grid * k, grid * k)


def predictor_shape(size: Size, token_width: int) -> PredictorShape:
    return PredictorShape(size.width, size.depth, size.heads, token_width, size.point_bands, size.local_tokens)


def resized(size: Size, **changes) -> Size:
    """The size with those changes that are not None."""
    return dataclasses.replace(size, **{k: v for k, v in changes.items() if v is not None})
