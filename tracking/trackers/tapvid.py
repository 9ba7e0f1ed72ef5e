"""TAP-Vid's metrics of point tracks (Doersch et al. 2022, arXiv 2211.03726), query-first, as functions of arrays.

Of each point the frames after its query frame count; that frame and those before it do not. The numbers are one
video's; a data set's are plain means over its videos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import Tracks
from mpr.core.errors import UserError

_SIDE = 256  # pixels a side that the thresholds are meant for, whatever the video's shape
THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of _SIDE; a point this far away is too far


@dataclass(frozen=True)
class TapVid:
    """Shares in 0 .. 1; NaN where there is nothing to count."""

    within: tuple[float, ...]  # per threshold: of the truly visible points those found so near, called hidden or not
    jaccard: tuple[float, ...]  # per threshold: found and called visible / truly visible or wrongly called visible
    occlusion_accuracy: float  # of all points those rightly called visible or hidden

    @property
    def delta_avg(self) -> float:
        """Position accuracy, often written as delta with index avg."""
        return float(np.mean(self.within))

    @property
    def average_jaccard(self) -> float:
        """Position and visibility in one number; never above `delta_avg`."""
        return float(np.mean(self.jaccard))


def tapvid(
    predicted: Tracks, truth: Tracks, query_frames: NDArray, size: tuple[float, float] = (_SIDE, _SIDE)
) -> TapVid:
    """Tracks of T frames and N points against true ones; `query_frames` [N], `size` (width, height) of their pixels.

    Where a point is hidden its true position is not looked at. Raises UserError where shapes do not fit.
    """
    frames, n = truth.visible.shape
    asked = np.rint(query_frames).astype(int)
    for name, found, shape in (
        ("true points", truth.points.shape, (frames, n, 2)),
        ("tracked points", predicted.points.shape, (frames, n, 2)),
        ("tracked visibility", predicted.visible.shape, (frames, n)),
        ("query frames", asked.shape, (n,)),
    ):
        if found != shape:
            raise UserError(f"TAP-Vid metrics: {name} {found}, true visibility {(frames, n)}: needs {shape}")
    counted = np.arange(frames)[:, None] > asked  # [T, N]
    seen, called = truth.visible.astype(bool), predicted.visible.astype(bool)
    with np.errstate(invalid="ignore"):  # hidden points may be anywhere, at infinity too
        off = (predicted.points.astype(np.float64) - truth.points) * (_SIDE / np.asarray(size, np.float64))
        distance = np.linalg.norm(off, axis=-1)
    within, jaccard = [], []
    for threshold in THRESHOLDS:
        near = distance < threshold
        found = near & seen & counted
        wrong = called & ~(near & seen) & counted
        within.append(_share(found, seen & counted))
        jaccard.append(_ratio((found & called).sum(), (seen & counted).sum() + wrong.sum()))
    return TapVid(tuple(within), tuple(jaccard), _share((seen == called) & counted, counted))


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return _ratio(part.sum(), whole.sum())


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
