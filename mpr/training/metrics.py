"""How well predicted deltas foresee how held-out object points move: a row of figures from probes and predictions.

Where a point should move comes with the probe (`probes.py`); nothing here knows models, clips or truths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.core.report.intervals import UNIT_RANGE, Interval, quotient_of_ratios, ratio
from mpr.predictor.inputs import compensated_targets
from mpr.reward.agreement import PREDICTED, point_agreement
from mpr.training.probes import Probe
from tracking.motion.compensation import Compensation
from tracking.motion.points import transitions


@dataclass(frozen=True)
class Figures:
    """One predictor's row, each figure with its interval over clips; NaN where nothing can be said."""

    agreement: Interval  # mean of max(0, cos) over moving object points; a prediction of rest counts 0
    contrast: Interval  # mean predicted length on moving object points over that on still ones
    rest_agreement: Interval  # agreement where the object stood still in the two frames seen: nothing to go on with
    error_px: Interval  # mean end-point error over moving object points, pixels of 256


def probe_figures(asked: Sequence[Probe], predicted: Sequence[NDArray]) -> Figures:
    """One row of the table: predicted deltas [K, 2] of each probe's object points against its targets."""
    names, clip = np.unique([p.clip for p in asked], return_inverse=True)
    sums = np.zeros((len(names), 8))
    for k, probe, delta in zip(clip, asked, predicted, strict=True):
        sums[k] += _sums(probe, delta)
    moving, agreed, error, length, still, still_length, rest_moving, rest_agreed = sums.T
    if still_length.sum() < PREDICTED * still.sum():
        still_length = np.zeros_like(still_length)  # all is predicted to stand still that does: nothing to divide by
    return Figures(
        agreement=ratio(agreed, moving, UNIT_RANGE),
        contrast=quotient_of_ratios((length, moving), (still_length, still)),
        rest_agreement=ratio(rest_agreed, rest_moving, UNIT_RANGE),
        error_px=ratio(error, moving),
    )


def _sums(probe: Probe, delta: NDArray) -> list[float]:
    """What one probe adds: of its moving points number, agreement, error and length; of the still ones number and
    length; of moving ones that were at rest number and agreement."""
    moving, still = probe.moving, probe.still
    length = np.linalg.norm(delta, axis=1)
    length[length < PREDICTED] = 0.0  # a prediction of rest, as the reward has it
    agreed = float(point_agreement(delta[moving], probe.target[moving]).sum())
    error = float(np.linalg.norm(delta - probe.target, axis=1)[moving].sum())
    of_moving = [float(moving.sum()), agreed, error, float(length[moving].sum())]
    of_still = [float(still.sum()), float(length[still].sum())]
    return of_moving + of_still + [probe.at_rest * of_moving[0], probe.at_rest * agreed]


def residue_share(asked: Sequence[Probe]) -> Interval:
    """How much of what moves looks like scenery that compensation leaves moving; NaN where nothing moves.

    It is the share of the moving object points whose nearest background points move too, once compensated: scenery that
    stands still, moved by what compensation leaves of the camera.

    On synthetic clips of three appliances it says 0.53, 0.68, 0.66 where 0.64, 0.73, 0.77 of the points truly stand
    still (affine); 0.82, 0.93, 0.90 where 0.70, 0.79, 0.84 do (mean). A homography bends to the background itself and
    hides there what it leaves on the object: half of the truth. A body nearer than all scenery hides it from any.
    """
    names, clip = np.unique([p.clip for p in asked], return_inverse=True)
    moving, too = np.zeros(len(names)), np.zeros(len(names))
    for k, probe in zip(clip, asked, strict=True):
        moving[k] += probe.moving.sum()
        too[k] += probe.scenery_moves[probe.moving].sum()
    return ratio(too, moving, UNIT_RANGE)


def mean_motion(clips: Sequence[TrackedClip], compensate: Compensation = "mean") -> NDArray[np.float32]:
    """Mean compensated displacement [2] of all object points of all transitions, gaps left out."""
    total, count = np.zeros(2), 0
    for clip in clips:
        for x in transitions(clip):
            delta = (compensated_targets(x, compensate) - x.before)[x.object]
            total, count = total + delta.sum(0), count + len(delta)
    return (total / max(count, 1)).astype(np.float32)
