"""The person beside the arm: marks how an episode ends, is asked before it goes on after a fault, is told things."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Mark(Enum):
    """Said while an episode runs. The first three end it."""

    SUCCESS = "success"
    FAILURE = "failure"
    REDO = "redo"  # it does not count, and is not kept
    QUIT = "quit"  # as redo, and no episode follows


class Answer(Enum):
    """To a question. GO is what the question proposes."""

    GO = "go"
    RECOVER = "recover"  # clear the arm's errors, then go: offered where it has any
    QUIT = "quit"


class Operator(Protocol):
    def mark(self) -> Mark | None:
        """What was said since it was last asked, if anything; never waits."""
        ...

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        """Wait for one of the answers."""
        ...

    def say(self, text: str) -> None:
        """Tell one line."""
        ...
