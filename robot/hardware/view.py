"""Where a camera stands and how it sees: from metres in the frame of the arm's base to pixels, through a pinhole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpr.core.errors import UserError
from mpr.core.json_files import read_object
from robot.hardware.pose import Pose

_NEAR = 0.05  # metres before the camera: nothing nearer is drawn


@dataclass(frozen=True)
class CameraPlacement:
    """`pose` is the camera's in the base's frame, its axes OpenCV's: x right, y down, z forward. Pixels as everywhere:
    the centre of the top-left one is (0, 0)."""

    pose: Pose
    focal: tuple[float, float]  # pixels, x and y
    centre: tuple[float, float]  # pixels: where the optical axis meets the image

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """[N, 2] of points [N, 3]; NaN for those that are not before the camera."""
        there = self.pose.rotation.inv().apply(np.asarray(points, np.float64) - self.pose.position)
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = there[:, :2] / there[:, 2:] * self.focal + self.centre
        return np.where(there[:, 2:] > _NEAR, seen, np.nan)


class _Calibration(TypedDict):
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    focal: tuple[float, float]
    centre: tuple[float, float]


def read_view(path: Path) -> CameraPlacement:
    """From JSON: {"position": [3], "quaternion": [4, xyzw], "focal": [2], "centre": [2]}. Raises UserError."""
    try:
        values = read_object(Path(path), _Calibration)
        pose = Pose(np.array(values["position"], float), np.array(values["quaternion"], float))
        return CameraPlacement(pose, tuple(values["focal"]), tuple(values["centre"]))
    except OSError as error:
        raise UserError(f"no calibration of the camera at {path} ({error.strerror}): see docs/robot.md") from error
    except ValueError as error:
        raise UserError(f"{path} is no calibration of a camera ({type(error).__name__}: {error})") from error
