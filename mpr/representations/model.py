"""A picture as one vector: an encoder's tokens, averaged, and a linear map. What `mpr pretrain` trains."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mpr.predictor.registry import find_encoder
from mpr.predictor.sizes import PredictorSize


class EmbeddingModel(nn.Module):
    """Frames to one vector each, by an encoder of the registry that is trained along."""

    def __init__(self, size: PredictorSize, width: int) -> None:
        """`width`: numbers of a vector. Only what a size says of its encoder is used."""
        super().__init__()
        self.encoder: Any = find_encoder(size.encoder).make_tokens(size)
        self.map = nn.Linear(self.encoder.width, width)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames uint8 [B, S, S, 3] of the encoder's own size to vectors [B, D]."""
        return self.map(self.encoder(frames).mean(1))
