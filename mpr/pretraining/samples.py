"""Some frames of one clip, alike cropped, mirrored and coloured: a data set that is a pure function of (seed, number).

A crop of its own for each frame would tell an encoder of motion that is none; so all frames of a sample share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mpr.core.data.clip import FrameSource, FrameWindow, TrackedClip
from mpr.pretraining.objective import FEWEST_FRAMES, Objective
from mpr.training.augment import changed_frames
from mpr.training.config import NONE
from tracking.masks.unseen import frames_showing, unseen_frames

_ASPECT = (3 / 4, 4 / 3)  # of a crop: torchvision's RandomResizedCrop, which VIP's authors used
_TRIES = 10


def frame_stretches(clip: TrackedClip) -> list[FrameSource]:
    """The clip's frames between gaps and stretches without its object, as clips of their own.

    Those of under `FEWEST_FRAMES` are left out.
    """
    without = np.zeros(len(clip.times), bool)
    for first, last in unseen_frames(frames_showing(clip), clip.times):
        without[first : last + 1] = True
    cuts = np.flatnonzero(clip.gaps | (without[1:] != without[:-1]))
    starts = [0, *(cuts + 1).tolist(), len(clip.times)]
    parts = [FrameWindow(clip.frames, a, b) for a, b in pairwise(starts) if not without[a]]
    return [part for part in parts if len(part) >= FEWEST_FRAMES]


def random_crop(least: float, flip: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A [2, 3] map of the unit square that shows a random part of it, at least the share `least`; at times mirrored."""
    width = height = 1.0
    for _ in range(_TRIES):
        area, aspect = rng.uniform(least, 1), np.exp(rng.uniform(*np.log(_ASPECT)))
        if max(area * aspect, area / aspect) <= 1:
            width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
            break
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    matrix = np.array([[1 / width, 0, -left / width], [0, 1 / height, -top / height]])
    if rng.random() < flip:
        matrix[0] = np.array([0, 0, 1]) - matrix[0]
    return matrix


class FrameSamples(Dataset):
    """Endless samples by number: each epoch passes through all stretches of frames in an order of its own."""

    def __init__(
        self, parts: Sequence[FrameSource], objective: Objective, image: int, seed: int,
        crop: float = 1.0, flip: float = 0.0, colour: float = 0.0,
    ) -> None:  # fmt: skip
        """`parts`: of `frame_stretches`; `image`: pixels a side of a sample's frames; the rest as in PretrainConfig."""
        self.parts, self.objective, self.image, self.seed = parts, objective, image, seed
        self.crop, self.flip, self.augment = crop, flip, replace(NONE, colour=colour)
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.empty(0, np.intp))

    def __len__(self) -> int:
        return len(self.parts)

    def part(self, number: int) -> FrameSource:
        """The stretch that sample `number` is of."""
        epoch, k = divmod(number, len(self.parts))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.parts)))
        return self.parts[self._order[1][k]]

    def __getitem__(self, number: int) -> dict[str, NDArray]:
        """Frames uint8 [K, S, S, 3] of one stretch, and at which shares [K] of it, 0 to 1, they are."""
        rng = np.random.default_rng((self.seed, 2, number))
        part = self.part(number)
        at = self.objective.draw(len(part), rng)
        matrix = random_crop(self.crop, self.flip, rng)
        chosen = [np.asarray(part[int(t)]) for t in at]
        frames, _ = changed_frames(chosen, self.image, matrix, self.augment, rng)
        return {"frames": np.stack(frames), "progress": (at / (len(part) - 1)).astype(np.float32)}
