"""Cameras, an operator and a policy beside the toy arm, for sessions without a simulator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.hardware.action import NOTHING
from robot.hardware.camera import Camera, CameraError, CameraFeatures, CameraImage
from robot.teleop.operator import Answer, Mark
from tests.toy_arm import ToyClock

SIDE, RATE = 16, 27.0


class ToyCamera(Camera):
    """27 images a second, each with its number written into it. `frozen`: no new ones come."""

    def __init__(self, name: str, clock: ToyClock) -> None:
        self.name, self.clock = name, clock
        self.frozen, self.gone = False, False
        self._newest: CameraImage | None = None

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    @property
    def features(self) -> CameraFeatures:
        return CameraFeatures(self.name, SIDE, SIDE, RATE)

    def latest(self) -> CameraImage:
        if self.gone:
            raise CameraError(f"camera {self.name} is gone")
        if self.frozen and self._newest is not None:
            return self._newest
        number = int(self.clock.now() * RATE + 1e-6)
        image = np.full((SIDE, SIDE, 3), 100, np.uint8)
        image[0, 0] = number % 256
        self._newest = CameraImage(image, number / RATE, number)
        return self._newest


class ToyOperator:
    """Marks as `marks` says, a step each; answers as `answers` says, GO once they are used up."""

    def __init__(self, marks: Mapping[int, Mark] | None = None, answers: tuple[Answer, ...] = ()) -> None:
        self.marks, self.answers = dict(marks or {}), deque(answers)
        self.steps, self.seeds = 0, list[int]()
        self.asked, self.said = list[str](), list[str]()
        self.when_asked: Callable[[str], None] = lambda question: None

    about = "a toy"

    def begins(self, seed: int) -> None:
        self.seeds.append(seed)
        self.steps = 0

    def mark(self) -> Mark | None:
        self.steps += 1
        return self.marks.get(self.steps)

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        self.asked.append(question)
        self.when_asked(question)
        return self.answers.popleft() if self.answers else Answer.GO

    def say(self, text: str) -> None:
        self.said.append(text)


class Forward:
    """A BasePolicy that goes along x; remembers how it was reset and what it was shown."""

    def __init__(self, x: float = 0.2) -> None:
        self.action = np.array([x, *NOTHING[1:]], np.float32)
        self.resets: list[int] = []
        self.shown: list[dict[str, NDArray[np.uint8]]] = []
        self.states: list[NDArray[Any]] = []

    @property
    def cameras(self) -> Mapping[str, Any]:
        return {}

    def reset(self, seed: int, look: Any = None) -> None:
        self.resets.append(seed)
        self.look, self.step = look, 0

    def act(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        self.shown.append(dict(self.look(self.step)))
        self.states.append(observation)
        self.step += 1
        return self.action
