"""The person beside the simulated arm: sees the thing open, puts everything back, and always goes on."""

from __future__ import annotations

import numpy as np

from rl.environments.kitchen.environment import BASE_OFFSET
from robot.hardware.arm import ArmError
from robot.simulated.world import World
from robot.teleop.operator import Answer, Mark

_PATIENCE = 3  # recoveries before one episode, after which a person would have to look


class SimulatedOperator:
    """An Operator that marks the thing open, puts everything back and always goes on.

    Where it puts the arm's base depends only on the episode's seed, spread as `rl.environments.kitchen.environment`
    spreads it. `said` and `asked` hold what it was told and asked.
    """

    def __init__(self, world: World) -> None:
        self._world, self._episode, self._recoveries = world, 0, 0
        self.about = f"scripted: marks {world.task.kitchen.words} open, puts everything back"
        self.said: list[str] = []
        self.asked: list[str] = []

    def begins(self, seed: int) -> None:
        self._episode, self._recoveries = seed, 0

    def mark(self) -> Mark | None:
        """SUCCESS as long as it stands open. A world that is gone is not marked: the arm tells of it."""
        try:
            opened = self._world.measured().travel >= self._world.task.kitchen.opened
        except ArmError:
            return None
        return Mark.SUCCESS if opened else None

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        """Shuts the door and leads the arm home; then RECOVER where that is offered, else GO.

        QUIT for a world that is gone, and for an arm that does not recover.
        """
        draw = np.random.default_rng(self._episode)
        self.asked.append(question)
        try:
            self._world.order("put back", draw.uniform(0.0, BASE_OFFSET, 2))
        except ArmError as error:
            self.say(str(error))
            return Answer.QUIT
        if Answer.RECOVER not in answers:
            return Answer.GO
        self._recoveries += 1
        return Answer.RECOVER if self._recoveries <= _PATIENCE else Answer.QUIT

    def say(self, text: str) -> None:
        self.said.append(text)
        print(text, flush=True)
