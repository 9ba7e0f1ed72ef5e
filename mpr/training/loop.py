"""Samples to weights: a data set that is a pure function of (seed, number), and one optimisation step after another.

Which sample stands at which place, and how it is augmented, depends only on the seed and its number: so a resumed
run, more loader processes or more ranks see the very same stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mpr.core.data.clip import CROP_SIZE, TrackedClip
from mpr.predictor.inputs import (
    Fill,
    compensated_targets,
    draw_points,
    in_pixels,
    known_places,
    normalised,
    progress_of,
    resampled,
)
from mpr.predictor.samples import stands_out, trainable
from mpr.training.augment import (
    affine_map,
    box_around,
    changed_frames,
    moved_frame,
    moved_points,
    previous_frame,
)
from mpr.training.config import NONE, RELATIVE, SQUARED, Augment
from tracking.motion.compensation import Compensation
from tracking.motion.points import Transition

PredictorBatch = dict[str, Tensor]
MASK_SIZE = 32  # pixels a side of a sample's object mask
FLOOR = 1.0  # pixels of 256, squared: motion that a relative error does not ask for


@dataclass(frozen=True)
class SamplePlace:
    """Where a sample comes from."""

    clip: int
    t: int


def places(clips: Sequence[TrackedClip], moving: float = 0.0, compensate: Compensation = "mean") -> list[SamplePlace]:
    """All transitions worth training on; a gap is none.

    Those in which the object's motion stands out from what compensation leaves of the camera's are repeated until
    they are about the share `moving` of all: the others are mostly noise, and no less work.
    """
    found: tuple[list[SamplePlace], list[SamplePlace]] = ([], [])
    for i, clip in enumerate(clips):
        for t in range(len(clip.times) - 1):
            transition = Transition.of(clip, t)
            if trainable(transition):
                found[stands_out(transition, compensate)].append(SamplePlace(i, t))
    rest, clear = found
    wanted = moving / (1 - moving) * len(rest) / max(len(clear), 1)
    return rest + clear * max(1, round(wanted))


class Samples(Dataset):
    """Endless training samples by number. Each epoch passes through all places in an order of its own."""

    def __init__(
        self,
        clips: Sequence[TrackedClip],
        budget: int,
        seed: int,
        augment: Augment = NONE,
        fill: Fill = "repeat",
        compensate: Compensation = "mean",
        image: int = 0,
        moving: float = 0.0,
    ) -> None:
        """`image`: pixels a side of a sample's frames (0: as the clips'); `moving`: see `places`."""
        self.clips, self.budget, self.seed, self.image = clips, budget, seed, image
        self.augment = augment
        self.compensate: Compensation = compensate
        self.fill: Fill = fill
        self.places = places(clips, moving, compensate)
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.empty(0, np.intp))

    def __len__(self) -> int:
        return len(self.places)

    def place(self, number: int) -> SamplePlace:
        epoch, k = divmod(number, len(self.places))
        if self._order[0] != epoch:
            order = np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.places))
            self._order = (epoch, order)
        return self.places[self._order[1][k]]

    def __getitem__(self, number: int) -> dict[str, NDArray | np.float32]:
        rng = np.random.default_rng((self.seed, 2, number))
        place = self.place(number)
        return self.sample(self.clips[place.clip], place.t, rng)

    def sample(self, clip: TrackedClip, t: int, rng: np.random.Generator) -> dict[str, NDArray | np.float32]:
        """One sample: frames [2, S, S, 3], points and target [N, 2] in 0..1, progress, valid [N], mask [32, 32]."""
        transition = Transition.of(clip, t)
        box = box_around(transition.before[transition.object]) if transition.object.any() else None
        matrix = affine_map(self.augment, rng, box)
        before, after = transition.before, compensated_targets(transition, self.compensate)
        before, after = known_places(before), known_places(after)
        of_object, of_background = transition.object, transition.background
        if matrix is not None:
            before, after = moved_points(before, matrix), moved_points(after, matrix)
            kept = ((before >= 0) & (before <= CROP_SIZE - 1)).all(1)  # between the outermost pixels' centres
            if (of_object & kept).any():
                of_object, of_background = of_object & kept, of_background & kept
        rows, valid = draw_points(of_object, of_background, self.budget, rng, self.fill)
        first, last = clip.stretch(t)
        previous = previous_frame(t, last + 1, self.augment, rng, first)
        pair = [np.asarray(clip.frames[previous]), np.asarray(clip.frames[t])]
        frames, covered = changed_frames(pair, self.image or len(pair[0]), matrix, self.augment, rng)
        mask = 255 * np.asarray(clip.masks[t], np.uint8)
        mask = resampled(mask, MASK_SIZE) if matrix is None else moved_frame(mask, matrix, MASK_SIZE)
        seen = 1 - resampled(covered.astype(np.float32), MASK_SIZE)
        jitter = self.augment.progress_jitter
        return {
            "frames": np.stack(frames),
            "points": normalised(before[rows]),
            "target": normalised(after[rows]),
            "progress": np.float32(np.clip(progress_of(clip, t) + rng.uniform(-jitter, jitter), 0, 1)),
            "valid": valid,
            "mask": np.float32(mask) / 255 * seen,
        }


def loader(
    samples: Dataset, batch: int, first_step: int, steps: int, workers: int = 0, rank: int = 0, world: int = 1
) -> DataLoader:
    """Batches of steps first_step .. steps - 1. Rank r takes its part of every global batch of `batch` samples."""
    mine = batch // world
    order = [s * batch + rank * mine + j for s in range(first_step, steps) for j in range(mine)]
    own = torch.Generator()  # it draws a seed that no sample uses: not from the one that checkpoints keep
    return DataLoader(samples, mine, sampler=order, num_workers=workers, persistent_workers=workers > 0, generator=own)  # type: ignore[arg-type]


def squared_pixels(predicted: Tensor, batch: PredictorBatch) -> Tensor:
    """Mean squared distance over valid points, in pixels of 256 squared per coordinate (in 0..1 it would be ~1e-5).

    `predicted` and the batch's "target" are next points [B, N, 2] in 0..1, its "valid" [B, N].
    """
    error = in_pixels(predicted - batch["target"]).square().mean(-1)
    valid = batch["valid"]
    return (error * valid).sum() / valid.sum().clamp(min=1)


def relative_error(predicted: Tensor, batch: PredictorBatch) -> Tensor:
    """Mean squared distance over valid points, divided by each sample's own mean squared motion plus FLOOR.

    `predicted` is [B, N, 2] in 0..1. The reward looks only at directions, and a door that is pulled fast moves ten
    times as far a step as one that is pulled slowly: in plain pixels the few fastest transitions would decide the
    gradient. Predicting rest costs nearly 1 for motion well above a pixel; motion below it counts less, as it is mostly
    what is left of the camera's.
    """
    valid = batch["valid"]
    count = valid.sum(1).clamp(min=1)

    def mean_square(offset: Tensor) -> Tensor:
        return (in_pixels(offset).square().sum(-1) * valid).sum(1) / count  # [B]

    motion = mean_square(batch["target"] - batch["points"])
    return (mean_square(predicted - batch["target"]) / (motion + FLOOR)).mean()


ERROR_OF = {SQUARED: squared_pixels, RELATIVE: relative_error}  # a loss's


def foreground_error(logits: Tensor, batch: PredictorBatch) -> Tensor:
    """Cross entropy of the object's pixels [B, G, G] in the current frame."""
    wanted = F.adaptive_avg_pool2d(batch["mask"], logits.shape[-1])
    return F.binary_cross_entropy_with_logits(logits.float(), wanted)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine to zero; constant where `warmup` is negative."""
    if warmup < 0:
        return peak
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def train_steps(
    model: Callable[..., tuple[Tensor, Tensor | None]],
    optimizer: torch.optim.Optimizer,
    batches: DataLoader,
    first_step: int,
    rate: Callable[[int], float],
    device: str = "cpu",
    loss_of: Callable[[Tensor, PredictorBatch], Tensor] = squared_pixels,
    foreground: float = 0.0,
    bfloat16: bool = False,
    clip_norm: float = 1.0,
) -> Iterator[tuple[int, Tensor]]:
    """Yields (steps done, loss of the motion) after every optimisation step.

    The model is given a batch's frames [B, 2, S, S, 3], points [B, N, 2] in 0..1, progress [B] and valid [B, N]. `rate`
    says the learning rate of a step, `foreground` how much telling the object's pixels weighs beside motion.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step, loaded in enumerate(batches, first_step):
        batch = {k: v.to(device, non_blocking=True) for k, v in loaded.items()}
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bfloat16):
            predicted, logits = model(batch["frames"], batch["points"], batch["progress"], batch["valid"])
        loss = loss_of(predicted.float(), batch)
        beside = 0.0 if logits is None else foreground * foreground_error(logits, batch)
        optimizer.zero_grad(set_to_none=True)
        (loss + beside).backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        yield step + 1, loss.detach()
