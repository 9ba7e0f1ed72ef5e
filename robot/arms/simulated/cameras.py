"""The simulated world's cameras behind the interface of real ones."""

from __future__ import annotations

import time

from robot.arm import ArmError
from robot.arms.simulated.physics import PICTURES_HZ
from robot.arms.simulated.world import World
from robot.camera import CameraError, CameraFeatures, Picture

FIRST = 10.0  # seconds to wait for a first picture


class SimulatedCamera:
    """A Camera: `world` or `wrist`. A picture's time is when the scene stood as it shows."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._entered = False

    @property
    def features(self) -> CameraFeatures:
        return CameraFeatures(self._name, *self._world.size, PICTURES_HZ)

    def __enter__(self) -> SimulatedCamera:
        """Raises NoGL where nothing can be rendered."""
        give_up = time.monotonic() + FIRST
        try:
            self._world.open_eyes()
            while self._world.picture(self._name) is None:
                if time.monotonic() > give_up:
                    raise CameraError(f"camera {self._name}: no picture within {FIRST:g} s")
                time.sleep(0.01)
        except ArmError as error:
            raise CameraError(f"camera {self._name}: {error}") from error
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self._entered = False

    def latest(self) -> Picture:
        if not self._entered:
            raise CameraError(f"camera {self._name} is not connected: enter it first")
        try:
            picture = self._world.picture(self._name)
        except ArmError as error:
            raise CameraError(f"camera {self._name}: {error}") from error
        assert picture is not None  # it was waited for
        return picture
