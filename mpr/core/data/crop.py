"""The crop rule, one for clips and robot video: a fixed square around the union of the masks, plus a margin.

A single clip has its own. Episodes that are compared have one together, fixed before the first of them begins: in it
a pixel is as much motion in each, and what happens later changes nothing of what went before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE, MaskSource, Square, TrackedClip
from mpr.core.errors import UserError

_MARGIN = 0.1  # of the object's larger side, on each side
OUTSIDE = "frames_outside_crop"  # in the `extra` of a clip's Source: frames whose mask leaves a square fixed before


def square_around(low: NDArray, high: NDArray, image: tuple[int, int], margin: float = _MARGIN) -> Square:
    """The square around source pixels low..high (x, y inclusive) with a margin, moved (not shrunk) into the image.

    `low` and `high` are [2], `image` is its width and height in pixels, `margin` a share of the object's size on each
    side. The square is at least as large as the object. Larger than the image's shorter side it keeps its size and
    reaches over the border there, centred; whoever cuts it out pads with black.
    """
    centre = (np.asarray(low, float) + np.asarray(high, float)) / 2
    size = float(np.max(np.asarray(high, float) - low + 1) * (1 + 2 * margin))
    corner = centre - size / 2
    for axis, extent in enumerate(image):
        if size <= extent:
            corner[axis] = np.clip(corner[axis], -0.5, extent - 0.5 - size)
        else:
            corner[axis] = (extent - 1) / 2 - size / 2
    return Square(float(corner[0]), float(corner[1]), size)


def crop_of_masks(masks: MaskSource, margin: float = _MARGIN) -> Square:
    """The fixed square of a clip from its source-resolution masks. Raises UserError where no mask has a pixel."""
    low, high = _extent(masks)
    if not np.isfinite(low).all():
        raise UserError("the object's mask is empty in every frame: give another box or another object word")
    height, width = masks[0].shape
    return square_around(low, high, (width, height), margin)


def crop_of_clips(clips: Sequence[TrackedClip], image: tuple[int, int], margin: float = _MARGIN) -> Square:
    """One square for whatever the camera of these clips sees of their object: around the masks of all of them.

    `image` is the camera's width and height. Raises UserError where no clip shows the object, and where one shows it
    outside of such an image: it is another camera's.
    """
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for clip in clips:
        first, last = _extent(clip.masks)
        if np.isfinite(first).all():  # a pixel of the crop spans more or less than one of the source: take its edges
            side = clip.masks[0].shape[0]
            low = np.minimum(low, clip.crop.to_source(first - 0.5, side) + 0.5)
            high = np.maximum(high, clip.crop.to_source(last + 0.5, side) - 0.5)
    if not np.isfinite(low).all():
        raise UserError(f"none of {len(clips)} clips shows its object: there is no square to make of them")
    if (low < -1).any() or (high > image).any():
        raise UserError(
            f"these clips show their object at x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f}, "
            f"beyond an image of {image[0]} x {image[1]} pixels: give clips of the same camera"
        )
    return square_around(low, high, image, margin)


def frames_outside(masks: MaskSource, crop: Square) -> int:
    """In how many frames a source-resolution mask has a pixel beyond the square."""
    near, far = np.array([crop.left, crop.top]), np.array([crop.left, crop.top]) + crop.size
    extents = (_extent([masks[t]]) for t in range(len(masks)))
    return sum(bool((low < near).any() or (high > far).any()) for low, high in extents if np.isfinite(low).all())


def _extent(masks: MaskSource) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last (x, y) of all masks' pixels; infinite where there are none."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for t in range(len(masks)):
        y, x = np.nonzero(masks[t])
        if len(x):
            low = np.minimum(low, (x.min(), y.min()))
            high = np.maximum(high, (x.max(), y.max()))
    return low, high


def cut_square(image: NDArray, crop: Square, size: int = CROP_SIZE) -> NDArray:
    """Cut the square out of an image [H, W, ...] (uint8, or bool for a mask) and resample it to size x size.

    Down-sampling averages (INTER_AREA on the square at its own resolution), masks are thresholded at half a pixel.
    """
    import cv2

    is_mask = image.dtype == np.bool_
    array = image.astype(np.uint8) * 255 if is_mask else image
    side = max(1, round(crop.size))
    # Sample the square at its own resolution first: sub-pixel corner, black outside the image.
    step = crop.size / side
    matrix = np.array([[step, 0, crop.left + step / 2], [0, step, crop.top + step / 2]])
    square = cv2.warpAffine(array, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    out = cv2.resize(square, (size, size), interpolation=interpolation)
    return out > 127 if is_mask else out
