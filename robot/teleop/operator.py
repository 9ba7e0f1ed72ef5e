"""The person beside the arm: marks how an episode ends, is asked before anything goes on after a fault, is told things.

`robot.teleop.keyboard_operator.KeyboardOperator` is the one at a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Protocol


class Mark(Enum):
    """Said while an episode runs. The first three end it."""

    SUCCESS = "success"
    FAILURE = "failure"
    REDO = "redo"  # it does not count, and is not kept
    QUIT = "quit"  # as redo, and no episode follows


def most_careful(said: Iterable[Mark]) -> Mark | None:
    """Of marks that were said together the last in `Mark`: quit before redo before failure before success."""
    return max(said, key=list(Mark).index, default=None)


class Answer(Enum):
    """To a question. GO is what the question proposes."""

    GO = "go"
    RECOVER = "recover"  # clear the arm's errors, then go: offered after a fault
    QUIT = "quit"


class Operator(Protocol):
    """Used from one thread."""

    about: str  # how it is told things: its keys, a line

    def begins(self, seed: int) -> None:
        """An episode of that seed is next: a person may note it, a simulated one puts things where it says."""
        ...

    def mark(self) -> Mark | None:
        """What was said since it was last asked, if anything, the most careful of several; never waits.

        Who begins an episode without a question before it calls it once, to drop what was said too late.
        """
        ...

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        """Wait for one of the answers.

        Nothing said before the question answers it, nothing said before the answer is a mark.
        """
        ...

    def say(self, text: str) -> None:
        """Tell one line."""
        ...
