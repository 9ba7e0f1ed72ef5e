"""Predicted and tracked deltas of a clip's object points, side by side: what every reward and every figure is made of.

A transition in which no object point was tracked to move at least the smallest threshold has agreement 0 under any
predictor, so it needs neither frames nor a prediction: the same numbers for a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.reward import MOVED, MOVED_REPORTED, agreement, directional_agreement, moved_share
from tracking.clip import TrackedClip
from tracking.compensation import Compensation, object_motion
from tracking.points import Transition


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


def score_clip(clip: TrackedClip, model: DeltaModel, compensate: Compensation = "none") -> list[Scored]:
    """All T transitions of a clip. Only those in which an object point moved are handed to the model."""
    transitions = [Transition(clip, t) for t in range(len(clip.times) - 1)]
    tracked = [object_motion(x, compensate) for x in transitions]
    moving = [t for t, delta in enumerate(tracked) if moved_share(delta, min(MOVED_REPORTED)) > 0]
    predicted = [np.zeros_like(delta) for delta in tracked]
    for t, deltas in zip(moving, model(clip, [transitions[t] for t in moving]), strict=True):
        predicted[t] = deltas
    return [_side_by_side(x, p, q) for x, p, q in zip(transitions, predicted, tracked, strict=True)]


def score_moving(clip: TrackedClip, model: DeltaModel, moved: float) -> list[Scored]:
    """`score_clip` for those who ask for agreements or moved shares at the threshold `moved` alone: the same numbers.

    A transition in which no object point moved so far is left empty. Where no visible point did, not even its mask is
    read, which costs as much as a frame where it is rendered.
    """
    transitions = [Transition(clip, t) for t in range(len(clip.times) - 1)]
    stirring = [x for x in transitions if moved_share(x.delta[x.visible], moved) > 0]
    moving = [x for x in stirring if moved_share(x.delta[x.object], moved) > 0]
    none = np.zeros((0, 2), np.float32)
    out = [Scored(none, none, none)] * len(transitions)
    for x, deltas in zip(moving, model(clip, moving), strict=True):
        out[x.t] = _side_by_side(x, deltas, x.delta[x.object])
    return out


def _side_by_side(x: Transition, predicted: NDArray[np.float32], tracked: NDArray[np.float32]) -> Scored:
    """Raises ValueError where the model gave deltas for another number of points."""
    if predicted.shape != tracked.shape:
        raise ValueError(f"transition {x.t}: {len(tracked)} object points, {predicted.shape} predicted deltas")
    return Scored(x.before[x.object], predicted, tracked)


def agreements(scored: Sequence[Scored], moved: float = MOVED) -> NDArray[np.float32]:
    """Agreement per step [T]."""
    return np.array([agreement(s.predicted, s.tracked, moved) for s in scored], np.float32)


def moved_shares(scored: Sequence[Scored], moved: float = MOVED) -> NDArray[np.float32]:
    """Share of object points that moved per step [T]: an oracle's agreement."""
    return np.array([moved_share(s.tracked, moved) for s in scored], np.float32)


def summary(scored: Sequence[Scored]) -> dict[str, object]:
    """Figures of one clip or episode, at every reported threshold (pixels of 256)."""
    empty = sum(len(s.points) == 0 for s in scored)
    figures: dict[str, object] = {"steps": len(scored), "steps_without_object_points": empty}
    for moved in MOVED_REPORTED:
        a, m = agreements(scored, moved), moved_shares(scored, moved)
        ratio = directional_agreement(a, m)
        figures[f"moved_{moved}"] = {
            "mean_agreement": float(a.mean()),
            "mean_moved_share": float(m.mean()),
            "directional_agreement": None if np.isnan(ratio) else ratio,
            "sum_agreement": float(a.sum()),
            "sum_moved_share": float(m.sum()),
        }
    return figures
