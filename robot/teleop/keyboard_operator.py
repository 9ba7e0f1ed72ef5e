"""The operator at a terminal: single keys for marks and answers, and marks from what else is in their hands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from robot.teleop.keys import Keys
from robot.teleop.operator import Answer, Mark, most_careful

KEY_MARKS = {"s": Mark.SUCCESS, "f": Mark.FAILURE, "r": Mark.REDO, "q": Mark.QUIT}
# No key of an answer but `q` is one of a mark: who means "redo" and is late must not clear the arm's errors.
ANSWERS = {Answer.GO: "enter", Answer.RECOVER: "c", Answer.QUIT: "q"}
_WORDS = {Answer.GO: "go on", Answer.RECOVER: "clear the arm's errors and go on", Answer.QUIT: "quit"}


class KeyboardOperator:
    """`others` are asked for marks as well: a gamepad's `mark`, say. Used while `keys` is entered.

    Nothing that was typed before a question answers it, and nothing before an answer marks an episode. Raises UserError
    where the terminal is gone.
    """

    about = "s success   f failure   r redo   q quit"

    def __init__(self, keys: Keys, others: Sequence[Callable[[], Mark | None]] = (), out: TextIO | None = None) -> None:
        self.keys, self.others, self._out = keys, others, out

    def begins(self, seed: int) -> None:
        """A person puts things where they like."""

    def mark(self) -> Mark | None:
        said = [KEY_MARKS[key.name] for key in self.keys.take(KEY_MARKS)]
        said += [mark for other in self.others if (mark := other()) is not None]
        return most_careful(said)

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        of = {ANSWERS[answer]: answer for answer in answers}
        if not of:
            raise ValueError("a question without answers")
        self._forget()
        self.say(question + "   " + "   ".join(f"[{key}] {_WORDS[answer]}" for key, answer in of.items()))
        while not (typed := self.keys.take(of)):
            self.keys.wait()
        self._forget()
        return of[typed[0].name]

    def say(self, text: str) -> None:
        print(text, file=self._out or sys.stdout, flush=True)

    def _forget(self) -> None:
        self.keys.forget()
        for other in self.others:
            other()
