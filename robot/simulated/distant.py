"""The simulated world that lives in a process of its own, on the wall's clock, seen from here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from mpr.core.processes import spawn
from robot.hardware.arm import ArmError
from robot.hardware.camera import CameraImage
from robot.simulated.impedance import Gains
from robot.simulated.physics import Measured
from robot.simulated.process import Channels, simulate
from robot.simulated.tasks import TwinTask

AT_ONCE = ("pull", "hold")
_STARTING = 60.0  # seconds, at most, until a simulation has started
ANSWERING = 30.0  # seconds, at most, for an order
LEAVING = 2.0  # seconds for a simulation to end by itself, before it is killed
LOOKING = 0.004  # seconds between two looks for an answer


class Distant:
    """A World in a process of its own. A context manager: leaving ends the process, and never hangs."""

    def __init__(self, task: TwinTask, size: tuple[int, int], gains: Gains | None = None) -> None:
        self.task, self.size, self._gains = task, size, gains
        self._writing = threading.Lock()  # the control loop and a watchdog both give orders

    def __enter__(self) -> Distant:
        context: Any = spawn()
        self._channels = Channels.of(context, self.size)
        arguments = (self.task, self.size, self._gains, self._channels)
        self._process = context.Process(target=simulate, args=arguments, name="simulation", daemon=True)
        self._process.start()
        try:
            self._wait(lambda: self._channels.measured.read()[0] > 0, _STARTING, "has not started")
            self._newest: Measured = self._channels.measured.read()[1]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.is_alive():
            self._write("leave")
            self._process.join(LEAVING)
        self._process.kill()
        self._process.join()

    @property
    def pid(self) -> int:
        """Of the simulation's process."""
        assert self._process.pid is not None
        return self._process.pid

    def measured(self) -> Measured:
        self._alive()
        self._newest = self._channels.measured.read()[1] or self._newest
        return self._newest

    def order(self, name: str, *arguments: object) -> None:
        self._alive()
        number = self._write(name, *arguments)
        if name in AT_ONCE:
            return
        replies = self._channels.replies
        self._wait(lambda: (replies.read()[1] or (0, None))[0] >= number, ANSWERING, f"did not answer to '{name}'")
        answered, outcome = replies.read()[1]
        if answered > number:
            raise ArmError(f"'{name}' was cut short by another order")
        if outcome is not None:
            raise outcome

    def open_eyes(self) -> None:
        self.order("open renderer")

    def image(self, camera: str) -> CameraImage | None:
        self._alive()
        return self._channels.images[camera].read()[1]

    def _write(self, name: str, *arguments: object) -> int:
        with self._writing:
            return self._channels.orders.write((name, arguments))

    def _alive(self) -> None:
        if not self._process.is_alive():
            raise ArmError(f"the simulation has ended (exit status {self._process.exitcode})")

    def _wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        give_up = time.monotonic() + seconds
        while not done():
            self._alive()
            if time.monotonic() > give_up:
                raise ArmError(f"the simulation {what} within {seconds:g} s")
            time.sleep(LOOKING)
