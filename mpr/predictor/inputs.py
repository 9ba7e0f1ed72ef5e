"""What one sample is: which points of a transition, where they stand, how far through the clip, which image.

The one place for it: training (`mpr.training.loop`), held-out figures (`mpr.training.probes`, `metrics`) and scoring
(`mpr.predictor.predicted`) all come here, so that a predictor is asked as it was taught (paper VII-B, VII-C). Which
clips and transitions there are to learn from is `samples.py`; no frame is read and nothing is augmented here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE, TrackedClip
from tracking.motion.compensation import Compensation, camera_motion
from tracking.motion.points import Transition

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", NDArray, Tensor)

Fill = Literal["repeat", "pad"]


def normalised(lengths_px: Array, size_px: int = CROP_SIZE) -> Array:
    """Points or offsets in pixels of an image of `size_px` a side to shares of it: pixel / (size - 1).

    The centre of the first pixel is 0, of the last one 1. Another thing is a share of the way between the image's
    outer edges, (pixel + 0.5) / size: that is how a map of the image is described (`mpr.training.augment`).
    """
    return lengths_px / (size_px - 1)


def in_pixels(normal: Array, size_px: int = CROP_SIZE) -> Array:
    """Points or offsets from `normalised` back to pixels of an image of `size_px` a side."""
    return normal * (size_px - 1)


def known_places(points_px: NDArray) -> NDArray[np.float32]:
    """Points [..., 2] as a network takes them, with 0 in place of NaN.

    Padding may repeat a point that was never seen.
    """
    return np.nan_to_num(points_px).astype(np.float32, copy=False)


def progress_of(clip: TrackedClip, t: int) -> float:
    """True time from the clip's first frame to frame t over its whole time: t / T where frames are evenly spaced."""
    return float(clip.progress[t])


def compensated_targets(transition: Transition, compensate: Compensation = "mean") -> NDArray[np.float32]:
    """Where each point [N, 2] would be next had the camera stood still: object and background points alike, pixels."""
    return transition.after - camera_motion(transition, compensate)


def shares(n_object: int, n_background: int, budget: int) -> tuple[int, int]:
    """How many object and background points a sample holds: all, and half as many; at most 2/3 and 1/3 of it."""
    objects = min(n_object, _most_objects(budget))
    return objects, min(n_background, (objects + 1) // 2, budget - objects)


def _most_objects(budget: int) -> int:
    return 2 * budget // 3


def fill_points(rows: NDArray[np.intp], budget: int, fill: Fill) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Row numbers [budget] and their validity [budget]: the given rows first, then repeats of them, or padding."""
    if fill == "repeat":
        return np.resize(rows, budget), np.full(budget, len(rows) > 0)
    padded = np.zeros(budget, np.intp)
    padded[: len(rows)] = rows
    return padded, np.arange(budget) < len(rows)


def draw_points(
    of_object: NDArray[np.bool_],
    of_background: NDArray[np.bool_],
    budget: int,
    rng: np.random.Generator,
    fill: Fill = "repeat",
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Rows [budget] of one sample, object points first, and their validity [budget]."""
    objects = rng.permutation(np.flatnonzero(of_object))[: _most_objects(budget)]
    return _with_background(objects, np.flatnonzero(of_background), budget, rng, fill)


def _with_background(
    objects: NDArray[np.intp], background: NDArray[np.intp], budget: int, rng: np.random.Generator, fill: Fill
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Chosen object points, a draw of the background's beside them, and what fills the budget."""
    count = shares(len(objects), len(background), budget)[1]
    return fill_points(np.concatenate([objects, rng.permutation(background)[:count]]), budget, fill)


@dataclass(frozen=True)
class Pass:
    """One run of the predictor over a transition. Its first rows are the object points `object_rows`, in that order."""

    points: NDArray[np.float32]  # [budget, 2] crop pixels
    valid: NDArray[np.bool_]  # [budget]
    object_rows: NDArray[np.intp]  # [K] which of the transition's object points (counted in index order)


def scoring_passes(transition: Transition, budget: int, rng: np.random.Generator, fill: Fill = "repeat") -> list[Pass]:
    """As many passes as it takes to score every object point exactly once, background included as in training."""
    objects, background = np.flatnonzero(transition.object), np.flatnonzero(transition.background)
    if not len(objects):
        return []
    count = -(-len(objects) // _most_objects(budget))
    passes = []
    for chosen in np.array_split(rng.permutation(len(objects)), count):
        rows, valid = _with_background(objects[chosen], background, budget, rng, fill)
        passes.append(Pass(known_places(transition.before[rows]), valid, chosen))
    return passes


def resampled(image: NDArray, size: int) -> NDArray:
    """An image [H, W, ...] area-resampled to [size, size, ...]; the same for training and scoring."""
    if image.shape[:2] == (size, size):
        return image
    import cv2  # a command's settings name `Fill`, and do without

    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(image.dtype, copy=False)
