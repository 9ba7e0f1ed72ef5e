"""A Franka in a simulated kitchen behind the interface of a real one, wherever its world runs.

It tells what a real arm tells and no more. Like one it stops itself when a joint runs too fast, and then obeys nothing
until it was told to recover; `reflex` provokes that.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from robot.hardware.arm import ArmError, ArmFeatures, ArmState, Target
from robot.simulated.physics import TWIN_HAND_WIDEST_M
from robot.simulated.world import World


class SimulatedArm:
    """An Arm. Images of it come from `robot.simulated.cameras`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entered = False

    @property
    def features(self) -> ArmFeatures:
        return ArmFeatures("simulated", real=False, home=self._world.task.home_pose)

    def __enter__(self) -> SimulatedArm:
        self._world.order("hold")
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self._entered = False
        with suppress(ArmError):  # a world that is gone holds nothing
            self._world.order("hold")

    def state(self) -> ArmState:
        self._connected()
        return self._world.measured().state

    def send(self, target: Target) -> Target:
        """A width that the fingers do not have becomes the nearest one."""
        self._obeying()
        target = replace(target, width=float(np.clip(target.width, 0.0, TWIN_HAND_WIDEST_M)))
        self._world.order("pull", target)
        return target

    def home(self) -> None:
        self._obeying()
        self._world.order("home")

    def stop(self) -> None:
        self._connected()
        self._world.order("hold")

    def recover(self) -> None:
        self._connected()
        self._world.order("recover")

    def reflex(self, errors: tuple[str, ...] = ()) -> None:
        """Have it stop itself. Without errors it is latched and shows none, as a real one may."""
        self._connected()
        self._world.order("reflex", errors)

    def _obeying(self) -> None:
        self._connected()
        measured = self._world.measured()
        if not measured.state.mode.obeys:
            raise ArmError(f"the arm stopped itself ({measured.cause}): recover it first")

    def _connected(self) -> None:
        if not self._entered:
            raise ArmError("the simulated arm is not connected: enter it first")
