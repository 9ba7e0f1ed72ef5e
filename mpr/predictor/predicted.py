"""The motion predictor as a DeltaModel: prepares transitions as in training and predicts every object point once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.predictor.checkpoint import Predictor
from mpr.predictor.inputs import Pass, progress_of, scoring_passes
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
        out: list[NDArray[np.float32]] = []
        for start in range(0, len(transitions), _BATCH):
            some = transitions[start : start + _BATCH]
            now = np.stack([self._frame(clip, x.t) for x in some])
            previous = np.stack([self._frame(clip, clip.before(x.t)) for x in some])
            told = [progress_of(clip, x.t) if self.progress is None else self.progress for x in some]
            tokens = self.predictor.tokens(previous, now)
            asked = [asked_of(x, seen, self.predictor) for x, seen in zip(some, tokens, strict=True)]
            out += predicted_deltas(self.predictor, asked, np.array(told, np.float32))
        return out

    def _frame(self, clip: TrackedClip, t: int) -> NDArray[np.uint8]:
        if self.images == "black":
            return np.zeros_like(clip.frames[t])
        if self.images == "other":
            assert self.other is not None
            return self.other.frames[round(t * (len(self.other.times) - 1) / (len(clip.times) - 1))]
        return clip.frames[t]


@dataclass(frozen=True)
class AskedTransition:
    """All that a predictor is asked of one transition, but for its progress."""

    tokens: torch.Tensor  # [2 S, D] of the frame before and of its own
    passes: list[Pass]
    points: int  # of the object


def asked_of(x: Transition, tokens: torch.Tensor, predictor: Predictor) -> AskedTransition:
    """What there is to ask of a transition whose frames' tokens [2 S, D] are known."""
    rng = np.random.default_rng(x.t)
    return AskedTransition(tokens, scoring_passes(x, predictor.budget, rng, predictor.fill), int(x.object.sum()))


def predicted_deltas(
    predictor: Predictor, asked: Sequence[AskedTransition], progress: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The deltas [M, 2] of each transition's M object points, pixels of 256, at `progress` [B]."""
    out = [np.zeros((one.points, 2), np.float32) for one in asked]
    passes = [(i, p) for i, one in enumerate(asked) for p in one.passes]
    for start in range(0, len(passes), _BATCH):
        chunk = passes[start : start + _BATCH]
        deltas = predictor.predict(
            torch.stack([asked[i].tokens for i, _ in chunk]),
            np.stack([p.points for _, p in chunk]),
            progress[[i for i, _ in chunk]],
            np.stack([p.valid for _, p in chunk]),
        )
        for (i, p), delta in zip(chunk, deltas, strict=True):
            out[i][p.object_rows] = delta[: len(p.object_rows)]
    return out


def warn_of_rate(clip: TrackedClip, predictor: Predictor) -> None:
    """Deltas per step depend on the rate: a clip of another rate than the predictor's is scored with a warning."""
    if remark := rate_remark(f"clip {clip.source.uid}", clip.rate_hz, predictor):
        import warnings

        warnings.warn(remark, stacklevel=2)


def rate_remark(what: str, rate_hz: float, predictor: Predictor) -> str:
    """What is to be said where something runs at another rate than the predictor was trained at; else nothing."""
    if abs(rate_hz / predictor.rate_hz - 1) <= 0.1:
        return ""
    trained = f"the predictor was trained at {predictor.rate_hz:.4g} Hz"
    return f"{what} runs at {rate_hz:.4g} Hz, {trained}: predicted motion per step differs"


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
