"""Named views of the kitchen: still cameras, each task with its own place to look at.

Where they stand is the task's (`tasks.TaskViews`): six to develop with (one mirrored), and two held out. Those are
defined only by numbers, checked by rays to show the object, and their images are looked at by nobody while anything is
still being chosen.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from mpr.core.data.scene import CameraPath
from mpr.core.errors import UserError
from rl.environments.kitchen.tasks import Task, TaskViews

RENDERED_PX = 640  # pixels, square
FOVY = np.deg2rad(45.0)
HELD_OUT = "held_out_"  # views whose names begin so are for reported evaluation only
VIEWS = tuple(view.name for view in fields(TaskViews))
MIRRORED = ("mirrored",)  # views whose images are flipped left-right


def view_names(held_out: bool = True) -> tuple[str, ...]:
    """All views, or those to develop with."""
    return tuple(name for name in VIEWS if held_out or not name.startswith(HELD_OUT))


def check_view(view: str) -> None:
    """Raises UserError naming the views that exist."""
    if view not in VIEWS:
        raise UserError(f"no kitchen view '{view}'; there is {', '.join(VIEWS)}")


def camera_path(task: Task, view: str, length: int) -> CameraPath:
    """The named view of a task, standing still for `length` frames. Raises UserError as `check_view` does."""
    from scipy.spatial.transform import Rotation  # half a second, and the names of the views need none

    check_view(view)
    v, centre = getattr(task.views, view), np.array(task.centre)
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
        width=RENDERED_PX,
        height=RENDERED_PX,
        mirrored=view in MIRRORED,
    )
