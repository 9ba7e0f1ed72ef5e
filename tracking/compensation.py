"""Camera compensation: the displacement that the camera itself gave the background (paper, III-C). Human clips only."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracking.points import Transition


def mean_background(transition: Transition) -> NDArray[np.float32]:
    """Mean displacement [2] in pixels over all visible background points; zeros where there is none.

    Subtract it from the displacements of object and background points alike.
    """
    if not transition.background.any():
        return np.zeros(2, np.float32)
    return transition.delta[transition.background].mean(0, dtype=np.float64).astype(np.float32)


Compensation = Literal["none", "mean", "affine"]  # mean is the paper's
ENOUGH = 12  # background points for an affine fit; with fewer their mean serves
ROUNDS, NEAR = 4, 0.3  # of re-weighting; pixels within which a point counts in full


def affine_background(transition: Transition) -> NDArray[np.float32]:
    """An affine motion field fitted to the visible background points, at every point: [N, 2] pixels.

    Unlike the mean it follows a camera's roll and approach. Points that do not fit (the hand, other depths) lose
    weight as in a least-absolute-distance fit.
    """
    chosen = transition.background
    if chosen.sum() < ENOUGH:
        return np.broadcast_to(mean_background(transition), transition.before.shape)
    at = np.nan_to_num(transition.before.astype(np.float64))
    basis = np.column_stack([np.ones(len(at)), at])
    target, weight = transition.delta[chosen].astype(np.float64), np.ones((int(chosen.sum()), 1))
    for _ in range(ROUNDS):
        fit = np.linalg.lstsq(basis[chosen] * weight, target * weight, rcond=None)[0]
        left = np.linalg.norm(target - basis[chosen] @ fit, axis=1, keepdims=True)
        weight = 1 / np.sqrt(np.maximum(left, NEAR))
    return (basis @ fit).astype(np.float32)


def object_motion(transition: Transition, how: Compensation) -> NDArray[np.float32]:
    """Deltas [M, 2] of the object points, the camera's motion taken out."""
    return (transition.delta - camera_motion(transition, how))[transition.object]


def camera_motion(transition: Transition, how: Compensation) -> NDArray[np.float32]:
    """What the camera moved each point by [N, 2], to be subtracted from object and background points alike."""
    if how == "affine":
        return affine_background(transition)
    still = np.zeros(2, np.float32)
    return np.broadcast_to(mean_background(transition) if how == "mean" else still, transition.before.shape)
