"""The reward's arithmetic, as pure functions of arrays (paper III-A, Eq. 1; VII-E).

agreement_t = mean over object points i of max(0, cos(predicted delta_i, tracked delta_i)), in [0, 1]
r_t         = weight * agreement_t - 1 + bonus * [success at step t], the weight 1 in the paper

A point that was tracked to move less than a threshold counts 0, and so does one predicted not to move: cosines of
nothing are noise. Without any object point the agreement is 0. Nothing here knows frames, models or trackers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Of 256: a tracked displacement under this counts as rest. Always report MOTION_THRESHOLDS_PX too.
MOTION_THRESHOLD_PX = 0.5
MOTION_THRESHOLDS_PX = (0.25, 0.5, 1.0)
PREDICTED = 0.02  # pixels of 256: a predicted displacement under this counts as rest
OFFSET = -1.0  # a positive reward would make finishing the task a loss (paper VII-E)
BONUS = 1.0


def point_agreement(
    predicted: NDArray, tracked: NDArray, threshold_px: float = MOTION_THRESHOLD_PX
) -> NDArray[np.float32]:
    """max(0, cos) per point [N] of predicted and tracked deltas [N, 2] in pixels of 256; 0 for a point at rest.

    Raises ValueError for shapes that differ or values that are not finite.
    """
    predicted, tracked = np.asarray(predicted, np.float64), np.asarray(tracked, np.float64)
    if predicted.shape != tracked.shape or predicted.ndim != 2 or predicted.shape[1] != 2:
        raise ValueError(f"deltas must both be [N, 2], got {predicted.shape} and {tracked.shape}")
    if not (np.isfinite(predicted).all() and np.isfinite(tracked).all()):
        raise ValueError("a delta of an object point is NaN or infinite")
    p, q = np.linalg.norm(predicted, axis=1), np.linalg.norm(tracked, axis=1)
    counts = (q >= threshold_px) & (p >= PREDICTED)
    cos = (predicted * tracked).sum(1)[counts] / (p * q)[counts]
    out = np.zeros(len(predicted), np.float32)
    out[counts] = np.clip(cos, 0.0, 1.0)
    return out


def agreement(predicted: NDArray, tracked: NDArray, threshold_px: float = MOTION_THRESHOLD_PX) -> float:
    """Eq. (1) for one transition: mean of `point_agreement` over all object points; 0 where there is none.

    `predicted` and `tracked` are deltas [N, 2] in pixels of 256.
    """
    points = point_agreement(predicted, tracked, threshold_px)
    return float(points.mean()) if len(points) else 0.0


def moved_share(tracked: NDArray, threshold_px: float = MOTION_THRESHOLD_PX) -> float:
    """Share of object points whose tracked delta [N, 2] reaches the threshold: what an oracle's agreement would be."""
    tracked = np.asarray(tracked, np.float64)
    return float((np.linalg.norm(tracked, axis=1) >= threshold_px).mean()) if len(tracked) else 0.0


def training_reward(
    agreement_per_step: NDArray, success: NDArray, bonus: float = BONUS, weight: float = 1.0
) -> NDArray[np.float32]:
    """r_t [T] from agreement [T] and success at step t [T] (bool): weight * agreement - 1 + bonus at the success."""
    agreement_per_step = np.asarray(agreement_per_step, np.float32)
    if not ((agreement_per_step >= 0) & (agreement_per_step <= 1)).all():
        raise ValueError("agreement lies in [0, 1]; this holds something else (or NaN)")
    weighed = agreement_per_step if weight == 1 else np.float32(weight) * agreement_per_step
    return (weighed + OFFSET + bonus * np.asarray(success, np.float32)).astype(np.float32)


def directional_agreement(agreements: NDArray, shares: NDArray) -> float:
    """Sum of agreement [T] over sum of moved shares [T]: an oracle has 1, a random direction 1/pi.

    NaN where nothing moved.
    """
    total = float(np.sum(shares))
    return float(np.sum(agreements) / total) if total > 0 else float("nan")
