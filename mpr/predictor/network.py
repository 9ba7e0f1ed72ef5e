"""The motion predictor: a DiT over points, conditioned on progress, looking at visual tokens (paper III-B).

Self-attention over points without any order, cross-attention to visual tokens, adaLN-Zero only on progress. It knows
no images (`encoders.py`), no clips and no training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpr.core.data.clip import CROP_SIZE
from mpr.predictor.encoders import Attention, mlp
from mpr.predictor.inputs import in_pixels, normalised

PROGRESS_SCALE = 1000.0  # the sinusoidal embedder expects 0 .. 1000, progress is 0 .. 1
FREQUENCIES = 256  # width of the sinusoidal embedding, as in DiT


@dataclass(frozen=True)
class PredictorShape:
    """What a motion predictor is made of."""

    width: int
    depth: int
    heads: int
    token_width: int  # of the visual tokens that come in
    point_bands: int = 0  # Fourier bands of a point's embedding; 0: the paper's Linear(2 -> width)
    local_tokens: bool = False  # add the visual tokens at each point to its embedding; off in the paper


def sinusoidal(t: Tensor, width: int = FREQUENCIES) -> Tensor:
    """Embedding [B, width] of numbers [B] between 0 and 1000 (cosines first, as in DiT)."""
    half = width // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device) / half)
    phase = t.float()[:, None] * frequency
    return torch.cat([phase.cos(), phase.sin()], 1)


def fourier(points: Tensor, bands: int) -> Tensor:
    """Points [B, N, 2] and, for each of `bands` octaves, their sine and cosine: [B, N, 2 + 4 * bands]."""
    phase = points[..., None] * (math.pi * 2.0 ** torch.arange(bands, device=points.device))  # [B, N, 2, bands]
    return torch.cat([points, phase.sin().flatten(2), phase.cos().flatten(2)], -1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift `x` [B, N, D] by `scale` and `shift` [B, D], as adaLN does (DiT): zeros change nothing."""
    return x * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """DiT block with 6 adaLN chunks; cross-attention stands between, plain pre-norm, its output zero at the start."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_cross = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attention, self.cross, self.mlp = Attention(width, heads), Attention(width, heads), mlp(width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, tokens: Tensor, condition: Tensor, mask: Tensor | None) -> Tensor:
        """Points' features `x` [B, N, D], given tokens [B, S, D] and condition [B, D], to features [B, N, D].

        `mask` [B, 1, N, N] says which points a point may look at; None: all.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, 1)
        y = modulate(self.norm1(x), shift1, scale1)
        x = x + gate1[:, None] * self.attention(y, y, mask)
        x = x + self.cross(self.norm_cross(x), tokens)
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


class MotionPredictor(nn.Module):
    """Where points will be one step later.

    B samples, N points, S tokens of both frames (the previous frame's first), D token width. The head speaks pixels
    of 256 and starts at zero, so that an untrained predictor says that nothing moves.
    """

    def __init__(self, shape: PredictorShape) -> None:
        super().__init__()
        d = shape.width
        self.shape = shape
        self.embed_points = nn.Linear(2 + 4 * shape.point_bands, d)
        self.embed_tokens = nn.Linear(shape.token_width, d)
        self.frame_embedding = nn.Parameter(torch.zeros(2, d))
        self.embed_local = nn.Linear(2 * shape.token_width, d) if shape.local_tokens else None
        self.embed_progress = nn.Sequential(nn.Linear(FREQUENCIES, d), nn.SiLU(), nn.Linear(d, d))
        self.blocks = nn.ModuleList(Block(d, shape.heads) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(d, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(d, 2 * d)
        self.head = nn.Linear(d, 2)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.frame_embedding, std=0.02)
        for layer in (self.embed_progress[0], self.embed_progress[2]):
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        for layer in (self.modulation, self.head, *(b.modulation for b in blocks), *(b.cross.out for b in blocks)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, points: Tensor, progress: Tensor, valid: Tensor) -> Tensor:
        """Tokens [B, S, D], points [B, N, 2] in 0..1, progress [B] in 0..1, valid [B, N] to next points [B, N, 2].

        An invalid point changes no other; what is returned for it means nothing. No order of points matters.
        """
        known = torch.where(valid[..., None], points, 0.5)  # a padded point may hold anything, NaN included
        x = self.embed_points(fourier(known, self.shape.point_bands))
        if self.embed_local is not None:
            x = x + self.embed_local(sampled_tokens(tokens, known))
        frame = self.frame_embedding.repeat_interleave(tokens.shape[1] // 2, 0)  # [S, width]
        context = self.embed_tokens(tokens) + frame
        condition = F.silu(self.embed_progress(sinusoidal(PROGRESS_SCALE * progress)))
        mask = attention_mask(valid)
        for block in self.blocks:
            x = block(x, context, condition, mask)
        shift, scale = self.modulation(condition).chunk(2, 1)
        return points + normalised(self.head(modulate(self.norm(x), shift, scale)))


def attention_mask(valid: Tensor) -> Tensor | None:
    """Which key [B, 1, N, N] a point may look at: valid ones and itself (so that no row is empty); None for all."""
    if bool(valid.all()):
        return None
    itself = torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    return (valid[:, None, :] | itself)[:, None]


def sampled_tokens(tokens: Tensor, points: Tensor) -> Tensor:
    """Both frames' tokens [B, S, D] at points [B, N, 2] in 0..1, bilinear: [B, N, 2 * D]."""
    b, s, d = tokens.shape
    grid = math.isqrt(s // 2)
    maps = tokens.view(b, 2, grid, grid, d).permute(0, 1, 4, 2, 3).reshape(b, 2 * d, grid, grid)
    # grid_sample wants -1 .. 1 between the image's outer edges, which a normalised point is not.
    at = 2 * (in_pixels(points) + 0.5) / CROP_SIZE - 1
    found = F.grid_sample(maps, at[:, :, None], padding_mode="border", align_corners=False)  # [B, 2 D, N, 1]
    return found[..., 0].transpose(1, 2)
