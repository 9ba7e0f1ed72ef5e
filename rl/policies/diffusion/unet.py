"""The denoiser: a 1-D U-Net over the steps of an action chunk, conditioned by FiLM at every block.

The architecture of Diffusion Policy's published notebook (Chi et al., arXiv 2303.04137), to the parameter. It knows
nothing of cameras, normalisation or noise schedules.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class StepEmbedding(nn.Module):
    """Diffusion steps [B] to sines and cosines [B, width] of geometrically spaced frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 2

    def forward(self, step: Tensor) -> Tensor:
        """Steps [B] to [B, width]."""
        rank = torch.arange(self.pairs, device=step.device) / (self.pairs - 1)
        phase = step[:, None] * torch.exp(-math.log(10_000) * rank)  # [B, width / 2]
        return torch.cat([phase.sin(), phase.cos()], 1)


class ConvBlock(nn.Sequential):
    """Convolution, group norm, Mish; keeps the length."""

    def __init__(self, before: int, after: int, kernel: int, groups: int) -> None:
        super().__init__(nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.GroupNorm(groups, after), nn.Mish())


class FilmBlock(nn.Module):
    """Two convolutions around a skip; between them the condition scales and shifts every channel (FiLM)."""

    def __init__(self, before: int, after: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = ConvBlock(before, after, kernel, groups)
        self.second = ConvBlock(after, after, kernel, groups)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * after))
        self.skip = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features `x` [B, before, H] and condition [B, C] to features [B, after, H]."""
        scale, shift = self.film(condition)[:, :, None].chunk(2, 1)  # [B, after, 1] each
        return self.second(scale * self.first(x) + shift) + self.skip(x)


class Level(nn.Module):
    """Two blocks at one resolution, and the step to the next: returns the features of both."""

    def __init__(self, before: int, after: int, condition: int, kernel: int, groups: int, resize: nn.Module) -> None:
        super().__init__()
        self.first = FilmBlock(before, after, condition, kernel, groups)
        self.second = FilmBlock(after, after, condition, kernel, groups)
        self.resize = resize

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Features `x` [B, before, H] and condition [B, C] to features [B, after, H], and the same resized."""
        x = self.second(self.first(x, condition), condition)
        return x, self.resize(x)


class ConditionalUnet1d(nn.Module):
    """Foretells the noise in a chunk of actions.

    `action` and `condition` are widths; `widths` are the channels of each resolution, which halves from one to the
    next, so the chunk's length must be a multiple of 2 ** (len(widths) - 1).
    """

    def __init__(
        self,
        action: int,
        condition: int,
        widths: tuple[int, ...] = (256, 512, 1024),
        step_embedding: int = 256,
        kernel: int = 5,
        groups: int = 8,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.embed_step = nn.Sequential(
            StepEmbedding(step_embedding),
            nn.Linear(step_embedding, 4 * step_embedding),
            nn.Mish(),
            nn.Linear(4 * step_embedding, step_embedding),
        )
        shape = (step_embedding + condition, kernel, groups)
        last = widths[-1]
        self.down = nn.ModuleList(
            Level(before, after, *shape, nn.Identity() if after == last else nn.Conv1d(after, after, 3, 2, 1))
            for before, after in pairwise((action, *widths))
        )
        self.middle = nn.ModuleList(FilmBlock(last, last, *shape) for _ in range(2))
        self.up = nn.ModuleList(
            Level(2 * wide, narrow, *shape, nn.ConvTranspose1d(narrow, narrow, 4, 2, 1))
            for narrow, wide in reversed(list(pairwise(widths)))
        )
        self.head = nn.Sequential(ConvBlock(widths[0], widths[0], kernel, groups), nn.Conv1d(widths[0], action, 1))

    def forward(self, noisy: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """Noisy chunks [B, H, A], diffusion steps [B], conditions [B, C] to the noise in them [B, H, A]."""
        if noisy.shape[1] % self.multiple:
            raise ValueError(f"a chunk of {noisy.shape[1]} steps is no multiple of {self.multiple}")
        x = noisy.transpose(1, 2)  # [B, A, H]
        known = torch.cat([self.embed_step(step), condition], 1)  # [B, E + C]
        skips = []
        for level in self.down:
            here, x = level(x, known)
            skips.append(here)
        for block in self.middle:
            x = block(x, known)
        for level in self.up:
            _, x = level(torch.cat([x, skips.pop()], 1), known)
        return self.head(x).transpose(1, 2)
