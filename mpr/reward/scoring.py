"""Predicted and tracked deltas of a clip's object points, side by side: what every reward and every figure is made of.

A transition in which no object point was tracked to move at least the smallest threshold has agreement 0 under any
predictor, so it needs neither frames nor a prediction: the same numbers for a fraction of the work. A gap
(`mpr.core.data.steps`) keeps its place with agreement 0, and enters no figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.reward.agreement import (
    MOTION_THRESHOLD_PX,
    MOTION_THRESHOLDS_PX,
    agreement,
    directional_agreement,
    moved_share,
)
from tracking.motion.compensation import Compensation, object_motion
from tracking.motion.points import Transition, transitions


class DeltaModel(Protocol):
    """Says how the object points of some transitions will move next."""

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        """For each transition the predicted deltas [M, 2] of its M object points (in index order), pixels of 256."""
        ...


@dataclass(frozen=True)
class Scored:
    """One transition's object points [M, 2] with predicted and tracked deltas [M, 2], pixels of 256."""

    points: NDArray[np.float32]
    predicted: NDArray[np.float32]  # zeros where nothing moved and nothing was predicted
    tracked: NDArray[np.float32]
    gap: bool = False  # then there is no point


NO_POINTS = np.zeros((0, 2), np.float32)


def score_clip(clip: TrackedClip, model: DeltaModel, compensate: Compensation = "none") -> list[Scored]:
    """All T transitions of a clip. Only those in which an object point moved are handed to the model."""
    steps = list(transitions(clip))
    tracked = [object_motion(x, compensate) for x in steps]
    moving = [k for k, delta in enumerate(tracked) if moved_share(delta, min(MOTION_THRESHOLDS_PX)) > 0]
    predicted = [np.zeros_like(delta) for delta in tracked]
    for k, deltas in zip(moving, model(clip, [steps[k] for k in moving]), strict=True):
        predicted[k] = deltas
    out = _empty(clip)
    for x, p, q in zip(steps, predicted, tracked, strict=True):
        out[x.t] = _side_by_side(x, p, q)
    return out


def score_moving(clip: TrackedClip, model: DeltaModel, threshold_px: float) -> list[Scored]:
    """`score_clip` for those who ask only for agreements or moved shares at the threshold: the same numbers.

    A transition in which no object point moved so far is left empty. Where no visible point did, not even its mask is
    read, which costs as much as a frame where it is rendered.
    """
    moving = [x for x in transitions(clip) if moves(x, threshold_px)]
    out = _empty(clip)
    for x, deltas in zip(moving, model(clip, moving), strict=True):
        out[x.t] = _side_by_side(x, deltas, x.delta[x.object])
    return out


def moves(x: Transition, threshold_px: float) -> bool:
    """Whether an object point moved so far. The mask is read only where any visible point did."""
    return moved_share(x.delta[x.visible], threshold_px) > 0 and moved_share(x.delta[x.object], threshold_px) > 0


def _empty(clip: TrackedClip) -> list[Scored]:
    return [Scored(NO_POINTS, NO_POINTS, NO_POINTS, bool(gap)) for gap in clip.gaps]


def _side_by_side(x: Transition, predicted: NDArray[np.float32], tracked: NDArray[np.float32]) -> Scored:
    """Raises ValueError where the model gave deltas for another number of points."""
    if predicted.shape != tracked.shape:
        raise ValueError(f"transition {x.t}: {len(tracked)} object points, {predicted.shape} predicted deltas")
    return Scored(x.before[x.object], predicted, tracked)


def agreements(scored: Sequence[Scored], threshold_px: float = MOTION_THRESHOLD_PX) -> NDArray[np.float32]:
    """Agreement per step [T]; 0 over a gap."""
    return np.array([agreement(s.predicted, s.tracked, threshold_px) for s in scored], np.float32)


def moved_shares(scored: Sequence[Scored], threshold_px: float = MOTION_THRESHOLD_PX) -> NDArray[np.float32]:
    """Share of object points that moved per step [T]: an oracle's agreement; 0 over a gap."""
    return np.array([moved_share(s.tracked, threshold_px) for s in scored], np.float32)


def with_figures(scored: Sequence[Scored]) -> list[Scored]:
    """The steps that figures are made of: all but gaps."""
    return [s for s in scored if not s.gap]


def mean_agreement(scored: Sequence[Scored], threshold_px: float = MOTION_THRESHOLD_PX) -> float:
    """Over all steps but gaps; NaN without one."""
    values = agreements(with_figures(scored), threshold_px)
    return float(values.mean()) if len(values) else math.nan


def score_summary(scored: Sequence[Scored]) -> dict[str, object]:
    """Figures of one clip or episode, at every reported threshold (pixels of 256), over all steps but gaps.

    Raises ValueError where there is no other.
    """
    steps = with_figures(scored)
    if not steps:
        raise ValueError(f"{len(scored)} steps, each a gap: no figure says anything of them")
    empty = sum(len(s.points) == 0 for s in steps)
    figures: dict[str, object] = {"steps": len(scored), "gaps": len(scored) - len(steps)}
    figures["steps_without_object_points"] = empty
    for threshold_px in MOTION_THRESHOLDS_PX:
        a, m = agreements(steps, threshold_px), moved_shares(steps, threshold_px)
        ratio = directional_agreement(a, m)
        figures[f"moved_{threshold_px}"] = {
            "mean_agreement": float(a.mean()),
            "mean_moved_share": float(m.mean()),
            "directional_agreement": None if np.isnan(ratio) else ratio,
            "sum_agreement": float(a.sum()),
            "sum_moved_share": float(m.sum()),
        }
    return figures
