"""The operator at a terminal beside the simulated arm: a person marks and answers, scripted hands put things back."""

from __future__ import annotations

from robot.simulated.operator import SimulatedOperator
from robot.teleop.keyboard_operator import KeyboardOperator
from robot.teleop.keys import Keys
from robot.teleop.operator import Answer


class AttendedOperator(KeyboardOperator):
    """A person's own hands do not reach into the simulator: `hands` do what was asked, once it is answered."""

    def __init__(self, keys: Keys, hands: SimulatedOperator) -> None:
        super().__init__(keys)
        self._hands = hands

    def begins(self, seed: int) -> None:
        self._hands.begins(seed)

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        """As the person answers; QUIT for a world that is gone."""
        answer = super().ask(question, answers)
        if answer is not Answer.QUIT and self._hands.ask(question, (Answer.GO,)) is Answer.QUIT:
            return Answer.QUIT
        return answer
