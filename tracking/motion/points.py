"""Which points of a transition belong to the object and which to the background."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CameraMotion, TrackedClip


def points_inside(mask: NDArray[np.bool_], points: NDArray) -> NDArray[np.bool_]:
    """Whether each point [N, 2] (x, y) lies on a set pixel of mask [H, W]; points outside the image do not."""
    h, w = mask.shape
    finite = np.isfinite(points).all(-1, keepdims=True)
    x, y = np.rint(np.where(finite, points, -1.0)).astype(int).T
    ok = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return ok & np.asarray(mask, bool)[y.clip(0, h - 1), x.clip(0, w - 1)]


class Transition:
    """The points of transition t -> t+1: positions [N, 2] at both ends and who is what. A hidden point is neither.

    visible: at t and t+1. object: visible, and inside mask_t at its position at t. background: visible, outside mask_t.
    The mask is read when it is first asked for. step_s: the step's true length, seconds; gap: whether it is one
    (`mpr.core.data.steps`): then its points are of no use to any figure. camera: the clip's, where it is known.
    """

    camera: CameraMotion | None = None

    def __init__(self, clip: TrackedClip, t: int) -> None:
        segment = clip.segment_of(t)
        k = t - segment.start
        self.t = t
        self.step_s = float(clip.times[t + 1] - clip.times[t])
        self.gap = bool(clip.gaps[t])
        self.before: NDArray[np.float32] = segment.points[k]
        self.after: NDArray[np.float32] = segment.points[k + 1]
        self.visible: NDArray[np.bool_] = segment.visible[k] & segment.visible[k + 1]
        self.camera = clip.camera
        self._masks = clip.masks

    @cached_property
    def object(self) -> NDArray[np.bool_]:
        """Which points belong to the object, bool [N]: visible at both ends and inside the mask at t."""
        return self.visible & points_inside(self._masks[self.t], self.before)

    @cached_property
    def background(self) -> NDArray[np.bool_]:
        """Which points belong to the background, bool [N]: visible at both ends and outside the mask at t."""
        return self.visible & ~self.object

    @property
    def delta(self) -> NDArray[np.float32]:
        """Displacement [N, 2] in pixels, raw (no compensation); meaningless where a point is hidden."""
        return self.after - self.before


def transitions(clip: TrackedClip, every: int = 1) -> Iterator[Transition]:
    """A clip's transitions in order, gaps left out; of all, gaps counted, every `every`-th."""
    return (Transition(clip, t) for t in range(0, len(clip.times) - 1, every) if not clip.gaps[t])
