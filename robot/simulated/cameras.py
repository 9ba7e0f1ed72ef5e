"""The simulated world's cameras behind the interface of real ones."""

from __future__ import annotations

import math
import time
from contextlib import suppress

from scipy.spatial.transform import Rotation

from rl.environments.kitchen.camera import camera_path
from robot.hardware.arm import ArmError
from robot.hardware.camera import CameraError, CameraFeatures, CameraImage
from robot.hardware.pose import Pose
from robot.hardware.view import CameraPlacement
from robot.simulated.camera_renderer import WORLD, WORLD_CAMERA_VIEW
from robot.simulated.physics import IMAGES_HZ
from robot.simulated.world import World

FIRST = 60.0  # seconds, at most, until a first image: a busy machine takes long to begin with OpenGL


class SimulatedCamera:
    """A Camera: `world` or `wrist`. An image's time is when the scene stood as it shows."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._entered = False
        self._view: CameraPlacement | None = None  # the last one known

    @property
    def features(self) -> CameraFeatures:
        """With the last view that was known, where the world is gone; with none, where it is not there yet."""
        self._look()
        return CameraFeatures(self._name, *self._world.size, IMAGES_HZ, self._view)

    def __enter__(self) -> SimulatedCamera:
        """Raises NoGL where nothing can be rendered."""
        give_up = time.monotonic() + FIRST
        try:
            self._world.open_eyes()
            while self._world.image(self._name) is None:
                if time.monotonic() > give_up:
                    raise CameraError(f"camera {self._name}: no image within {FIRST:g} s")
                time.sleep(0.01)
        except ArmError as error:
            raise CameraError(f"camera {self._name}: {error}") from error
        self._entered = True
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered = False
        self._look()

    def latest(self) -> CameraImage:
        if not self._entered:
            raise CameraError(f"camera {self._name} is not connected: enter it first")
        try:
            image = self._world.image(self._name)
        except ArmError as error:
            raise CameraError(f"camera {self._name}: {error}") from error
        assert image is not None  # it was waited for
        return image

    def _look(self) -> None:
        if self._name == WORLD:
            with suppress(ArmError):  # no world
                self._view = self._seen_from(self._world.measured().base)

    def _seen_from(self, base: Pose) -> CameraPlacement:
        """Of the camera that stands, in the frame of the arm's base, which the operator moves."""
        path = camera_path(self._world.task.kitchen, WORLD_CAMERA_VIEW, 1)
        height, width = self._world.size
        focal = max(height, width) / 2 / math.tan(path.fovy / 2)
        turn = base.rotation.inv() * Rotation.from_quat(path.quaternions[0]) * Rotation.from_rotvec([math.pi, 0, 0])
        position = base.rotation.inv().apply(path.positions[0] - base.position)
        return CameraPlacement(Pose(position, turn.as_quat()), (focal, focal), ((width - 1) / 2, (height - 1) / 2))
