"""Clips decoded once into memory-mapped arrays at the model's resolution, so that training never decodes video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mpr.core.data.clip import CROP_SIZE, MaskSource, TrackedClip, TrackSegment
from mpr.core.data.clip_folder import clip_info, load_clip
from mpr.core.runs import atomic_folder
from mpr.predictor.inputs import resampled

_FORMAT = 1


class _PackedMasks:
    """A MaskSource over bit-packed masks [T, H*W/8]."""

    def __init__(self, bits: NDArray[np.uint8], size: int) -> None:
        self.bits, self.size = bits, size

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        count = self.size * self.size
        return np.unpackbits(self.bits[t], count=count).view(bool).reshape(self.size, self.size)


def cache_bytes(folders: Sequence[Path], size: int) -> int:
    """What the frames and masks of these clips take on disk."""
    frames = sum(_frame_count(folder) for folder in folders)
    return frames * (size * size * 3 + CROP_SIZE * CROP_SIZE // 8)


def _frame_count(folder: Path) -> int:
    with np.load(folder / "tracks.npz", allow_pickle=False) as z:
        return len(z["times"])


def clips_digest(folders: Sequence[Path], *about: int) -> str:
    """16 hexadecimal digits of `about`, and of names and checksums of clips. Raises BadClip."""
    digests = [[folder.name, clip_info(folder)["sha256"]] for folder in folders]
    return hashlib.sha256(json.dumps([*about, digests]).encode()).hexdigest()[:16]


def cached_clips(folders: Sequence[Path], size: int, cache: Path) -> list[TrackedClip]:
    """Clips whose frames [size, size, 3] and masks [256, 256] are memory-mapped; points stay in pixels of 256.

    The cache is keyed by the clips' checksums and `size`, and appears whole or not at all.
    Raises BadClip for a clip folder that lost or changed a file.
    """
    home = Path(cache) / f"clips-{size}-{clips_digest(folders, _FORMAT, size)}"
    clips = [load_clip(folder) for folder in folders]
    if not home.exists():
        _build(folders, sum(len(clip.times) for clip in clips), size, home)
    frames, masks = np.load(home / "frames.npy", mmap_mode="r"), np.load(home / "masks.npy", mmap_mode="r")
    ends = np.cumsum([len(clip.times) for clip in clips])
    return [_over(clip, frames[e - len(clip.times) : e], masks[e - len(clip.times) : e])
            for clip, e in zip(clips, ends, strict=True)]  # fmt: skip


def _over(clip: TrackedClip, frames: NDArray[np.uint8], masks: NDArray[np.uint8]) -> TrackedClip:
    """The clip with other frames and masks, its points in float32."""
    segments = tuple(TrackSegment(s.start, s.points.astype(np.float32), s.visible) for s in clip.segments)
    packed: MaskSource = _PackedMasks(masks, CROP_SIZE)
    return TrackedClip(frames, packed, segments, clip.times, clip.rate_hz, clip.crop, clip.source)


def _build(folders: Sequence[Path], total: int, size: int, home: Path) -> None:
    shape = (total, size, size, 3)
    print(f"decoding {len(folders)} clips once: {np.prod(shape) / 1e9:.2f} GB in {home}")
    with atomic_folder(home) as temporary:
        frames = np.lib.format.open_memmap(temporary / "frames.npy", "w+", np.uint8, shape)
        masks = np.lib.format.open_memmap(temporary / "masks.npy", "w+", np.uint8, (total, CROP_SIZE * CROP_SIZE // 8))
        row = 0
        for folder in tqdm(folders, unit="clip", desc="decode"):
            clip = load_clip(folder, verify=True)  # opened here, so that no more than one decoder is alive
            for t in range(len(clip.times)):
                frames[row] = resampled(clip.frames[t], size)
                masks[row] = np.packbits(clip.masks[t])
                row += 1
        frames.flush()
        masks.flush()
