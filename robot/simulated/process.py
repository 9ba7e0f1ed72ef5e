"""The process that a simulated world on the wall's clock lives in.

Physics follows the wall, two cameras look at 30 Hz whether anybody looks at their images or not.

    orders ─────────────────────────▶  every 4 ms: the newest order, physics up to now
    measured, replies, images ◀────  a thread: the newest snapshot, rendered

All of it goes through `Slots`, so neither side ever waits for the other without looking whether it lives.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext

from mpr.core.errors import UserError
from mpr.core.processes import end_with_parent
from robot.hardware.camera import CameraImage
from robot.hardware.clock import collect_now
from robot.simulated.camera_renderer import TWIN_CAMERAS, CameraRenderer
from robot.simulated.impedance import Gains
from robot.simulated.model import TIMESTEP
from robot.simulated.orders import Controller
from robot.simulated.physics import Physics
from robot.simulated.slots import Slots
from robot.simulated.tasks import TwinTask

ROUND = 0.004  # seconds: what the simulation sleeps between its rounds
BEHIND = 0.1  # seconds behind the wall at which the simulation skips what it missed, instead of running after it
ENDING = 1.0  # seconds for its renderer to close
ROOM = 8192  # bytes of a message that is no image


@dataclass(frozen=True)
class Channels:
    """Between the two processes."""

    orders: Slots  # (name, arguments)
    replies: Slots  # (number of the order, what it failed with or None)
    measured: Slots
    images: dict[str, Slots]

    @classmethod
    def of(cls, context: BaseContext, size: tuple[int, int]) -> Channels:
        room = size[0] * size[1] * 3 + ROOM
        orders, replies, measured = (Slots(context, ROOM) for _ in range(3))
        return cls(orders, replies, measured, {name: Slots(context, room) for name in TWIN_CAMERAS})


def simulate(task: TwinTask, size: tuple[int, int], gains: Gains | None, channels: Channels) -> None:
    """The process: until it is told to leave, or its parent ends."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    physics = Physics(task, gains)
    physics.origin = time.monotonic()
    controller, seeing, handled, skipped = Controller(physics), CameraLoop(physics, size, channels), 0, 0.0
    answered = True
    collect_now()
    while True:
        number, order = channels.orders.read()
        if number != handled:
            handled, answered = number, False
            name, arguments = order
            if name == "leave":
                seeing.close()
                return
            if name == "open renderer":
                controller.begin(seeing.opening())
            else:
                controller.order(name, *arguments)
        behind = time.monotonic() - physics.time
        if behind > BEHIND:
            physics.origin += behind
            skipped += behind
        for _ in range(int((time.monotonic() - physics.time) / TIMESTEP)):
            controller.step()
        channels.measured.write(replace(physics.measured(), skipped=skipped))
        if not answered and not controller.busy:
            answered = True
            channels.replies.write((handled, controller.outcome))
        time.sleep(ROUND)


class CameraLoop:
    """A thread that renders the newest snapshot for both cameras, and the next one when that is there."""

    def __init__(self, physics: Physics, size: tuple[int, int], channels: Channels) -> None:
        self._physics, self._renderer, self._channels = physics, CameraRenderer(physics.task.kitchen, size), channels
        self._thread: threading.Thread | None = None
        self._open, self._leave = threading.Event(), threading.Event()
        self._failed: UserError | None = None

    def opening(self) -> Iterator[None]:
        """An order that lasts until the renderer is open. Raises what that raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._see, daemon=True)
            self._thread.start()
        while not self._open.is_set():
            yield
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        self._leave.set()
        if self._thread is not None:
            self._thread.join(ENDING)

    def _see(self) -> None:
        try:
            self._renderer.open()
        except UserError as error:
            self._failed = error
            return
        finally:
            self._open.set()
        seen = -1
        while not self._leave.is_set():
            snapshot = self._physics.snapshot
            if snapshot.number == seen:
                time.sleep(ROUND)
                continue
            seen = snapshot.number
            for camera, slots in self._channels.images.items():
                slots.write(CameraImage(self._renderer.look(snapshot, camera), snapshot.time, seen))
        self._renderer.close()
