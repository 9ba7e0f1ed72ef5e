"""Camera frames made ready once: shrunk for an encoder that is trained along, or a frozen encoder's features.

What stands in the cache is what the policy is shown, at training and at run time alike, so a frozen encoder runs once
a frame and never in a training step, and video is never decoded in one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mpr.core.data.clip import FrameSource
from mpr.core.data.episode import Episode
from mpr.core.runs import atomic_path
from mpr.predictor.registry import find_encoder
from rl.data.demonstrations import labels

_CHUNK = 32  # frames that a frozen encoder is given at once


def shrunk(frame: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """A frame [H, W, 3] area-resampled so that its short side is `short_side` pixels; its aspect is kept."""
    h, w = frame.shape[:2]
    if min(h, w) == short_side:
        return frame
    scale = short_side / min(h, w)
    return cv2.resize(frame, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA).astype(np.uint8)


class CameraEncoder:
    """Makes frames ready: uint8 [B, H, W, 3] to what the cache holds, uint8 [B, h, w, 3] or float32 features [B, F].

    `encoder` is a name of mpr.predictor.registry; `image` (pixels, short side) is for one that is trained along,
    `weights` for a frozen one. Raises MissingWeights.
    """

    def __init__(self, encoder: str, image: int, weights: Path, device: str = "cpu") -> None:
        self.image, self.device = image, device
        kind = find_encoder(encoder)
        self.frozen = kind.make_features(weights).to(device) if kind.frozen else None

    @torch.no_grad()
    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        if self.frozen is None:
            return np.stack([shrunk(frame, self.image) for frame in frames])
        return self.frozen(torch.tensor(frames, device=self.device)).float().cpu().numpy()


def fingerprint(demonstrations: Sequence[Episode], *about: str | int, camera: str = "") -> str:
    """16 hexadecimal digits of `about` and of what the demonstrations hold, every frame of `camera` included."""
    digest = hashlib.sha256(repr((camera, about)).encode())
    for d in demonstrations:
        frames = (d.frames[camera][t] for t in range(len(d) + 1)) if camera else ()
        for array in itertools.chain((d.states, labels(d)), frames):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def cached_view(
    demonstrations: Sequence[Episode], camera: str, camera_encoder: CameraEncoder, cache: Path, name: str
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """All frames of a camera made ready, [sum of T+1, ...] in the demonstrations' order, memory-mapped from `cache`.

    `name` says what makes them ready (encoder, size). All were seen by that camera: `demonstrations.frame_sizes` tells.
    """
    file = cache / f"{camera}-{name}-{fingerprint(demonstrations, name, camera=camera)}.npy"
    if not file.exists():
        _write_view([d.frames[camera] for d in demonstrations], camera_encoder, file)
    return np.load(file, mmap_mode="r")


def _write_view(sources: Sequence[FrameSource], camera_encoder: CameraEncoder, file: Path) -> None:
    total = sum(len(source) for source in sources)
    first = camera_encoder(np.asarray(sources[0][0])[None])
    shape = (total, *first.shape[1:])
    print(f"making {total} frames ready once: {np.prod(shape) * first.itemsize / 1e9:.2f} GB in {file}")
    with atomic_path(file) as temporary, tqdm(total=total, unit="frame", desc="frames") as bar:
        rows = np.lib.format.open_memmap(temporary, "w+", first.dtype, shape)
        row = 0
        for source in sources:
            for start in range(0, len(source), _CHUNK):
                frames = [np.asarray(source[t]) for t in range(start, min(start + _CHUNK, len(source)))]
                rows[row : row + len(frames)] = camera_encoder(np.stack(frames))
                row += len(frames)
                bar.update(len(frames))
        rows.flush()
