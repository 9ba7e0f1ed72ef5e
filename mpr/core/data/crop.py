"""The crop rule, one for clips and robot video: a fixed square around the union of the masks, plus a margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking.clip import CROP_SIZE, MaskSource, Square
from tracking.errors import UserError

MARGIN = 0.1  # of the object's larger side, on each side


def square_around(low: NDArray, high: NDArray, image: tuple[int, int], margin: float = MARGIN) -> Square:
    """The square around source pixels low..high (x, y inclusive) with a margin, moved (not shrunk) into the image.

    It is at least as large as the object. Larger than the image's shorter side it keeps its size and reaches over the
    border there, centred; whoever cuts it out pads with black.
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


def crop_of_masks(masks: MaskSource, margin: float = MARGIN) -> Square:
    """The fixed square of a clip from its source-resolution masks. Raises UserError where no mask has a pixel."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    shape = (0, 0)
    for t in range(len(masks)):
        mask = masks[t]
        shape = mask.shape
        y, x = np.nonzero(mask)
        if len(x):
            low = np.minimum(low, (x.min(), y.min()))
            high = np.maximum(high, (x.max(), y.max()))
    if not np.isfinite(low).all():
        raise UserError("the object's mask is empty in every frame: give another box or another object word")
    return square_around(low, high, (shape[1], shape[0]), margin)


def cut(image: NDArray, crop: Square, size: int = CROP_SIZE) -> NDArray:
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
