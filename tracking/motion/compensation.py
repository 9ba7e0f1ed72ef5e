"""Camera compensation: the displacement that the camera itself gave the background (paper, III-C). Human clips only.

`mean` is the paper's. `median` is a shift that a passing hand does not bend; `similarity` adds roll and approach,
`affine` shear, `homography` a plane seen from the side. results/compensation says what each leaves. These estimate it;
`known` is the simulator's own camera and leaves nothing (`known_camera.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from tracking.motion.points import Transition


def mean_background(transition: Transition) -> NDArray[np.float32]:
    """Mean displacement [2] in pixels over all visible background points; zeros where there is none.

    Subtract it from the displacements of object and background points alike.
    """
    if not transition.background.any():
        return np.zeros(2, np.float32)
    return transition.delta[transition.background].mean(0, dtype=np.float64).astype(np.float32)


Compensation = Literal["none", "mean", "median", "similarity", "affine", "homography", "known"]
KNOWN_CAMERA: Compensation = "known"
ENOUGH_POINTS = 12  # background points for a fit with a shape; with fewer a shift serves
ROUNDS, NEAR = 4, 0.3  # of re-weighting; pixels within which a point counts in full
SHALLOW = 0.1  # of the fitted plane's median depth: a plane that comes nearer to the camera is none that was seen


def median_background(transition: Transition) -> NDArray[np.float32]:
    """Median displacement [2] in pixels, of x and y apart, over the visible background points; zeros without any."""
    if not transition.background.any():
        return np.zeros(2, np.float32)
    return np.median(transition.delta[transition.background], 0).astype(np.float32)


def affine_background(transition: Transition) -> NDArray[np.float32]:
    """An affine motion field fitted to the visible background points, at every point: [N, 2] pixels.

    Unlike the mean it follows a camera's roll and approach. Points that do not fit (the hand, other depths) lose
    weight as in a least-absolute-distance fit.
    """
    chosen = transition.background
    if chosen.sum() < ENOUGH_POINTS:
        return np.broadcast_to(mean_background(transition), transition.before.shape)
    at = np.nan_to_num(transition.before.astype(np.float64))
    basis = np.column_stack([np.ones(len(at)), at])
    target, weight = transition.delta[chosen].astype(np.float64), np.ones((int(chosen.sum()), 1))
    for _ in range(ROUNDS):
        fit = np.linalg.lstsq(basis[chosen] * weight, target * weight, rcond=None)[0]
        left = np.linalg.norm(target - basis[chosen] @ fit, axis=1, keepdims=True)
        weight = 1 / np.sqrt(np.maximum(left, NEAR))
    return (basis @ fit).astype(np.float32)


def similarity_background(transition: Transition) -> NDArray[np.float32]:
    """Shift, roll and zoom fitted to the visible background points, at every point: [N, 2] pixels.

    Least median of squares: what moves another way does not count while it is less than half of the background, all
    in one corner too. Where nothing can be fitted the median serves.
    """
    import cv2  # the names of compensations, which commands check, do without

    before, after = _ends(transition)
    fit = cv2.estimateAffinePartial2D(before, after, method=cv2.LMEDS)[0] if len(before) >= ENOUGH_POINTS else None
    if fit is None or not np.isfinite(fit).all():
        return np.broadcast_to(median_background(transition), transition.before.shape)
    at = np.nan_to_num(transition.before.astype(np.float64))
    return (at @ fit[:, :2].T + fit[:, 2] - at).astype(np.float32)


def homography_background(transition: Transition) -> NDArray[np.float32]:
    """The motion of a plane fitted to the visible background points, at every point: [N, 2] pixels.

    Least median of squares, like the similarity; which serves where no plane can be fitted, or one that would send a
    visible point to infinity.
    """
    import cv2  # the names of compensations, which commands check, do without

    before, after = _ends(transition)
    fit = cv2.findHomography(before, after, cv2.LMEDS)[0] if len(before) >= ENOUGH_POINTS else None
    if fit is None or not np.isfinite(fit).all():
        return similarity_background(transition)
    at = np.nan_to_num(transition.before.astype(np.float64))
    moved = np.column_stack([at, np.ones(len(at))]) @ fit.T
    ahead = moved[:, 2:] / np.median(moved[transition.background, 2]) > SHALLOW
    if not ahead[transition.visible].all():
        return similarity_background(transition)
    return np.where(ahead, moved[:, :2] / np.where(ahead, moved[:, 2:], 1.0) - at, 0.0).astype(np.float32)


def _ends(transition: Transition) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the visible background points are before and after, [M, 2] each."""
    return transition.before[transition.background], transition.after[transition.background]


MOTIONS: dict[Compensation, Callable[[Transition], NDArray[np.float32]]] = {  # estimated from the tracks
    "none": lambda transition: np.zeros(2, np.float32),
    "mean": mean_background,
    "median": median_background,
    "similarity": similarity_background,
    "affine": affine_background,
    "homography": homography_background,
}


def object_motion(transition: Transition, how: Compensation) -> NDArray[np.float32]:
    """Deltas [M, 2] of the object points, the camera's motion taken out."""
    return (transition.delta - camera_motion(transition, how))[transition.object]


def camera_motion(transition: Transition, how: Compensation) -> NDArray[np.float32]:
    """What the camera moved each point by [N, 2], to be subtracted from object and background points alike.

    Raises UserError for `known` where the clip's camera is not.
    """
    if how == KNOWN_CAMERA:
        if transition.camera is None:
            raise UserError("--compensate known: how this clip's camera moved is not known; take affine")
        return transition.camera(transition.t)
    return np.broadcast_to(MOTIONS[how](transition), transition.before.shape)
