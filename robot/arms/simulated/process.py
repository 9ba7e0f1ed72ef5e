"""The simulated world in a process of its own, on the wall's clock: physics follows the wall, two cameras look at 30 Hz
whether anybody looks at their pictures or not.

    here        orders ─────────────────────────▶  simulation, every 2 ms: the newest order, physics up to now
                measured, replies, pictures ◀────  its eyes, a thread: the newest snapshot, rendered

All of it goes through `Slots`, so neither side ever waits for the other without looking whether it lives.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from typing import Any

from robot.arm import ArmError
from robot.arms.simulated.eyes import CAMERAS, Eyes
from robot.arms.simulated.impedance import Gains
from robot.arms.simulated.model import TIMESTEP
from robot.arms.simulated.orders import Controller
from robot.arms.simulated.physics import Measured, Physics
from robot.arms.simulated.slots import Slots
from robot.camera import Picture
from tracking.errors import UserError
from tracking.processes import end_with_parent, spawn

ROUND = 0.002  # seconds: what the simulation sleeps between its rounds
BEHIND = 0.1  # seconds behind the wall at which the simulation skips what it missed, instead of running after it
AT_ONCE = ("pull", "hold")
STARTING = 60.0  # seconds, at most, until a simulation has started
ANSWERING = 30.0  # seconds, at most, for an order
LEAVING = 2.0  # seconds for a simulation to end by itself, before it is killed
ROOM = 8192  # bytes of a message that is no picture


@dataclass(frozen=True)
class Channels:
    """Between the two processes."""

    orders: Slots  # (name, arguments)
    replies: Slots  # (number of the order, what it failed with or None)
    measured: Slots
    pictures: dict[str, Slots]

    @classmethod
    def of(cls, context: BaseContext, size: tuple[int, int]) -> Channels:
        room = size[0] * size[1] * 3 + ROOM
        return cls(*(Slots(context, ROOM) for _ in range(3)), {name: Slots(context, room) for name in CAMERAS})


class Distant:
    """A World in a process of its own. A context manager: leaving ends the process, and never hangs."""

    def __init__(self, size: tuple[int, int], gains: Gains | None = None) -> None:
        self.size, self._gains = size, gains
        self._writing = threading.Lock()  # the control loop and a watchdog both give orders

    def __enter__(self) -> Distant:
        context: Any = spawn()
        self._channels = Channels.of(context, self.size)
        arguments = (self.size, self._gains, self._channels)
        self._process = context.Process(target=simulate, args=arguments, name="simulation", daemon=True)
        self._process.start()
        try:
            self._wait(lambda: self._channels.measured.read()[0] > 0, STARTING, "has not started")
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
        return self._channels.measured.read()[1]

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
        self.order("open eyes")

    def picture(self, camera: str) -> Picture | None:
        self._alive()
        return self._channels.pictures[camera].read()[1]

    def _write(self, name: str, *arguments: object) -> int:
        with self._writing:
            return self._channels.orders.write((name, arguments))

    def _alive(self) -> None:
        if not self._process.is_alive():
            raise ArmError(f"the simulation has ended (exit status {self._process.exitcode})")

    def _wait(self, done: Any, seconds: float, what: str) -> None:
        give_up = time.monotonic() + seconds
        while not done():
            self._alive()
            if time.monotonic() > give_up:
                raise ArmError(f"the simulation {what} within {seconds:g} s")
            time.sleep(ROUND)


def simulate(size: tuple[int, int], gains: Gains | None, channels: Channels) -> None:
    """The process: until it is told to leave, or its parent ends."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    physics = Physics(gains)
    physics.origin = time.monotonic()
    controller, seeing, handled, skipped = Controller(physics), Seeing(physics, size, channels), 0, 0.0
    answered = True
    while True:
        number, order = channels.orders.read()
        if number != handled:
            handled, answered = number, False
            name, arguments = order
            if name == "leave":
                seeing.close()
                return
            controller.begin(seeing.opening()) if name == "open eyes" else controller.order(name, *arguments)
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


class Seeing:
    """A thread that renders the newest snapshot for both cameras, and the next one when that is there."""

    def __init__(self, physics: Physics, size: tuple[int, int], channels: Channels) -> None:
        self._physics, self._eyes, self._channels = physics, Eyes(size), channels
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
            self._thread.join(LEAVING / 2)

    def _see(self) -> None:
        try:
            self._eyes.open()
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
            for camera, slots in self._channels.pictures.items():
                slots.write(Picture(self._eyes.look(snapshot, camera), snapshot.time, seen))
        self._eyes.close()
