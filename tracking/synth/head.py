"""The head camera's path: where a person stands, looks and sways while acting. Positions, gaze and a check of the view.

The whole object, at every door position of the clip, stays in the image: head motion is made smaller until it does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpr.core.data.scene import CameraPath
from tracking.synth.appliance import Appliance
from tracking.synth.timing import minimum_jerk

HEAD_CAMERA_PX = (640, 480)  # source pixels, width and height
AZIMUTH, ELEVATION = (-65.0, 65.0), (-15.0, 55.0)  # degrees, from the front's normal; positive: right, above
DISTANCE, FOVY = (0.45, 1.8), (45.0, 85.0)  # metres from the middle of the front; degrees, vertical
_SMALLEST = 0.52  # of the image's height that the object spans at least
_NEAREST = 0.15  # metres in front of the camera that the object keeps


def looking(positions: NDArray, yaw: NDArray, pitch: NDArray, roll: NDArray, fovy: float) -> CameraPath:
    """A camera path [T] from angles in radians: yaw from +y towards +x, pitch upwards, roll about the optical axis."""
    forward = np.stack([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)], -1)
    right = np.stack([np.cos(yaw), -np.sin(yaw), np.zeros_like(yaw)], -1)
    frames = Rotation.from_matrix(np.stack([right, np.cross(right, forward), -forward], -1))
    turned = frames * Rotation.from_rotvec(roll[:, None] * np.array([0, 0, 1.0]))
    quaternions = turned.as_quat(canonical=True)
    return CameraPath(positions, quaternions, fovy, *HEAD_CAMERA_PX)


def aim(offset: NDArray) -> tuple[NDArray, NDArray]:
    """Yaw and pitch [T] that look along offsets [T, 3]."""
    return np.arctan2(offset[:, 0], offset[:, 1]), np.arctan2(offset[:, 2], np.hypot(offset[:, 0], offset[:, 1]))


def place(rng: Generator, a: Appliance, door: NDArray) -> tuple[NDArray, NDArray, float, dict[str, float]]:
    """A still viewpoint: position [3], what it looks at [3], fovy in radians, and what was drawn."""
    stages = [a.corners(q) for q in np.linspace(door.min(), door.max(), 4)]
    corners = np.concatenate(stages)
    middle = (corners.min(0) + corners.max(0)) / 2
    for trial in range(400):
        azimuth, elevation = rng.uniform(*AZIMUTH), rng.uniform(*ELEVATION)
        distance, fovy = rng.uniform(*DISTANCE), rng.uniform(*FOVY)
        if trial >= 300:  # hard to see from near by: stand back
            distance, fovy = DISTANCE[1], rng.uniform(60, FOVY[1])
        az, el = np.deg2rad(azimuth), np.deg2rad(elevation)
        position = distance * np.array([np.sin(az) * np.cos(el), -np.cos(az) * np.cos(el), np.sin(el)])
        target = middle + rng.normal(0, 0.06, 3)
        yaw, pitch = aim((target - position)[None])
        camera = looking(position[None], yaw, pitch, np.zeros(1), np.deg2rad(fovy))
        body = camera.project(stages[0], 0)[0]
        if _inside(camera, [corners], 0.03) and np.ptp(body, axis=0).max() > _SMALLEST * HEAD_CAMERA_PX[1]:
            break
    drawn = {"azimuth_deg": azimuth, "elevation_deg": elevation, "distance_m": distance, "fovy_deg": fovy}
    return position, target, float(np.deg2rad(fovy)), {k: round(float(v), 3) for k, v in drawn.items()}


def _inside(camera: CameraPath, corners: list[NDArray], margin: float) -> bool:
    """Whether the corners [N, 3] of every frame are in the image, `margin` of its size from the border."""
    size = np.array(HEAD_CAMERA_PX)
    for t, points in enumerate(corners):
        pixels, depth = camera.project(points, t)
        if (depth < _NEAREST).any() or (pixels < margin * size).any() or (pixels > (1 - margin) * size).any():
            return False
    return True


def _waves(rng: Generator, times: NDArray, amplitude: float, low: float, high: float) -> NDArray[np.float64]:
    """A smooth random signal [T]: three sines of `low`..`high` Hz."""
    frequency, phase = rng.uniform(low, high, 3), rng.uniform(0, 2 * np.pi, 3)
    return (rng.normal(0, amplitude, 3) * np.sin(2 * np.pi * frequency * times[:, None] + phase)).sum(1)


def turns(rng: Generator, times: NDArray, per_second: float, size: float) -> NDArray[np.float64]:
    """Saccade-like head turns [T]: steps of about `size` that take 0.12-0.35 s each, half of them glances."""
    total = np.zeros_like(times)
    for _ in range(rng.poisson(per_second * (times[-1] + 0.5))):
        start, length = rng.uniform(-0.3, times[-1]), rng.uniform(0.12, 0.35)
        turn, back = rng.normal(0, size), start + length + rng.uniform(0.1, 1.0)
        total += turn * minimum_jerk((times - start) / length)
        if rng.uniform() < 0.5:  # a glance: there and back
            total -= turn * minimum_jerk((times - back) / length)
    return total


def head_path(rng: Generator, a: Appliance, door: NDArray, times: NDArray) -> tuple[CameraPath, dict[str, Any]]:
    """The camera of one clip and a description of it, from door positions [T] and times [T]."""
    position, target, fovy, drawn = place(rng, a, door)
    n = len(times)
    quiet = rng.uniform() < 0.2
    lively = float(rng.uniform(0.03, 0.25) if quiet else np.exp(rng.normal(0.25, 0.45)))
    degrees = np.pi / 180
    yaw_off = lively * (_waves(rng, times, 1.8, 0.3, 1.7) + turns(rng, times, 0.8, 10.0)) * degrees
    pitch_off = lively * (_waves(rng, times, 1.3, 0.3, 1.7) + turns(rng, times, 0.5, 6.0)) * degrees
    pitch_off += lively * _waves(rng, times, 0.3, 1.5, 2.5) * degrees
    roll = lively * _waves(rng, times, 1.2, 0.1, 0.7) * degrees + rng.normal(0, 2.5) * degrees
    sway = lively * np.stack([_waves(rng, times, 0.012, 0.2, 1.2) for _ in range(3)], -1)
    step = float(rng.uniform(0.05, 0.3)) if rng.uniform() < 0.4 else 0.0
    begin, length = rng.uniform(-0.4, 0.5) * times[-1], rng.uniform(0.5, 1.1)
    left = 1 - minimum_jerk((times - begin) / length)  # of the approach step
    back = (position - target) * (1, 1, 0)
    sway += left[:, None] * step * back / max(float(np.linalg.norm(back)), 1e-6)
    sway[:, 2] += 0.02 * (step > 0) * np.sin(np.pi * left)
    gaze = rng.uniform(0, 0.4) * (a.door_point(door, a.handle.position) - a.door_point(door[:1], a.handle.position))
    corners = [a.corners(float(q)) for q in door]
    scale, camera = 1.0, None
    for scale in (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.0):
        where = position + scale * sway
        yaw, pitch = aim(target + scale * gaze - where)
        yaw, pitch = yaw + scale * yaw_off, pitch + scale * pitch_off
        camera = looking(where, yaw, pitch, scale * roll + np.zeros(n), fovy)
        if _inside(camera, corners, 0.0):
            break
    assert camera is not None
    return camera, {**drawn, "approach_step_m": round(scale * step, 3), "head_motion_scale": scale}
