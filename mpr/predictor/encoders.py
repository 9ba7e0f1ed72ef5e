"""Visual tokens: a small ViT trained along with the predictor, or a frozen DINOv2 from a local folder.

Every encoder maps uint8 frames [B, H, W, 3] of its own `size` to patch tokens [B, S, D], S = grid * grid in row-major
order. What is done to pixels (scaling, normalisation, resizing) is done inside.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpr.core.weights import Published, load_published
from mpr.predictor.sizes import PredictorSize

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DINO = Published(
    "DINOv2",
    "hf download facebook/dinov2-small --local-dir {}",
    "Apache-2.0",
    ("dinov2",),
    "or train with --encoder vit, the embedded encoder that needs none",
)


def sincos_2d(grid: int, width: int) -> Tensor:
    """Fixed 2-D position embedding [grid * grid, width]: a quarter each for sin x, cos x, sin y, cos y."""
    quarter = width // 4
    frequency = 100.0 ** -(torch.arange(quarter) / quarter)
    phase = torch.arange(grid)[:, None] * frequency  # [grid, quarter]
    one = torch.cat([phase.sin(), phase.cos()], 1)  # [grid, width / 2]
    x = one[None].expand(grid, grid, -1)
    y = one[:, None].expand(grid, grid, -1)
    return torch.cat([x, y], 2).reshape(grid * grid, width)


class Attention(nn.Module):
    """Multi-head attention of `x` to `context`; `mask` [B, 1, T, S] is true where a key may be looked at."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let `x` [B, T, D] look at `context` [B, S, D]: [B, T, D]."""
        b, t, d = x.shape
        q = self.query(x).view(b, t, self.heads, -1).transpose(1, 2)  # [B, heads, T, d / heads]
        k, v = self.key_value(context).view(b, context.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


def mlp(width: int) -> nn.Sequential:
    """The two layers after attention: four times as wide in between, with a GELU."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))


class ViTBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, S, D] to tokens [B, S, D]."""
        y = self.norm1(x)
        x = x + self.attention(y, y)
        return x + self.mlp(self.norm2(x))


class ResidualConv(nn.Module):
    """Two 3 x 3 convolutions around a skip; the identity at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, width), nn.GroupNorm(1, width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D, H, W] to features [B, D, H, W]."""
        return x + self.conv2(F.gelu(self.norm2(self.conv1(F.gelu(self.norm1(x))))))


class SmallViT(nn.Module):
    """A residual convolutional stem down to one token a patch, a fixed 2-D position, pre-norm blocks. Never frozen.

    The image is cut into half patches at once: convolutions at full resolution would take most of
    the time of a step on a CPU.
    """

    def __init__(self, size: int, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if patch % 2 or size % patch:
            raise ValueError(f"patch {patch} must be an even number that divides the size {size}")
        self.size, self.grid, self.width = size, size // patch, width
        half = 3 * width // 8
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, patch // 2, patch // 2),
            ResidualConv(half),
            nn.Conv2d(half, width, 2, 2),
            ResidualConv(width),
        )
        self.register_buffer("position", sincos_2d(self.grid, width), persistent=False)
        self.blocks = nn.ModuleList(ViTBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    @classmethod
    def of(cls, size: PredictorSize, weights: Path) -> SmallViT:
        """As the registry makes it: of a size, without weights."""
        return cls(size.image, size.patch, size.encoder_width, size.encoder_depth, size.encoder_heads)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, size, size, 3], 0..255, to tokens [B, grid * grid, width]."""
        x = (frames.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
        x = self.stem(x.contiguous(memory_format=torch.channels_last)).flatten(2).transpose(1, 2)  # [B, S, D]
        x = x + self.position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class FrozenDino(nn.Module):
    """DINOv2's patch tokens (CLS dropped), from a folder that `save_pretrained` or a download made. Never trained.

    `size` must be a multiple of the patch (224 or 252 for patch 14); frames of another size are resized to it. Raises
    MissingWeights and NotReady.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path, size: int, published: Published = DINO) -> None:
        super().__init__()
        self.model, _ = load_published(Path(weights), published, "Dinov2Model")
        patch = int(self.model.config.patch_size)  # type: ignore[arg-type]
        if size % patch:
            raise ValueError(f"DINOv2 takes sizes that are multiples of its patch {patch}, not {size}")
        self.size, self.grid, self.width = size, size // patch, self.model.config.hidden_size
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def of(cls, size: PredictorSize, weights: Path) -> FrozenDino:
        """As the registry makes it."""
        return cls(weights, size.image)

    def train(self, mode: bool = True) -> FrozenDino:
        return super().train(False)  # frozen: no drop path, whatever the model around it does

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, H, W, 3], 0..255, to patch tokens [B, grid * grid, width]."""
        x = frames.permute(0, 3, 1, 2).float() / 255
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        x = (x - self.mean) / self.std
        return self.model(pixel_values=x).last_hidden_state[:, 1:]
