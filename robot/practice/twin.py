"""What practice adds to the simulated arm: recordings of how the scene stood, and episodes that begin alike."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from rl.environments.kitchen.recording import scene_recording
from robot.hardware.clock import Clock
from robot.simulated.operator import SimulatedOperator
from robot.simulated.physics import Snapshot
from robot.simulated.world import Lockstep
from robot.teleop.operator import Answer


def lockstep(clock: Clock) -> Lockstep:
    """The world in lockstep, which is its own clock."""
    if not isinstance(clock, Lockstep):
        raise UserError("the simulated arm is practised on in lockstep, not in real time")
    return clock


class PunctualOperator(SimulatedOperator):
    """A simulated operator that goes on at a whole second, so that an episode is decided only by its seed.

    Images then stand to the beats as in every other episode, however long the world has been there.
    """

    def __init__(self, world: Lockstep) -> None:
        super().__init__(world)
        self._clock = world

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        self._clock.sleep_until(math.ceil(self._clock.now()))
        return super().ask(question, answers)


class TwinRecorder:
    """How the scene stood at each of an episode's T+1 views."""

    def __init__(self, world: Lockstep, view: str) -> None:
        self._world, self._view = world, view
        self._seen: list[Snapshot] = []

    def begin(self) -> None:
        self._seen = []

    def note(self) -> None:
        """As it stands now."""
        self._seen.append(self._world.physics.look())

    def recording(self, times: NDArray[np.float64], rate_hz: float) -> SceneRecording:
        """What was noted since `begin`, at `times` [T+1] seconds."""
        qpos = np.array([seen.qpos for seen in self._seen])
        made = scene_recording(self._world.task.kitchen, self._seen[0].base_offset, qpos, self._view)
        return replace(made, times=times, rate_hz=rate_hz)
