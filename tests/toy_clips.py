"""Toy clips in memory: a square slides right over a drifting background (a head turns) and is tracked exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tracking.clip import Source, Square, TrackedClip, TrackSegment
from tracking.points import inside
from tracking.segments import grid_points

SIZE = 256


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
    """Square at (60, 80) of side 70; it moves `speed` px a frame to the right from frame `start` on, all of it drifts.

    `cut`: frame on which a second segment starts. Points are pixels; the object's are those on the square.
    """
    rng = np.random.default_rng(seed)
    ground, square = rng.integers(0, 120, 3), rng.integers(130, 256, 3)
    corner = np.array([60.0, 80.0]) + rng.integers(-10, 10, 2)
    drifted = np.arange(length)[:, None] * np.asarray(drift)
    slid = np.stack([np.maximum(np.arange(length) - start, 0) * speed, np.zeros(length)], 1)

    def mask(t: int) -> np.ndarray:
        x, y = np.rint(corner + drifted[t] + slid[t]).astype(int)
        out = np.zeros((SIZE, SIZE), bool)
        out[y : y + 70, x : x + 70] = True
        return out

    def frame(t: int) -> np.ndarray:
        out = np.tile(ground.astype(np.uint8), (SIZE, SIZE, 1))
        out[mask(t)] = square
        return out

    def segment(first: int, last: int) -> TrackSegment:
        points = grid_points(SIZE, 16)
        on = mask(first)[np.rint(points[:, 1]).astype(int), np.rint(points[:, 0]).astype(int)]
        moved = drifted[first : last + 1] - drifted[first]
        own = slid[first : last + 1] - slid[first]
        path = points + moved[:, None] + on[:, None] * own[:, None]
        seen = ((path >= 0) & (path <= SIZE - 1)).all(-1)
        seen &= on | ~np.stack([inside(mask(t), path[t - first]) for t in range(first, last + 1)])  # covered: hidden
        return TrackSegment(first, path.astype(np.float32), seen)

    ends = [0, *([cut] if cut else []), length - 1]
    segments = tuple(segment(a, b) for a, b in pairwise(ends))
    source = Source("toy", f"toy-{seed}", 0.0, length / rate_hz, "slide the square", "none", "drawn", "exact",
                    group=group or f"g{seed}", extra={"kind": kind})  # fmt: skip
    frames, masks = Drawn(frame, length), Drawn(mask, length)
    return TrackedClip(frames, masks, segments, np.arange(length) / rate_hz, rate_hz, Square(-0.5, -0.5, SIZE), source)
