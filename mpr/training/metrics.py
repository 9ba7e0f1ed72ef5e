"""How well a predictor foresees the object's motion on held-out groups, against predictors that know no scene.

Targets are compensated deltas of object points, in pixels of 256. *At rest* means: the object stood still in the two
frames seen and moves next, so that no motion can be copied. *Reversed* means: the two frames are shown in reversed
order (t+1, then t), as a closing door would look; the prediction should still point the way the task goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.checkpoint import Predictor
from mpr.intervals import Interval, ratio
from mpr.reward import MOVED, point_agreement
from mpr.samples import Fill, compensated_targets, draw_points, progress_of, shares
from mpr.standins import ConstantVelocity
from tracking.clip import TrackedClip
from tracking.compensation import Compensation, object_motion
from tracking.points import Transition

BATCH = 64  # transitions predicted at once
REST_SHARE = 0.1  # an object of which fewer points moved stood still


@dataclass(frozen=True)
class Probe:
    """One held-out transition, prepared as in training: K object points first among the budget's."""

    clip: int
    t: int
    points: NDArray[np.float32]  # [budget, 2] crop pixels
    valid: NDArray[np.bool_]  # [budget]
    progress: float
    target: NDArray[np.float32]  # [K, 2] compensated deltas
    velocity: NDArray[np.float32]  # [K, 2] compensated deltas of the transition before; zeros where unknown
    at_rest: bool

    @property
    def moving(self) -> NDArray[np.bool_]:
        return np.linalg.norm(self.target, axis=1) >= MOVED


@dataclass(frozen=True)
class Figures:
    """One predictor's row, each with its interval over clips; NaN where nothing can be said."""

    error_px: Interval  # end-point error over object points
    cosine: Interval  # over moving object points; a prediction of rest counts 0
    agreement: Interval  # mean of max(0, cos) over moving object points
    rest_cosine: Interval  # cosine where the object was at rest in both frames and moves next
    reversed_agreement: Interval  # agreement with the forward motion when the frames are shown in reversed order


def probes(
    clips: Sequence[TrackedClip],
    budget: int,
    compensate: Compensation = "mean",
    every: int = 1,
    fill: Fill = "repeat",
) -> list[Probe]:
    """Every `every`-th transition that shows an object point, prepared; the draw of points is fixed."""
    out: list[Probe] = []
    for i, clip in enumerate(clips):
        for t in range(0, len(clip.times) - 1, every):
            x = Transition(clip, t)
            if x.object.any():
                out.append(_probe(clip, i, x, budget, compensate, fill))
    return out


def _probe(clip: TrackedClip, number: int, x: Transition, budget: int, compensate: Compensation, fill: Fill) -> Probe:
    rows, valid = draw_points(x.object, x.background, budget, np.random.default_rng((number, x.t)), fill)
    chosen = rows[: shares(int(x.object.sum()), int(x.background.sum()), budget)[0]]  # each object point once
    delta = compensated_targets(x, compensate) - x.before
    among_objects = np.searchsorted(np.flatnonzero(x.object), chosen)
    velocity = ConstantVelocity(compensate)(clip, [x])[0][among_objects]
    at_rest = True
    if x.t > 0:
        moved = np.linalg.norm(object_motion(Transition(clip, x.t - 1), compensate), axis=1) >= MOVED
        at_rest = bool(len(moved)) and float(moved.mean()) < REST_SHARE
    points = np.nan_to_num(x.before[rows]).astype(np.float32)
    return Probe(number, x.t, points, valid, progress_of(clip, x.t), delta[chosen], velocity, at_rest)


def mean_motion(clips: Sequence[TrackedClip], compensate: Compensation = "mean") -> NDArray[np.float32]:
    """Mean compensated displacement [2] of all object points of all transitions."""
    total, count = np.zeros(2), 0
    for clip in clips:
        for t in range(len(clip.times) - 1):
            x = Transition(clip, t)
            delta = (compensated_targets(x, compensate) - x.before)[x.object]
            total, count = total + delta.sum(0), count + len(delta)
    return (total / max(count, 1)).astype(np.float32)


def predict_probes(
    predictor: Predictor, clips: Sequence[TrackedClip], asked: Sequence[Probe], backwards: bool = False
) -> list[NDArray[np.float32]]:
    """Predicted deltas [K, 2] of each probe's object points; `backwards` shows frame t+1 as the one before t."""
    out: list[NDArray[np.float32]] = []
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        wanted = sorted({(p.clip, t) for p in some for t in (p.t, _before(p, backwards))})
        frames = np.stack([clips[c].frames[t] for c, t in wanted])
        tokens = predictor.encode(frames)  # each frame once, though it stands in up to two pairs
        row = {key: k for k, key in enumerate(wanted)}
        previous = tokens[[row[p.clip, _before(p, backwards)] for p in some]]
        both = torch.cat([previous, tokens[[row[p.clip, p.t] for p in some]]], 1)
        progress = np.array([p.progress for p in some], np.float32)
        deltas = predictor.predict(
            both, np.stack([p.points for p in some]), progress, np.stack([p.valid for p in some])
        )
        out += [delta[: len(p.target)] for p, delta in zip(some, deltas, strict=True)]
    return out


def _before(probe: Probe, backwards: bool) -> int:
    return probe.t + 1 if backwards else max(probe.t - 1, 0)


def figures(
    asked: Sequence[Probe], predicted: Sequence[NDArray], backwards: Sequence[NDArray] | None = None
) -> Figures:
    """One row of the table from predicted deltas, and from those with the frames reversed."""

    def pooled(
        top: Callable[[Probe, NDArray], float], bottom: Callable[[Probe], float], of: Sequence[NDArray]
    ) -> Interval:
        clips = max((p.clip for p in asked), default=-1) + 1
        a, b = np.zeros(clips), np.zeros(clips)
        for probe, delta in zip(asked, of, strict=True):
            a[probe.clip] += top(probe, delta)
            b[probe.clip] += bottom(probe)
        return ratio(a, b)

    def error(p: Probe, delta: NDArray) -> float:
        return float(np.linalg.norm(delta - p.target, axis=1).sum())

    def moving(p: Probe) -> float:
        return float(p.moving.sum())

    def agreement(p: Probe, delta: NDArray) -> float:
        return float(point_agreement(delta, p.target).sum())

    nothing = Interval(float("nan"), float("nan"), float("nan"), 0)
    return Figures(
        error_px=pooled(error, lambda p: len(p.target), predicted),
        cosine=pooled(_cosines, moving, predicted),
        agreement=pooled(agreement, moving, predicted),
        rest_cosine=pooled(lambda p, d: p.at_rest * _cosines(p, d), lambda p: p.at_rest * moving(p), predicted),
        reversed_agreement=nothing if backwards is None else pooled(agreement, moving, backwards),
    )


def _cosines(probe: Probe, delta: NDArray) -> float:
    """Sum of cosines over the probe's moving points."""
    p, q = delta[probe.moving].astype(float), probe.target[probe.moving].astype(float)
    norms = np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1)
    return float(((p * q).sum(1) / np.where(norms > 0, norms, 1)).sum())


def compare(
    predictor: Predictor,
    clips: Sequence[TrackedClip],
    motion: NDArray,
    compensate: Compensation = "mean",
    every: int = 1,
) -> dict[str, Figures]:
    """The predictor and its stand-ins on held-out clips; `motion` [2] is the mean motion of the training clips."""
    asked = probes(clips, predictor.budget, compensate, every, predictor.fill)
    forward, backward = (predict_probes(predictor, clips, asked, b) for b in (False, True))
    return {
        "predictor": figures(asked, forward, backward),
        "zero motion": figures(asked, [np.zeros_like(p.target) for p in asked]),
        "constant velocity": figures(asked, [p.velocity for p in asked], [-p.target for p in asked]),
        "mean training motion": figures(asked, [np.tile(motion, (len(p.target), 1)) for p in asked]),
    }


def table(rows: dict[str, Figures]) -> str:
    """The comparison as a markdown table."""
    head = ["", "end-point error, px", "cosine, moving", "agreement, moving", "cosine at rest", "agreement, reversed"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in rows.items():
        lines.append("| " + " | ".join([name, *(str(getattr(row, key)) for key in asdict(row))]) + " |")
    return "\n".join(lines)
