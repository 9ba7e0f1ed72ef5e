"""A toy clip in memory: a square object that moves over a still, textured background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking.clip import CROP_SIZE, Source, Square, TrackedClip, TrackSegment
from tracking.segments import grid_points

SIDE = 80  # pixels, of the square


def toy_clip(
    path: NDArray, camera: NDArray | None = None, uid: str = "toy", rate_hz: float = 12.5, kind: str = "open"
) -> TrackedClip:
    """The square's top-left corner follows `path` [T, 2] (x, y); `camera` [T, 2] shifts the whole picture."""
    path = np.asarray(path, float)
    camera = np.zeros_like(path) if camera is None else np.asarray(camera, float)
    rng = np.random.default_rng(0)
    background = np.kron(rng.integers(60, 120, (48, 48, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    texture = np.kron(rng.integers(130, 255, (10, 10, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames, masks = [], []
    for corner, shift in zip(path, camera, strict=True):
        picture = np.roll(background, np.rint(shift[::-1]).astype(int), (0, 1))[:CROP_SIZE, :CROP_SIZE].copy()
        x, y = np.rint(corner + shift).astype(int)
        picture[y : y + SIDE, x : x + SIDE] = texture
        mask = np.zeros((CROP_SIZE, CROP_SIZE), bool)
        mask[y : y + SIDE, x : x + SIDE] = True
        frames.append(picture)
        masks.append(mask)
    grid = grid_points()
    on_object = masks[0][np.rint(grid[:, 1]).astype(int), np.rint(grid[:, 0]).astype(int)]
    moved = np.where(on_object[None, :, None], (path + camera - path[0] - camera[0])[:, None], 0)
    moved = moved + np.where(on_object[None, :, None], 0, (camera - camera[0])[:, None])
    points = (grid[None] + moved).astype(np.float32)
    visible = ((points > -0.5) & (points < CROP_SIZE - 0.5)).all(-1)
    for t, mask in enumerate(masks):  # the object covers background points it passes over
        x, y = np.rint(points[t]).astype(int).clip(0, CROP_SIZE - 1).T
        visible[t] &= on_object | ~mask[y, x]
    source = Source("toy", uid, 0.0, len(path) / rate_hz, "", "none", "made", "made", uid, {}, {"kind": kind})
    return TrackedClip(
        np.array(frames),
        np.array(masks),
        (TrackSegment(0, points, visible),),
        np.arange(len(path)) / rate_hz,
        rate_hz,
        Square(-0.5, -0.5, float(CROP_SIZE)),
        source,
    )
