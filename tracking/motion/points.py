"""Which points of a transition belong to the object and which to the background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CameraMotion, MaskSource, TrackedClip


def points_inside(mask: NDArray[np.bool_], points: NDArray) -> NDArray[np.bool_]:
    """Whether each point [N, 2] (x, y) lies on a set pixel of mask [H, W]; points outside the image do not."""
    h, w = mask.shape
    finite = np.isfinite(points).all(-1, keepdims=True)
    x, y = np.rint(np.where(finite, points, -1.0)).astype(int).T
    ok = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return ok & np.asarray(mask, bool)[y.clip(0, h - 1), x.clip(0, w - 1)]


@dataclass(frozen=True)
class Transition:
    """The points of transition t -> t+1: who is what. A hidden point is neither object nor background."""

    t: int
    before: NDArray[np.float32]  # [N, 2] positions at t
    after: NDArray[np.float32]  # [N, 2] at t+1
    visible: NDArray[np.bool_]  # [N] at t and t+1
    masks: MaskSource  # mask t is read when it is first asked for
    step_s: float  # its true length, seconds
    gap: bool  # whether it is one (`mpr.core.data.steps`): then its points are of no use to any figure
    camera: CameraMotion | None = None  # the clip's, where it is known

    @classmethod
    def of(cls, clip: TrackedClip, t: int) -> Self:
        """Transition t of a clip."""
        segment = clip.segment_of(t)
        k = t - segment.start
        visible = segment.visible[k] & segment.visible[k + 1]
        step_s = float(clip.times[t + 1] - clip.times[t])
        points = segment.points[k], segment.points[k + 1]
        return cls(t, *points, visible, clip.masks, step_s, bool(clip.gaps[t]), clip.camera)

    @cached_property
    def object(self) -> NDArray[np.bool_]:
        """Which points belong to the object, bool [N]: visible at both ends and inside the mask at t."""
        return self.visible & points_inside(self.masks[self.t], self.before)

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
    return (Transition.of(clip, t) for t in range(0, len(clip.times) - 1, every) if not clip.gaps[t])
