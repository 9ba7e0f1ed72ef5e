"""Named views of the kitchen: still cameras, each task with its own place to look at.

Five or more views to develop with (one mirrored), and two held out: those are defined by numbers alone, checked by
rays to show the object, and their pictures are looked at by nobody while anything is still being chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from rl.kitchen.tasks import Task
from tracking.errors import UserError
from tracking.scene import CameraPath

SIZE = 640  # pixels, square
FOVY = np.deg2rad(45.0)
HELD_OUT = "held_out_"  # views whose names begin so are for reported evaluation only
CENTRES = {  # metres, world: middle of what one looks at
    "microwave": (-0.75, 0.45, 1.80),
    "hinge": (-0.50, 0.60, 2.58),
    "slide": (0.25, 0.65, 2.58),
}


@dataclass(frozen=True)
class View:
    """Where a camera stands around a task's centre."""

    azimuth: float  # degrees from straight before the kitchen (-y); positive: further right (+x)
    elevation: float  # degrees above the centre
    distance: float  # metres


# The microwave stands in a corner: its views keep clear of the wall to its left.
VIEWS = {
    "front": {"microwave": View(0, 12, 1.75), "hinge": View(-8, 8, 1.75), "slide": View(8, 8, 1.75)},
    "left": {"microwave": View(-16, 20, 1.8), "hinge": View(-27, 14, 1.7), "slide": View(-18, 18, 1.75)},
    "right": {"microwave": View(26, 30, 1.8), "hinge": View(24, 16, 1.8), "slide": View(44, 14, 1.75)},
    "high": {"microwave": View(8, 48, 1.75), "hinge": View(5, 42, 1.75), "slide": View(-4, 42, 1.75)},
    "low": {"microwave": View(-8, -1, 1.6), "hinge": View(-24, -12, 1.7), "slide": View(26, -12, 1.7)},
    "mirrored": {"microwave": View(-12, 34, 1.8), "hinge": View(-20, 28, 1.75), "slide": View(28, 28, 1.75)},
    "held_out_1": {"microwave": View(14, 6, 1.85), "hinge": View(14, -3, 1.85), "slide": View(18, -3, 1.85)},
    "held_out_2": {"microwave": View(-18, 50, 1.8), "hinge": View(-56, 32, 1.75), "slide": View(56, 32, 1.75)},
}
MIRRORED = ("mirrored",)  # views whose pictures are flipped left-right


def view_names(held_out: bool = True) -> tuple[str, ...]:
    """All views, or those to develop with."""
    return tuple(name for name in VIEWS if held_out or not name.startswith(HELD_OUT))


def camera_path(task: Task, view: str, length: int) -> CameraPath:
    """The named view of a task, standing still for `length` frames. Raises UserError naming the views that exist."""
    if view not in VIEWS:
        raise UserError(f"no kitchen view '{view}'; there is {', '.join(VIEWS)}")
    v, centre = VIEWS[view][task.name], np.array(CENTRES[task.name])
    azimuth, elevation = np.deg2rad(v.azimuth), np.deg2rad(v.elevation)
    level = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    back = np.cos(elevation) * level + np.sin(elevation) * np.array([0.0, 0.0, 1.0])  # from centre to camera
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    quaternion = Rotation.from_matrix(np.stack([right, np.cross(back, right), back], -1)).as_quat()
    return CameraPath(
        positions=np.tile(centre + v.distance * back, (length, 1)),
        quaternions=np.tile(quaternion, (length, 1)),
        fovy=float(FOVY),
        width=SIZE,
        height=SIZE,
        mirrored=view in MIRRORED,
    )
