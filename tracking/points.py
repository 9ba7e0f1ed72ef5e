"""Which points of a transition belong to the object and which to the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking.clip import TrackedClip


def inside(mask: NDArray[np.bool_], points: NDArray) -> NDArray[np.bool_]:
    """Whether each point [N, 2] (x, y) lies on a set pixel of mask [H, W]; points outside the image do not."""
    h, w = mask.shape
    finite = np.isfinite(points).all(-1, keepdims=True)
    x, y = np.rint(np.where(finite, points, -1.0)).astype(int).T
    ok = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return ok & np.asarray(mask)[y.clip(0, h - 1), x.clip(0, w - 1)]


class Transition:
    """The points of transition t -> t+1: positions [N, 2] at both ends and who is what. A hidden point is neither.

    object: visible at t and t+1, and inside mask_t at its position at t. background: visible at both, outside mask_t.
    """

    def __init__(self, clip: TrackedClip, t: int) -> None:
        segment = clip.segment_of(t)
        k = t - segment.start
        both = segment.visible[k] & segment.visible[k + 1]
        self.t = t
        self.before: NDArray[np.float32] = segment.points[k]
        self.after: NDArray[np.float32] = segment.points[k + 1]
        inside_mask = inside(clip.masks[t], self.before)
        self.object: NDArray[np.bool_] = both & inside_mask
        self.background: NDArray[np.bool_] = both & ~inside_mask

    @property
    def delta(self) -> NDArray[np.float32]:
        """Displacement [N, 2] in pixels, raw (no compensation); meaningless where a point is hidden."""
        return self.after - self.before
