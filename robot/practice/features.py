"""What actor and critics are shown of the cameras: a frozen encoder's features of each image, side by side.

    base                   the base policy's own encoders, as `mpr bc` left them: nothing to fetch
    runs/representation    a run folder of `mpr pretrain`
    dinov2, r3m18, ...     a frozen encoder of mpr.predictor.registry, with its weights

An image is encoded once, when it is seen. Without an encoder there are no features, and cameras are the base policy's
alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.checkpoints import refuse_unfinished, wanted_checkpoint, weights_digest
from mpr.core.checksums import sha256
from mpr.core.data.episode import Episode
from mpr.core.device import resolved_device
from mpr.core.errors import UserError
from mpr.representations.checkpoint import REPRESENTATION_CHECKPOINT, Representation, load_representation
from rl.policies.base_policy import BasePolicy
from rl.policies.diffusion.policy import DiffusionPolicy
from rl.policies.diffusion.views import CameraEncoder
from robot.hardware.camera import Camera
from robot.practice.encoder import BASE_ENCODER, frozen_encoder

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # frames [B, H, W, 3] to features [B, F]
_TOGETHER = 32  # images of a demonstration
_TIMED = 5  # views


class ImageFeatures:
    """Features of every camera that has an encoder, in their order; `size` numbers in all."""

    def __init__(self, encoders: Mapping[str, Encode], sizes: Mapping[str, tuple[int, int]]) -> None:
        self.encoders = dict(encoders)
        blank = {name: np.zeros((1, *sizes[name], 3), np.uint8) for name in self.encoders}
        self.size = sum(self.encoders[name](image).shape[1] for name, image in blank.items())
        self._blank = {name: image[0] for name, image in blank.items()}

    def check_pace(self, most_s: float) -> None:
        """Raises UserError where the features of a view take longer: made between looking and acting, they age both."""
        taken = []
        for _ in range(_TIMED):
            start = time.perf_counter()
            self.of(self._blank)
            taken.append(time.perf_counter() - start)
        if (usual := sorted(taken)[_TIMED // 2]) > most_s:
            raise UserError(
                f"--encoder takes {usual:.3f} s for the images of a beat, {most_s:.3f} at most: what is seen would be "
                "too old to act on. Take a smaller one, or --device cuda"
            )

    def of(self, images: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """The features [F] of one view: of each camera's image uint8 [H, W, 3]."""
        found = [encode(images[name][None])[0] for name, encode in self.encoders.items()]
        return np.concatenate([np.zeros(0, np.float32), *found])

    def of_episode(self, episode: Episode) -> NDArray[np.float32]:
        """The features [T+1, F] of each view of a recorded one. Raises UserError where it lacks a camera's frames."""
        views = len(episode) + 1
        found = [np.zeros((views, 0), np.float32)]
        for name, encode in self.encoders.items():
            if name not in episode.frames:
                there = ", ".join(episode.frames) or "no camera"
                raise UserError(f"demonstration {episode.seed} was seen by {there}, --encoder looks through {name}")
            frames = episode.frames[name]
            parts = [range(first, min(first + _TOGETHER, views)) for first in range(0, views, _TOGETHER)]
            found.append(np.concatenate([encode(np.stack([frames[t] for t in part])) for part in parts]))
        return np.concatenate(found, axis=1)


NO_FEATURES = ImageFeatures({}, {})


def image_features(encoder: str, base: BasePolicy, cameras: Iterable[Camera], device: str = "cpu") -> ImageFeatures:
    """The features that `--encoder` asks for, of what these cameras see; none for "".

    Raises UserError where a base policy has no encoders, BadCheckpoint and MissingWeights for what cannot be loaded.
    """
    if not encoder:
        return NO_FEATURES
    device = resolved_device(device)
    sizes = {camera.features.name: (camera.features.height, camera.features.width) for camera in cameras}
    if encoder == BASE_ENCODER:
        encoders = _of_base(base)
    elif (run := Path(encoder)).is_dir():
        refuse_unfinished(run, "mpr pretrain")
        objective = wanted_checkpoint(run, REPRESENTATION_CHECKPOINT)[1]["objective"]
        loaded = load_representation(run, objective)[0]
        loaded = Representation(loaded.model, loaded.size, loaded.rate_hz, device)
        encoders = dict.fromkeys(sizes, partial(_represented, loaded))
    else:
        one = CameraEncoder(encoder, 0, frozen_encoder(encoder).weights, device)
        encoders = dict.fromkeys(sizes, partial(_encoded, one, torch.nn.Identity(), device))
    return ImageFeatures(encoders, sizes)


def encoder_digest(encoder: str) -> str:
    """Tells one encoder's weights from another's at the same place; empty for none and for the base policy's own."""
    if encoder in ("", BASE_ENCODER):
        return ""
    if (run := Path(encoder)).is_dir():
        return weights_digest(run)
    place = frozen_encoder(encoder).weights
    files = sorted(file for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file())
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()[:16]


def _of_base(base: BasePolicy) -> dict[str, Encode]:
    policy, camera_encoder = getattr(base, "policy", None), getattr(base, "camera_encoder", None)
    if not isinstance(policy, DiffusionPolicy) or camera_encoder is None:
        raise UserError(
            f"--encoder {BASE_ENCODER}: this base policy looks through no camera; give one of `mpr bc --cameras`, or "
            "another encoder"
        )
    device = str(next(policy.parameters()).device)
    trained = zip(policy.shape.cameras, policy.encoders, strict=True)
    return {name: partial(_encoded, camera_encoder, module, device) for name, module in trained}


@torch.no_grad()
def _encoded(
    make_ready: CameraEncoder, module: torch.nn.Module, device: str, frames: NDArray[np.uint8]
) -> NDArray[np.float32]:
    return module(torch.from_numpy(make_ready(frames)).to(device)).float().cpu().numpy()


def _represented(representation: Representation, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    return representation(frames).numpy()
