"""The denoiser: a 1-D U-Net over the steps of an action chunk, conditioned by FiLM at every block.

The architecture of Diffusion Policy's published notebook (Chi et al., arXiv 2303.04137), to the parameter. It knows
nothing of cameras, normalisation or noise schedules.

Where one chunk is asked for, torch's layers cost more than their arithmetic. So without gradients a convolution is a
matrix product, a group norm a layer norm, and `films` works out at once what a condition says to every block at every
diffusion step: the same numbers to float error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
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


class ShortConv(nn.Conv1d):
    """A convolution; without gradients as a matrix product, which is sooner where the length is short."""

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, before, H] to [B, after, H / stride]."""
        if torch.is_grad_enabled() or self.bias is None:
            return super().forward(x)
        kernel, stride, beside = self.kernel_size[0], self.stride[0], int(self.padding[0])
        windows = F.pad(x, (beside, beside)).unfold(2, kernel, stride)  # [B, before, H / stride, kernel]
        windows = windows.transpose(2, 3).flatten(1, 2)
        return torch.baddbmm(self.bias[:, None], self.weight.flatten(1).expand(len(x), -1, -1), windows)


class ShortNorm(nn.GroupNorm):
    """A group norm; without gradients as a layer norm of its groups, which is sooner where they are small."""

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, H], normalised."""
        if torch.is_grad_enabled():
            return super().forward(x)
        groups = x.unflatten(1, (self.num_groups, -1)).flatten(2)
        normed = F.layer_norm(groups, groups.shape[2:], eps=self.eps).view_as(x)
        return torch.addcmul(self.bias[:, None], normed, self.weight[:, None])


class ConvBlock(nn.Sequential):
    """Convolution, group norm, Mish; keeps the length."""

    def __init__(self, before: int, after: int, kernel: int, groups: int) -> None:
        super().__init__(ShortConv(before, after, kernel, padding=kernel // 2), ShortNorm(groups, after), nn.Mish())


class FilmBlock(nn.Module):
    """Two convolutions around a skip; between them the condition scales and shifts every channel (FiLM)."""

    def __init__(self, before: int, after: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = ConvBlock(before, after, kernel, groups)
        self.second = ConvBlock(after, after, kernel, groups)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * after))
        self.skip = ShortConv(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features `x` [B, before, H] and condition [B, C] to features [B, after, H]."""
        return self.under(x, self.film(condition))

    def under(self, x: Tensor, film: Tensor) -> Tensor:
        """The same, of what the condition says to this block: scales and shifts [B, 2 after]."""
        scale, shift = film[:, :, None].chunk(2, 1)  # [B, after, 1] each
        return self.second(scale * self.first(x) + shift) + self.skip(x)


class Level(nn.Module):
    """Two blocks at one resolution, and the step to the next: returns the features of both."""

    def __init__(self, before: int, after: int, condition: int, kernel: int, groups: int, resize: nn.Module) -> None:
        super().__init__()
        self.first = FilmBlock(before, after, condition, kernel, groups)
        self.second = FilmBlock(after, after, condition, kernel, groups)
        self.resize = resize

    def forward(self, x: Tensor, films: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        """Features `x` [B, before, H] under the next two of `films` to features [B, after, H], and the same resized."""
        x = self.first.under(x, next(films))
        x = self.second.under(x, next(films))
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
            Level(before, after, *shape, nn.Identity() if after == last else ShortConv(after, after, 3, 2, 1))
            for before, after in pairwise((action, *widths))
        )
        self.middle = nn.ModuleList(FilmBlock(last, last, *shape) for _ in range(2))
        self.up = nn.ModuleList(
            Level(2 * wide, narrow, *shape, nn.ConvTranspose1d(narrow, narrow, 4, 2, 1))
            for narrow, wide in reversed(list(pairwise(widths)))
        )
        self.head = nn.Sequential(ConvBlock(widths[0], widths[0], kernel, groups), ShortConv(widths[0], action, 1))

    def forward(self, noisy: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """Noisy chunks [B, H, A], diffusion steps [B], conditions [B, C] to the noise in them [B, H, A]."""
        known = torch.cat([self.embed_step(step), condition], 1)  # [B, E + C]
        return self.under(noisy, (block.film(known) for block in self.blocks()))

    def blocks(self) -> Iterator[FilmBlock]:
        """All blocks that a condition scales and shifts, in the order that features pass them."""
        return (m for part in (self.down, self.middle, self.up) for m in part.modules() if isinstance(m, FilmBlock))

    def films(self, steps: Tensor, condition: Tensor) -> list[list[Tensor]]:
        """For each of the diffusion steps [S], what conditions [B, C] say to each block, [B, 2 after], in order."""
        said = self.embed_step(steps)[:, None].expand(-1, len(condition), -1)
        known = F.mish(torch.cat([said, condition.expand(len(steps), -1, -1)], 2))  # [S, B, E + C]
        each = [block.film[1](known) for block in self.blocks()]
        return [[film[k] for film in each] for k in range(len(steps))]

    def under(self, noisy: Tensor, films: Iterable[Tensor]) -> Tensor:
        """Noisy chunks [B, H, A] to the noise in them [B, H, A], given what the condition says to each block."""
        if noisy.shape[1] % self.multiple:
            raise ValueError(f"a chunk of {noisy.shape[1]} steps is no multiple of {self.multiple}")
        x = noisy.transpose(1, 2)  # [B, A, H]
        skips, films = [], iter(films)
        for level in self.down:
            here, x = level(x, films)
            skips.append(here)
        for block in self.middle:
            assert isinstance(block, FilmBlock)
            x = block.under(x, next(films))
        for level in self.up:
            _, x = level(torch.cat([x, skips.pop()], 1), films)
        return self.head(x).transpose(1, 2)
