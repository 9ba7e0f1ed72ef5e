"""Whether masks still show the object that they were made for, told from its size and its colours.

These are compared with the frame on which it was boxed or found. For masks of any source: nothing is asked of how they
were made.

It knows no objects. It does not see a mask that goes over to another thing of the object's colours, that keeps a part
of the object, or that takes in its surroundings little by little.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource, MaskSource

LEAST_SEEN_SHARE = 0.1  # of the object's area on its own frame: less is nothing of it
GROWTH = 3.0  # times the largest area before: no object becomes so much larger all of a sudden
SUDDEN = 0.3  # seconds
GROWN = 1.5  # times that area: as long as the mask stays above this, it has not come back
_OWN = 0.5  # of the share of pixels in the object's colours on its own frame: less, and the mask lies on something else
TELLING = 0.6  # a share of such pixels under which an object's colours say too little of it
BLINK = 0.2  # seconds: a mask that is back for less, between stretches without the object, is not back
_SIDE = 160  # pixels: longer side of the images that colours are taken from
FEWEST = 20  # pixels of those images: colours of fewer say nothing
FILLS = (
    "the mask fills the image where the object was boxed or found: nothing around it is background, so it is not told "
    "how the camera moves or whether the object is lost"
)
BINS = (
    32,
    64,
    64,
)  # of lightness, and of both colour axes of CIELAB from -64 to 64: coarser ones take greys for each other


class HeldMasks:
    """The masks of a source, empty where they do not show the object any more.

    `remarks` say where that could not be told.
    """

    def __init__(self, frames: FrameSource, masks: MaskSource, times: NDArray[np.float64], at: int) -> None:
        """Judges all of them, with one look at each frame. The object was boxed, or found, on frame `at`."""
        self.masks = masks
        self.remarks = (FILLS,) if Look(frames[at], masks[at]).fills else ()
        self.held = held_masks(*looks(frames, masks, at), times, at)

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        mask = self.masks[t]
        return mask if self.held[t] else np.zeros_like(mask)


def held_masks(size: NDArray, own: NDArray, times: NDArray[np.float64], at: int) -> NDArray[np.bool_]:
    """Whether masks still show the object [T].

    `size` [T] is their area over that on frame `at`, `own` [T] the share of pixels in the object's colours (NaN: not
    to be told), `times` [T] seconds. Frame `at` does. Whether a mask that has come back is back is told from as much as
    BLINK seconds of what follows.
    """
    shown = np.asarray(size) >= LEAST_SEEN_SHARE
    if own[at] >= TELLING:
        shown &= ~(own < _OWN * own[at])  # NaN is no reason
    for way in (slice(at, None), slice(at, None, -1)):
        shown[way] &= ~swollen(size[way], np.abs(times[way] - times[at]))
    shown[at] = True
    for first, last in stretches(shown):
        between = first > 0 and last < len(shown) - 1 and not first <= at <= last
        if between and times[last + 1] - times[first] < BLINK - 1e-9:
            shown[first : last + 1] = False
    return shown


def swollen(size: NDArray, since: NDArray) -> NDArray[np.bool_]:
    """Whether masks have taken in something else, walking away from the object's own frame: bool [S].

    They have from where their size [S] is GROWTH times the largest until SUDDEN seconds before, up to where it is under
    GROWN times that again. `since` [S] are the seconds from the object's own frame, increasing.
    """
    out = np.zeros(len(size), bool)
    largest = np.full(len(size), size[0])  # until each frame, of masks that had not swollen
    back = 0.0  # size under which a swollen mask has come back
    for k in range(1, len(size)):
        before = largest[max(0, int(np.searchsorted(since, since[k] - SUDDEN + 1e-9, "right")) - 1)]
        out[k] = size[k] > (back if out[k - 1] else GROWTH * before)
        back = back if out[k - 1] else GROWN * before
        largest[k] = largest[k - 1] if out[k] else max(largest[k - 1], size[k])
    return out


def stretches(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index (inclusive) of every run of true flags [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def looks(frames: FrameSource, masks: MaskSource, at: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How T masks look beside the one of frame `at`: their relative area [T], how much of each has its colours [T]."""
    look = Look(frames[at], masks[at])
    size, own = zip(*(look(partial(frames.__getitem__, t), masks[t]) for t in range(len(masks))), strict=True)
    return np.array(size), np.array(own)


class Look:
    """How a mask looks beside that of the object's own frame: its relative area, how much of it has its colours.

    The second is the share of its pixels whose colour was not commoner in the surroundings, on that frame, than on the
    object; NaN where it has too few pixels.

    A camera's exposure and white balance change: colours are taken as they are, or with the image's mean colour made
    that of the object's own frame, whichever makes the whole image more like that frame's.
    """

    def __init__(self, frame: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        image, inside = _small(frame, mask)
        self.fills = (~inside).sum() < FEWEST
        self._foreign = _common(image[~inside]) > _common(image[inside])  # a colour of neither is no stranger
        self._mean, self._likely = image.mean((0, 1)), np.log(_common(image.reshape(-1, 3)) + 1e-4)
        self._area = max(np.count_nonzero(mask), 1)

    def __call__(self, frame: Callable[[], NDArray[np.uint8]], mask: NDArray[np.bool_]) -> tuple[float, float]:
        """Of a mask [H, W] and its frame [H, W, 3], which is read only where it is looked at."""
        size, own = np.count_nonzero(mask), np.nan
        if not size:
            return 0.0, own
        image, inside = _small(frame(), mask)
        if inside.sum() >= FEWEST:
            gains = (np.ones(3), self._mean / np.maximum(image.mean((0, 1)), 1))
            gain = max(gains, key=lambda gain: self._likely[_numbers(image[::3, ::3].reshape(-1, 3), gain)].mean())
            own = 1 - self._foreign[_numbers(image[inside], gain)].mean()
        return size / self._area, float(own)


def _small(frame: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A small image of a frame [h, w, 3] and its mask [h, w]."""
    scale = min(1.0, _SIDE / max(mask.shape))
    size = tuple(max(1, round(side * scale)) for side in mask.shape[::-1])
    image = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return image, cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_AREA) > 0  # type: ignore[return-value]


def _numbers(pixels: NDArray[np.uint8], gain: NDArray | float = 1.0) -> NDArray[np.intp]:
    """Numbers of the colours [N] of pixels [N, 3], RGB, made brighter by `gain`."""
    pixels = (pixels * gain).round().clip(0, 255).astype(np.uint8)
    light, *axes = cv2.cvtColor(pixels[:, None], cv2.COLOR_RGB2LAB)[:, 0].astype(int).T
    axes = [(axis - 64).clip(0, 127) * bins // 128 for axis, bins in zip(axes, BINS[1:], strict=True)]
    return np.asarray(np.ravel_multi_index((light * BINS[0] // 256, *axes), BINS))


def _common(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How common each colour is among some pixels [N, 3], its neighbours counted in part; zero where there are none."""
    if not len(pixels):
        return np.zeros(np.prod(BINS))
    count = np.bincount(_numbers(pixels), minlength=int(np.prod(BINS))).reshape(BINS).astype(float)
    for axis in range(3):
        padded = np.pad(count, [(1, 1) if k == axis else (0, 0) for k in range(3)])
        low, high = (np.take(padded, np.arange(BINS[axis]) + shift, axis) for shift in (0, 2))
        count = 0.5 * count + 0.25 * (low + high)
    return count.ravel() / len(pixels)
