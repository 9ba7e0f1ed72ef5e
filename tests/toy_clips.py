"""Toy clips in memory: a square slides right over a drifting background (a head turns) and is tracked exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE, ClipSource, Square, TrackedClip, TrackSegment
from tracking.motion.points import points_inside
from tracking.motion.segments import grid_points

SIDE = 70  # pixels, of the square


class Drawn:
    """Frames or masks drawn when asked for."""

    def __init__(self, draw, length: int) -> None:
        self.draw, self.length = draw, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, t: int, /):
        return self.draw(range(self.length)[t])


def toy_clip(
    seed: int = 0,
    length: int = 10,
    drift: tuple[float, float] = (1.0, 0.5),
    speed: float = 4.0,
    rate_hz: float = 12.5,
    start: int = 0,
    cut: int | None = None,
    kind: str = "open",
    group: str | None = None,
) -> TrackedClip:
    """A square near (60, 80) moves `speed` px a frame to the right from frame `start` on; all of it drifts."""
    corner = np.array([60.0, 80.0]) + np.random.default_rng(seed).integers(-10, 10, 2)
    slid = np.stack([np.maximum(np.arange(length) - start, 0) * speed, np.zeros(length)], 1)
    drifted = np.arange(length)[:, None] * np.asarray(drift)
    return square_clip(corner + slid, drifted, seed, rate_hz, cut, kind, group)


def square_clip(
    path: NDArray,
    camera: NDArray | None = None,
    seed: int = 0,
    rate_hz: float = 12.5,
    cut: int | None = None,
    kind: str = "open",
    group: str | None = None,
) -> TrackedClip:
    """The square's top-left corner follows `path` [T, 2] (x, y); `camera` [T, 2] shifts the whole image.

    `cut`: frame on which a second segment starts. Points are pixels; the object's are those on the square.
    """
    path, length = np.asarray(path, float), len(path)
    camera = np.zeros_like(path) if camera is None else np.asarray(camera, float)
    rng = np.random.default_rng((seed, 1))
    ground, square = rng.integers(0, 120, 3), rng.integers(130, 256, 3)

    def mask(t: int) -> NDArray[np.bool_]:
        x, y = np.rint(path[t] + camera[t]).astype(int)
        out = np.zeros((CROP_SIZE, CROP_SIZE), bool)
        out[y : y + SIDE, x : x + SIDE] = True
        return out

    def frame(t: int) -> NDArray[np.uint8]:
        out = np.tile(ground.astype(np.uint8), (CROP_SIZE, CROP_SIZE, 1))
        out[mask(t)] = square
        return out

    def segment(first: int, last: int) -> TrackSegment:
        points = grid_points(CROP_SIZE, 16)
        on = mask(first)[np.rint(points[:, 1]).astype(int), np.rint(points[:, 0]).astype(int)]
        drifted, slid = (p[first : last + 1] - p[first] for p in (camera, path))
        moved = points + drifted[:, None] + on[:, None] * slid[:, None]
        seen = ((moved >= 0) & (moved <= CROP_SIZE - 1)).all(-1)
        seen &= on | ~np.stack(
            [points_inside(mask(t), moved[t - first]) for t in range(first, last + 1)]
        )  # covered: hidden
        return TrackSegment(first, moved.astype(np.float32), seen)

    ends = [0, *([cut] if cut else []), length - 1]
    segments = tuple(segment(a, b) for a, b in pairwise(ends))
    source = ClipSource("toy", f"toy-{seed}", 0.0, length / rate_hz, "slide the square", "none", "drawn", "exact",
                    group=group or f"g{seed}", extra={"kind": kind})  # fmt: skip
    frames, masks = Drawn(frame, length), Drawn(mask, length)
    crop = Square(-0.5, -0.5, CROP_SIZE)
    return TrackedClip(frames, masks, segments, np.arange(length) / rate_hz, rate_hz, crop, source)
