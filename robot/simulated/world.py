"""The world that arm, cameras and operator share: what they may ask of it, wherever it runs.

And the one that runs here, in step with whoever sleeps on its clock.
"""

from __future__ import annotations

import math
from typing import Protocol

from robot.hardware.camera import CameraImage
from robot.simulated.camera_renderer import CameraRenderer
from robot.simulated.impedance import Gains
from robot.simulated.model import TIMESTEP
from robot.simulated.orders import Controller
from robot.simulated.physics import Measured, Physics
from robot.simulated.tasks import TwinTask

_ROUNDING = 1e-6  # of a step: by which a deadline may lie beyond it


class World(Protocol):
    """Orders are those of `robot.simulated.orders`. Every method raises ArmError for a world that is gone."""

    @property
    def task(self) -> TwinTask:
        """What the arm stands before."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Of its cameras' images: height, width."""
        ...

    def measured(self) -> Measured: ...

    def order(self, name: str, *arguments: object) -> None:
        """Returns when it is carried out; for "pull" and "hold", at once. Raises ArmError for one that failed."""
        ...

    def open_eyes(self) -> None:
        """Images are wanted from now on. Raises NoGL where nothing can be rendered."""
        ...

    def image(self, camera: str) -> CameraImage | None:
        """The newest; none before there is one."""
        ...


class Lockstep:
    """Time passes in `sleep_until` and in orders that last, and nowhere else: also a Clock.

    Only images that are looked at are rendered, late, as the scene was when they were taken. With the same orders at
    the same times everything is the same to the last bit.
    """

    def __init__(self, task: TwinTask, size: tuple[int, int], gains: Gains | None = None) -> None:
        self.task, self.size = task, size
        self.physics = Physics(task, gains)
        self._controller = Controller(self.physics)
        self._renderer = CameraRenderer(task.kitchen, size)
        self._taken: dict[str, CameraImage] = {}

    def now(self) -> float:
        return self.physics.time

    def sleep_until(self, deadline: float) -> None:
        for _ in range(math.ceil((deadline - self.now()) / TIMESTEP - _ROUNDING)):
            self._controller.step()

    def measured(self) -> Measured:
        return self.physics.measured()

    def order(self, name: str, *arguments: object) -> None:
        self._controller.order(name, *arguments)
        while self._controller.busy:
            self._controller.step()
        if self._controller.outcome is not None:
            raise self._controller.outcome

    def open_eyes(self) -> None:
        self._renderer.open()

    def image(self, camera: str) -> CameraImage:
        snapshot, taken = self.physics.snapshot, self._taken.get(camera)
        if taken is None or taken.number != snapshot.number:
            taken = CameraImage(self._renderer.look(snapshot, camera), snapshot.time, snapshot.number)
            self._taken[camera] = taken
        return taken

    def close(self) -> None:
        self._renderer.close()
