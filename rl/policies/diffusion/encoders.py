"""Camera frames to one feature vector each: a ResNet-18 that is trained along, or a frozen R3M or DINOv2 with weights.

Every encoder maps uint8 RGB frames [B, H, W, 3] to float features [B, width]; what is done to pixels is done inside.
R3M and DINOv2 see what their authors fed them: short side 256, the middle 224 x 224.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpr.core.errors import MissingWeights, UserError
from mpr.predictor.encoders import DINO, IMAGENET_MEAN, IMAGENET_STD, FrozenDino

R3M_DEPTHS = {"r3m18": "resnet18", "r3m34": "resnet34", "r3m50": "resnet50"}
_ALTERNATIVE = "or take --encoder resnet18, which is trained along and needs none"


class ImageNetScale(nn.Module):
    """uint8 or 0..255 frames [B, H, W, 3] to ImageNet-normalised pixels [B, 3, H, W]."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, H, W, 3], 0..255, to [B, 3, H, W]."""
        return ((frames.float() - self.mean) / self.std).permute(0, 3, 1, 2)


def middle_224(frames: Tensor) -> Tensor:
    """Frames [B, H, W, 3], 0..255, to the middle 224 x 224 of their resize to a short side of 256; float, 0..255."""
    h, w = frames.shape[1:3]
    size = (256, 256 * w // h) if h <= w else (256 * h // w, 256)
    x = frames.permute(0, 3, 1, 2).float()
    if size != (h, w):
        x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
    top, left = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    return x[:, :, top : top + 224, left : left + 224].permute(0, 2, 3, 1)


class TrainedResNet18(nn.Module):
    """torchvision's ResNet-18 without its classifier, every BatchNorm a GroupNorm of 16 channels a group.

    Averaging weights (EMA) needs that: a BatchNorm's running statistics would belong to other weights.
    """

    width = 512

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet18

        self.scale = ImageNetScale()
        self.trunk = resnet18(weights=None, norm_layer=lambda channels: nn.GroupNorm(channels // 16, channels))
        self.trunk.fc = nn.Identity()  # type: ignore[assignment]

    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, H, W, 3], 0..255, to features [B, 512]."""
        return self.trunk(self.scale(frames))


class Frozen(nn.Module):
    """An encoder that is never trained and stays in eval mode, whatever the model around it does."""

    def freeze(self) -> None:
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)


class FrozenR3M(Frozen):
    """R3M (Nair et al., arXiv 2203.12601): 512 features a frame for depths 18 and 34, 2048 for 50."""

    def __init__(self, depth: str, weights: Path) -> None:
        super().__init__()
        import torchvision.models

        self.scale = ImageNetScale()
        self.trunk: nn.Module = getattr(torchvision.models, R3M_DEPTHS[depth])(weights=None)
        self.width = int(self.trunk.fc.in_features)  # type: ignore[arg-type, union-attr]
        self.trunk.fc = nn.Identity()
        _load_r3m(self.trunk, depth, weights)
        self.freeze()

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, H, W, 3], 0..255, to features [B, width]."""
        return self.trunk(self.scale(middle_224(frames)))


class FrozenDinoClass(Frozen):
    """DINOv2's class token: 384 features a frame for the small one."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.scale = ImageNetScale()
        self.model = FrozenDino(weights, 224, replace(DINO, instead=_ALTERNATIVE)).model
        self.width = int(self.model.config.hidden_size)
        self.freeze()

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B, H, W, 3], 0..255, to class tokens [B, width]."""
        return self.model(pixel_values=self.scale(middle_224(frames))).last_hidden_state[:, 0]


def trained_resnet18(weights: Path) -> TrainedResNet18:
    """As the registry makes it: it has no weights yet."""
    return TrainedResNet18()


r3m18, r3m34, r3m50 = (partial(FrozenR3M, name) for name in R3M_DEPTHS)  # likewise


def _load_r3m(trunk: nn.Module, depth: str, weights: Path) -> None:
    """Fill the trunk from R3M's own model.pt: {"r3m": {"module.convnet.<torchvision's name>": tensor, ...}}.

    The language parts of the file are left out. Nothing is unpickled that could run code.
    """
    file = Path(weights)
    if not file.is_file():
        raise MissingWeights(
            f"no R3M weights at {file}: get {depth.replace('r3m', 'r3m_')}/model.pt as github.com/facebookresearch/r3m "
            f"says (its load_r3m downloads it; licence MIT), {_ALTERNATIVE}"
        )
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)["r3m"]
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        raise UserError(f"{file} is not R3M's model.pt ({type(error).__name__}: {first}): get it again") from error
    prefix = "module.convnet."
    state = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    mine = {name: value.shape for name, value in trunk.state_dict().items()}
    for name in sorted({*mine, *state}):
        if name not in mine or name not in state or mine[name] != state[name].shape:
            raise UserError(f"{file} is no {depth}: its weight {name} does not fit; is it of another depth?")
    trunk.load_state_dict(state)
