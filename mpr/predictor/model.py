"""Encoder and motion predictor of a size, as one module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mpr.predictor.network import MotionPredictor, PredictorShape
from mpr.predictor.registry import find_encoder
from mpr.predictor.sizes import PredictorSize

FOREGROUND_CELLS = 4  # a patch's side, in cells of the foreground that a trained encoder foretells


class MotionModel(nn.Module):
    """Encoder and predictor as one module: frames in, next points out.

    An encoder that starts from nothing also learns to tell the object's pixels from the rest (`foreground`): the
    motion of points alone teaches it so little at first that it takes many times the samples to look at the image.
    """

    def __init__(self, size: PredictorSize, weights: Path | None = None) -> None:
        super().__init__()
        kind = find_encoder(size.encoder)
        self.encoder: Any = kind.make_tokens(size, weights)
        self.predictor = MotionPredictor(predictor_shape(size, self.encoder.width))
        self.foreground = None if kind.frozen else nn.Linear(self.encoder.width, FOREGROUND_CELLS**2)

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


def predictor_shape(size: PredictorSize, token_width: int) -> PredictorShape:
    """The shape of a predictor of a size, whose encoder's tokens have `token_width` numbers."""
    return PredictorShape(size.width, size.depth, size.heads, token_width, size.point_bands, size.local_tokens)
