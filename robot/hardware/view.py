"""Where a camera stands and how it sees: from metres in the frame of the arm's base to pixels, through a pinhole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot.pose import Pose
from robot.safety.limits import Limits
from tracking.errors import UserError

NEAR = 0.05  # metres before the camera: nothing nearer is drawn


@dataclass(frozen=True)
class View:
    """`pose` is the camera's in the base's frame, its axes OpenCV's: x right, y down, z forward. Pixels as everywhere:
    the centre of the top-left one is (0, 0)."""

    pose: Pose
    focal: tuple[float, float]  # pixels, x and y
    centre: tuple[float, float]  # pixels: where the optical axis meets the picture

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """[N, 2] of points [N, 3]; NaN for those that are not before the camera."""
        there = self.pose.rotation.inv().apply(np.asarray(points, np.float64) - self.pose.position)
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = there[:, :2] / there[:, 2:] * self.focal + self.centre
        return np.where(there[:, 2:] > NEAR, seen, np.nan)


def read_view(path: Path) -> View:
    """From JSON: {"position": [3], "quaternion": [4, xyzw], "focal": [2], "centre": [2]}. Raises UserError."""
    try:
        values = json.loads(Path(path).read_text())
        pose = Pose(np.array(values["position"], float), np.array(values["quaternion"], float))
        focal, centre = (tuple(float(v) for v in values[name]) for name in ("focal", "centre"))
        if len(focal) != 2 or len(centre) != 2 or not np.isfinite([*focal, *centre]).all():
            raise ValueError("focal and centre are two finite numbers each")
        return View(pose, focal, centre)
    except OSError as error:
        raise UserError(f"no calibration of the camera at {path} ({error.strerror}): see docs/robot.md") from error
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is no calibration of a camera ({type(error).__name__}: {error})") from error


def box_edges(limits: Limits, pieces: int = 24) -> NDArray[np.float64]:
    """The workspace's twelve edges as points [12, pieces, 3], metres, so that one half behind the camera shows."""
    corners = np.array(list(product(*zip(limits.low, limits.high, strict=True))))
    edges = [(a, b) for a, b in combinations(corners, 2) if np.sum(a != b) == 1]
    share = np.linspace(0, 1, pieces)[:, None]
    return np.array([a + share * (b - a) for a, b in edges])
