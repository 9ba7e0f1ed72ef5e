"""What training does to a sample so that held-out scenes, other cameras and other embodiments look familiar.

Images and points are moved together; occluders, colour and noise touch images only. Everything is drawn from the
generator handed in. Scoring never comes here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE
from mpr.predictor.inputs import resampled
from mpr.training.config import Augment

# Offsets from t of a shuffled previous frame; t - 1 itself is the true one.
NEARBY = (0, 1, 2, 3, 4, -2, -3, -4)


def previous_frame(t: int, length: int, augment: Augment, rng: np.random.Generator, first: int = 0) -> int:
    """Which of the frames first .. length - 1 stands in for t - 1; at t = first that frame twice.

    Two frames in order tell a predictor which way the object is going, and going on that way fits the clips almost
    always: it would learn to copy motion instead of reading the scene, and would then foresee that a closing door
    closes. The reward must give a closing door nothing. So half of the time the previous frame comes from anywhere
    nearby, before or after, and only the scene itself tells where the object is meant to go.
    """
    if rng.random() < augment.shuffle_previous:
        return int(np.clip(t + rng.choice(NEARBY), first, length - 1))
    return max(t - 1, first)


UnitBox = tuple[NDArray[np.float64], float]  # centre [2] and longer side of the object, in the unit square
LARGEST = 4.0  # times: a focus enlarges no further
FILLED = (0.5, 0.95)  # how much of the image's side a focussed object takes


def box_around(points: NDArray) -> UnitBox:
    """Centre and longer side, in the unit square, of crop pixels [N, 2]."""
    low, high = (points.min(0) + 0.5) / CROP_SIZE, (points.max(0) + 0.5) / CROP_SIZE
    return (low + high) / 2, float(max((high - low).max(), 1 / CROP_SIZE))


def affine_map(augment: Augment, rng: np.random.Generator, box: UnitBox | None = None) -> NDArray[np.float64] | None:
    """A [2, 3] map of the unit square (edges at 0 and 1) into itself; None where nothing is to be done.

    Both frames of a sample get the same map, so that enlarging around the object invents no motion.
    """
    angle, scale, shift, centre = 0.0, 1.0, np.zeros(2), np.full(2, 0.5)
    if rng.random() < augment.affine:
        angle = np.deg2rad(rng.uniform(-augment.rotation, augment.rotation))
        scale += rng.uniform(-augment.scale, augment.zoom)
        shift = rng.uniform(-augment.shift, augment.shift, 2)
        if box is not None and rng.random() < augment.focus:
            centre, scale = box[0], min(rng.uniform(*FILLED) / box[1], LARGEST)
    flip = rng.random() < augment.flip
    if not flip and not angle and scale == 1.0 and not shift.any():
        return None
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    if flip:
        linear = linear @ np.diag([-1.0, 1.0])
    return np.column_stack([linear, 0.5 + shift - linear @ centre])


def moved_points(points: NDArray, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Crop pixels [..., 2] under a map of the unit square."""
    unit = (points + 0.5) / CROP_SIZE
    return ((unit @ matrix[:, :2].T + matrix[:, 2]) * CROP_SIZE - 0.5).astype(np.float32)


def moved_frame(frame: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """A square frame [S, S, 3] under a map of the unit square, as [size, size, 3]; from outside comes its mirror."""
    if frame.shape[0] * 0.7 > size * np.sqrt(abs(np.linalg.det(matrix[:, :2]))):
        frame = resampled(frame, size)  # averages; the map alone would skip pixels
    ratio = size / frame.shape[0]
    linear = ratio * matrix[:, :2]
    offset = linear @ np.full(2, 0.5) + size * matrix[:, 2] - 0.5  # pixel centres lie at (i + 0.5) / size
    pixels = np.column_stack([linear, offset])
    return cv2.warpAffine(frame, pixels, (size, size), borderMode=cv2.BORDER_REFLECT_101).astype(np.uint8, copy=False)


def colour_matrix(augment: Augment, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """A [3, 4] map of RGB in 0..255, or None where nothing is to be done.

    Brightness, contrast, gain of each channel, saturation, at times greyscale.
    """
    matrix = np.eye(3, 4)
    jitter, grey = rng.random() < augment.colour, rng.random() < augment.grey
    if not jitter and not grey:
        return None
    saturation = 0.0 if grey else rng.uniform(0.6, 1.4)
    luma = np.full((3, 3), 1.0) * np.array([0.299, 0.587, 0.114])
    matrix[:, :3] = saturation * np.eye(3) + (1 - saturation) * luma
    if jitter:
        contrast, gain = rng.uniform(0.7, 1.35), rng.uniform(0.85, 1.15, 3)
        matrix[:, :3] = contrast * gain[:, None] * matrix[:, :3]
        matrix[:, 3] = 128 * (1 - contrast) + rng.uniform(-30, 30)
    return matrix


def occluded(
    frames: list[NDArray[np.uint8]], rng: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], NDArray[np.bool_]]:
    """1-3 random shapes, plain or noisy, before all frames, a little displaced between them.

    They stand for an actor of any embodiment: the prediction must not hang on a human hand being there. Returns the
    frames and what is covered of the last one [S, S].
    """
    size = frames[0].shape[0]
    frames = [frame.copy() for frame in frames]
    covered = np.zeros((size, size), bool)
    for _ in range(rng.integers(1, 4)):
        colour = rng.integers(0, 256, 3)
        speckle = rng.integers(0, 60) if rng.random() < 0.5 else 0
        outline, at = _outline(size, rng), rng.uniform(0, size, 2)
        step = rng.uniform(-0.04, 0.04, 2) * size
        for k, frame in enumerate(frames):
            mask = np.zeros((size, size), np.uint8)
            cv2.fillPoly(mask, [np.rint(outline + at + k * step).astype(np.int32)], 255)
            inside = mask > 0
            noise = rng.integers(-speckle, speckle + 1, (int(inside.sum()), 1))
            frame[inside] = np.clip(colour + noise, 0, 255)
        covered |= inside
    return frames, covered


def _outline(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A polygon, an ellipse or a long bar about the origin, as corners [K, 2]."""
    kind, turn = rng.integers(3), rng.uniform(0, 2 * np.pi)
    if kind == 0:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        radii = rng.uniform(0.05, 0.25, len(angles))
        corners = np.stack([np.cos(angles) * radii, np.sin(angles) * radii], 1)
    elif kind == 1:
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.03, 0.2, 2)
    else:  # a bar with one end at the origin and the other outside the image: an arm
        half = rng.uniform(0.02, 0.08)
        corners = np.array([[0, -half], [1.5, -half], [1.5, half], [0, half]])
    c, s = np.cos(turn), np.sin(turn)
    return size * corners @ np.array([[c, s], [-s, c]])


def changed_frames(
    frames: list[NDArray[np.uint8]],
    size: int,
    matrix: NDArray[np.float64] | None,
    augment: Augment,
    rng: np.random.Generator,
) -> tuple[list[NDArray[np.uint8]], NDArray[np.bool_]]:
    """All frames of one sample, [size, size, 3], under the same map, occluders, colours, blur; noise is each's own.

    Also returns what occluders cover of the last frame [size, size].
    """
    frames = [resampled(f, size) if matrix is None else moved_frame(f, matrix, size) for f in frames]
    covered = np.zeros((size, size), bool)
    if rng.random() < augment.occlude:
        frames, covered = occluded(frames, rng)
    colours = colour_matrix(augment, rng)
    if colours is not None:
        frames = [cv2.transform(frame, colours).astype(np.uint8, copy=False) for frame in frames]
    if rng.random() < augment.blur:
        sigma = float(rng.uniform(0.4, 1.2))
        frames = [cv2.GaussianBlur(frame, (0, 0), sigma).astype(np.uint8, copy=False) for frame in frames]
    if rng.random() < augment.noise:
        level = int(rng.integers(2, 13))
        frames = [cv2.add(f, rng.integers(-level, level + 1, f.shape, np.int16), dtype=cv2.CV_8U) for f in frames]  # type: ignore[misc]
    return frames, covered
