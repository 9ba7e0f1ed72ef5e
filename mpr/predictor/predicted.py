"""The motion predictor as a DeltaModel: prepares transitions as in training and predicts every object point once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.predictor.checkpoint import Predictor
from mpr.predictor.inputs import progress_of, scoring_passes
from tracking.motion.points import Transition

_BATCH = 32  # passes predicted at once


class PredictedDeltas:
    """Deltas predicted by trained weights: a DeltaModel.

    `progress` None is the finished clip's own, by true time, else that constant. `images` chooses what the predictor
    sees: the clip's own frames, black ones, or those of another clip `other` (baselines: a predictor that reads the
    image must lose by it).
    """

    def __init__(
        self,
        predictor: Predictor,
        progress: float | None = None,
        images: Literal["own", "black", "other"] = "own",
        other: TrackedClip | None = None,
    ) -> None:
        self.predictor, self.progress, self.images, self.other = predictor, progress, images, other

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        warn_of_rate(clip, self.predictor)
        out = [np.zeros((int(x.object.sum()), 2), np.float32) for x in transitions]
        for start in range(0, len(transitions), _BATCH):
            some = transitions[start : start + _BATCH]
            now = np.stack([self._frame(clip, x.t) for x in some])
            previous = np.stack([self._frame(clip, clip.before(x.t)) for x in some])
            told = [progress_of(clip, x.t) if self.progress is None else self.progress for x in some]
            progress = np.array(told, np.float32)
            tokens = self.predictor.tokens(previous, now)
            self._predict(some, tokens, progress, out[start : start + _BATCH])
        return out

    def _predict(
        self, some: Sequence[Transition], tokens: torch.Tensor, progress: NDArray, out: list[NDArray[np.float32]]
    ) -> None:
        passes = []
        for i, x in enumerate(some):
            rng = np.random.default_rng(x.t)
            passes += [(i, p) for p in scoring_passes(x, self.predictor.budget, rng, self.predictor.fill)]
        for start in range(0, len(passes), _BATCH):
            chunk = passes[start : start + _BATCH]
            rows = torch.tensor([i for i, _ in chunk])
            deltas = self.predictor.predict(
                tokens[rows],
                np.stack([p.points for _, p in chunk]),
                progress[rows.numpy()],
                np.stack([p.valid for _, p in chunk]),
            )
            for (i, p), delta in zip(chunk, deltas, strict=True):
                out[i][p.object_rows] = delta[: len(p.object_rows)]

    def _frame(self, clip: TrackedClip, t: int) -> NDArray[np.uint8]:
        if self.images == "black":
            return np.zeros_like(clip.frames[t])
        if self.images == "other":
            assert self.other is not None
            return self.other.frames[round(t * (len(self.other.times) - 1) / (len(clip.times) - 1))]
        return clip.frames[t]


def warn_of_rate(clip: TrackedClip, predictor: Predictor) -> None:
    """Deltas per step depend on the rate: a clip of another rate than the predictor's is scored with a warning."""
    if abs(clip.rate_hz / predictor.rate_hz - 1) > 0.1:
        import warnings

        warnings.warn(
            f"clip {clip.source.uid} runs at {clip.rate_hz:.4g} Hz, the predictor was trained at "
            f"{predictor.rate_hz:.4g} Hz: predicted motion per step differs",
            stacklevel=2,
        )


def untrained_predictor(predictor: Predictor, seed: int) -> Predictor:
    """The same architecture with random weights, zero-initialised layers included (else it would predict rest).

    Norms keep their gains: scaled down they would hide the image from it.
    """
    import copy

    other = copy.deepcopy(predictor)
    generator = torch.Generator().manual_seed(seed)
    for part in (other.encoder, other.model):
        for module in part.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, torch.nn.LayerNorm | torch.nn.GroupNorm):
                    parameter.data.fill_(float(name == "weight"))
                else:
                    scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.02
                    parameter.data = torch.randn(parameter.shape, generator=generator) * scale
    return other
