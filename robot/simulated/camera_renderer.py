"""Images of a snapshot: from a camera that stands before the kitchen, and from one on the hand.

Physics knows nothing of them. The kitchen's own renderer makes squares; an image that is no square is the middle of
the smallest one that holds it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpr.core.data.scene import CameraPath
from rl.environments.kitchen.camera import FOVY, RENDERED_PX
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.tasks import Task
from robot.simulated.physics import Snapshot

WORLD, WRIST = "world", "wrist"
TWIN_CAMERAS = (WORLD, WRIST)
WORLD_CAMERA_VIEW = "front"  # of the kitchen's, for the world camera
WRIST_AT = np.array([0.08, 0.0, -0.12])  # metres, end-effector frame: on the hand's front, where a D435 is screwed on
WRIST_TILT = np.deg2rad(20.0)  # towards the fingers' tips


class CameraRenderer:
    """One renderer for both cameras, opened when asked for, and used by one thread."""

    def __init__(self, task: Task, size: tuple[int, int]) -> None:
        self.task = task
        self.size = size  # height, width: pixels
        self._images: KitchenImages | None = None

    def open(self) -> None:
        """Raises NoGL where nothing can be rendered."""
        if self._images is None:
            images = KitchenImages(self.task, (WORLD_CAMERA_VIEW,), max(self.size))
            images.open()
            self._images = images

    def close(self) -> None:
        if self._images is not None:
            self._images.close()
            self._images = None

    def look(self, snapshot: Snapshot, camera: str) -> NDArray[np.uint8]:
        """RGB [height, width, 3] of an open pair of renderer."""
        assert self._images is not None
        recording = scene_recording(self.task, snapshot.base_offset, snapshot.qpos[None], WORLD_CAMERA_VIEW)
        if camera == WRIST:
            recording = replace(recording, camera=_wrist(snapshot))
        square = self._images.look(recording).frame(0)
        top, left = (len(square) - self.size[0]) // 2, (len(square) - self.size[1]) // 2
        return np.ascontiguousarray(square[top : top + self.size[0], left : left + self.size[1]])


def _wrist(snapshot: Snapshot) -> CameraPath:
    """Looks along the hand, the hand's front up; OpenGL's axes."""
    look = Rotation.from_rotvec([0.0, -WRIST_TILT, 0.0]).apply([0.0, 0.0, 1.0])  # hand frame
    up = np.array([1.0, 0.0, 0.0]) - look[0] * look
    up /= np.linalg.norm(up)
    axes = snapshot.hand_rotation @ np.stack([np.cross(look, up), up, -look], -1)
    position = snapshot.hand_position + snapshot.hand_rotation @ WRIST_AT
    return CameraPath(position[None], Rotation.from_matrix(axes).as_quat()[None], float(FOVY), RENDERED_PX, RENDERED_PX)
