"""Masks without weights for real video: a box and GrabCut on one frame, carried to the others by dense optical flow.

From each frame to the next the mask moves with the flow, and a narrow band along its edge is decided anew by the
colour models of the first cut; so a hand that comes in front, and differs in colour, is left out. It knows no objects:
what the box holds besides the object, and has no colour of the box's surroundings, stays in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mpr.core.data.clip import FrameSource
from mpr.core.errors import UserError
from mpr.core.processes import no_bar
from tracking.masks.packed_masks import PackedMasks

WORK_SIZE = 640  # pixels: longer side of the images that are worked on
_SMALLEST = 8  # pixels: a box with a shorter side holds too little to cut out
LEAST_SHARE = 0.1  # of the box: less that stands out is a detail of the object, or noise
BAND = 5  # working pixels on each side of the carried edge that are decided by colour
_BATCH = 32  # frames decoded at once where the video is read backwards

PixelBox = tuple[int, int, int, int]


def check_box(box: Sequence[float], width: int, height: int) -> PixelBox:
    """The part of a box (x0, y0, x1, y1), source pixels, that lies in the image. Raises UserError naming the fault."""
    x0, y0, x1, y1 = (round(v) for v in box)
    shown = f"box {x0},{y0},{x1},{y1}"
    if x1 <= x0 or y1 <= y0:
        raise UserError(f"{shown} is empty: give x0,y0,x1,y1 with x0 < x1 and y0 < y1")
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1)
    if right <= left or bottom <= top:
        raise UserError(f"{shown} lies outside the image, which is {width} x {height} pixels")
    if min(right - left, bottom - top) + 1 < _SMALLEST:
        raise UserError(f"{shown} has {right - left + 1} x {bottom - top + 1} pixels in the image; {_SMALLEST} needed")
    return left, top, right, bottom


class MaskCarrier:
    """Carries an object's mask from frame to frame, each given in its turn; at first it is cut out of a box.

    Masks are bool at working size, `shape`; `full_size` makes one as large as the frames.
    """

    def __init__(self, frame: NDArray[np.uint8], box: Sequence[float]) -> None:
        """Cut the object out of a frame [H, W, 3]. Raises UserError for a bad box or where nothing in it stands out."""
        h, w = self._full = frame.shape[:2]
        x0, y0, x1, y1 = check_box(box, w, h)
        scale = min(1.0, WORK_SIZE / max(h, w))
        self._work = (max(2, round(w * scale)), max(2, round(h * scale)))  # width, height
        to_work = np.array([self._work[0] / w, self._work[1] / h] * 2)
        corner = np.floor(np.array([x0, y0, x1 + 1, y1 + 1]) * to_work).astype(int)
        self._before = self._shrink(frame)
        self.mask, self._colours = cut_box(self._before, corner)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of masks at working size."""
        return self._work[1], self._work[0]

    def carry_to(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """The mask on the frame [H, W, 3] that follows. Raises UserError for one of another size."""
        if frame.shape[:2] != self._full:
            (h, w), (height, width) = frame.shape[:2], self._full
            raise UserError(f"a frame of {w} x {h} pixels follows frames of {width} x {height}")
        after = self._shrink(frame)
        self.mask = refine(after, carry(self._before, after, self.mask), self._colours)
        self._before = after
        return self.mask

    def _shrink(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return cv2.resize(image, self._work, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    def full_size(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask at working size as large as the frames are, [H, W]."""
        if mask.shape == self._full:
            return mask
        return cv2.resize(mask.astype(np.uint8) * 255, self._full[::-1], interpolation=cv2.INTER_LINEAR) > 127


class CarriedMasks:
    """MaskSource bool [H, W] at source resolution. Masks lie at working size in a temporary file, not in memory."""

    def __init__(self, frames: FrameSource, box: Sequence[float], box_frame: int = 0) -> None:
        """Cut the object out of frame `box_frame`, then carry the mask to the last frame and back to the first.

        Raises UserError for a bad box or box frame.
        """
        if not 0 <= box_frame < len(frames):
            raise UserError(f"box frame {box_frame} is not there: the stretch has frames 0 to {len(frames) - 1}")
        self._carrier = MaskCarrier(frames[box_frame], box)
        self._masks = PackedMasks(len(frames), self._carrier.shape)
        self._masks.write(box_frame, self._carrier.mask)
        with tqdm(total=len(frames) - 1, desc="masks", unit="frame", disable=no_bar(), leave=False) as bar:
            for stretch in (forwards(frames, box_frame), backwards(frames, box_frame)):
                carrier = copy.copy(self._carrier)
                for t, frame in stretch:
                    self._masks.write(t, carrier.carry_to(frame))
                    bar.update()

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        return self._carrier.full_size(self._masks[t])


def forwards(frames: FrameSource, start: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Frames start+1 .. last with their indices: (t, [H, W, 3] uint8 RGB)."""
    for t in range(start + 1, len(frames)):
        yield t, frames[t]


def backwards(frames: FrameSource, start: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Frames start-1 .. 0 with their indices: (t, [H, W, 3] uint8 RGB).

    They are decoded forwards in batches: video seeks to keyframes, which can be far apart.
    """
    for stop in range(start, 0, -_BATCH):
        batch = [(t, frames[t]) for t in range(max(0, stop - _BATCH), stop)]
        while batch:
            yield batch.pop()


Colours = tuple[NDArray[np.float64], NDArray[np.float64]]  # GrabCut's background and object mixtures, [1, 65] each


def cut_box(image: NDArray[np.uint8], box: NDArray) -> tuple[NDArray[np.bool_], Colours]:
    """GrabCut of what a box (x0, y0, x1, y1; end exclusive) holds, and the colour models it found.

    `image` is [H, W, 3] uint8 RGB, `box` [4] in its pixels, the mask bool [H, W]. Background colours are learnt
    around the box, as far as half its size; a box that fills the image is all object. Raises UserError where nothing
    in the box stands out.
    """
    h, w = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in box)
    around = window_around(x0, y0, x1, y1, max(x1 - x0, y1 - y0) // 2, (h, w))
    label = np.full((h, w), cv2.GC_BGD, np.uint8)
    label[y0:y1, x0:x1] = cv2.GC_PR_FGD
    background, colour = np.zeros((1, 65)), np.zeros((1, 65))
    mask = np.zeros((h, w), bool)
    part = np.ascontiguousarray(image[around])
    cut = np.ascontiguousarray(label[around])
    if not (cut == cv2.GC_BGD).any():
        mask[around] = True
        return mask, (background, colour)
    cv2.setRNGSeed(0)  # GrabCut starts from k-means: the same video gives the same masks
    cv2.grabCut(part, cut, None, background, colour, 5, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    mask[around] = largest_piece(cut == cv2.GC_PR_FGD)
    if mask.sum() < LEAST_SHARE * (x1 - x0) * (y1 - y0):
        raise UserError("nothing in the box stands out from its surroundings: draw the box closer, or on another frame")
    return mask, (background, colour)


def carry(before: NDArray, after: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Move a mask, bool [H, W], from one image to the next: each new pixel asks where it was.

    Both images are [H, W, 3] uint8 RGB.
    """
    if not mask.any():
        return mask
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (after, before)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey[0], grey[1], None)  # type: ignore[call-overload]
    h, w = mask.shape
    where = flow + np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).astype(np.float32)
    return cv2.remap(mask.astype(np.uint8) * 255, where, None, cv2.INTER_LINEAR) > 127  # type: ignore[call-overload]


def refine(image: NDArray[np.uint8], mask: NDArray[np.bool_], colours: Colours) -> NDArray[np.bool_]:
    """Decide the band along the mask's edge by colour and contrast; inside and outside of it the mask stands.

    `image` is [H, W, 3] uint8 RGB, masks are bool [H, W], `colours` GrabCut's models as `cut_box` gives them.
    """
    if not mask.any() or not colours[0].any():
        return mask
    y, x = np.nonzero(mask)
    around = window_around(x.min(), y.min(), x.max() + 1, y.max() + 1, 2 * BAND, mask.shape)
    part = mask[around].astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    label = np.full(part.shape, cv2.GC_BGD, np.uint8)
    label[cv2.dilate(part, disc) > 0] = cv2.GC_PR_BGD
    label[part > 0] = cv2.GC_PR_FGD
    label[cv2.erode(part, disc, borderValue=1) > 0] = cv2.GC_FGD
    background, colour = (c.copy() for c in colours)
    frozen = cv2.GC_EVAL_FREEZE_MODEL
    cv2.grabCut(np.ascontiguousarray(image[around]), label, None, background, colour, 1, frozen)  # type: ignore[call-overload]
    out = np.zeros_like(mask)
    out[around] = (label == cv2.GC_FGD) | (label == cv2.GC_PR_FGD)
    return out


def window_around(x0: int, y0: int, x1: int, y1: int, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a box (end exclusive) and a margin, inside an image of shape [H, W]."""
    h, w = shape
    return slice(max(0, y0 - margin), min(h, y1 + margin)), slice(max(0, x0 - margin), min(w, x1 + margin))


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece of a mask, bool [H, W], its holes kept."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(stats) < 2:
        return mask
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
