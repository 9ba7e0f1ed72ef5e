"""Keys of a terminal and the operator at it: on pseudo-terminals, as a person types."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpr.core.errors import UserError
from robot.teleop.keyboard import KEYS
from robot.teleop.keyboard_operator import ANSWERS, KEY_MARKS, KeyboardOperator
from robot.teleop.keys import Keys
from robot.teleop.operator import Answer, Mark, most_careful

ROOT = Path(__file__).resolve().parents[2]


class Wound:
    """A clock that the test winds."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        self.time = max(self.time, deadline)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends: what a person types into, and what the program reads."""
    person, program = pty.openpty()
    yield person, program
    for end in (person, program):
        with suppress(OSError):
            os.close(end)


def typed(person: int, text: str, program: int) -> None:
    """Type, and wait until it has come through."""
    os.write(person, text.encode())
    assert select.select([program], [], [], 5)[0]


def names(keys: Keys, among: str | set[str]) -> list[str]:
    return [key.name for key in keys.take(set(among))]


def settings_of(fd: int) -> list:
    return termios.tcgetattr(fd)


def test_keys_come_at_once_and_unechoed(terminal):
    person, program = terminal
    with Keys(program) as keys:
        assert names(keys, "sq") == []
        typed(person, "s", program)  # no Enter
        assert names(keys, "sq") == ["s"]
        assert not select.select([person], [], [], 0.05)[0], "an echo"


def test_neither_ctrl_z_nor_ctrl_s_stops_the_process_that_the_arm_hears(terminal):
    person, program = terminal
    with Keys(program) as keys:
        assert settings_of(program)[6][termios.VSUSP] == b"\0"
        typed(person, "\x13", program)
        keys.take("x")
        os.write(program, b"a line")
        assert select.select([person], [], [], 5)[0], "output is stopped"


def test_each_listener_takes_its_own_keys(terminal):
    person, program = terminal
    with Keys(program) as keys:
        typed(person, "isjq", program)
        assert names(keys, "sq") == ["s", "q"]
        assert names(keys, "ij") == ["i", "j"]
        assert names(keys, "ijsq") == []


def test_arrows_enter_and_space_have_names_and_other_sequences_are_no_letters(terminal):
    person, program = terminal
    every = {chr(code) for code in range(32, 127)} | {"up", "down", "left", "right", "enter", "space"}
    with Keys(program) as keys:
        typed(person, "\x1b[A\x1b[B\x1b[C\x1b[D\x1bOA\r\n ", program)
        assert names(keys, every) == ["up", "down", "right", "left", "up", "enter", "enter", "space"]
        typed(person, "\x1b[15~\x1bOS\x1b[1;2Ra\x1bs\x01b", program)  # F5, F4, F3 with shift, a, Alt-s, Ctrl-A, b
        assert names(keys, every) == ["a", "b"]


def test_a_sequence_in_two_parts_is_one_key_and_a_lone_escape_swallows_nothing(terminal):
    person, program = terminal
    with Keys(program) as keys:
        for part in ("\x1b", "[", "A"):
            typed(person, part, program)
            got = names(keys, {"up", "A", "["})
        assert got == ["up"]
        typed(person, "\x1b", program)
        assert names(keys, "s") == [] and names(keys, "s") == []
        typed(person, "s", program)
        assert names(keys, "s") == ["s"]
        os.write(person, "é".encode()[:1])
        assert names(keys, "é") == []
        os.write(person, "é".encode()[1:])
        assert select.select([program], [], [], 5)[0]
        assert names(keys, "é") == ["é"]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(st.sampled_from([*"ijklsfrq", "\x1b[A", "\x1b[15~", "\x1bOP", "é"]), max_size=30), data=st.data())
def test_however_typing_is_cut_the_same_keys_come(text, data):
    """Law: cut anywhere into readings, even inside a sequence or a character, the keys are the same."""
    person, program = pty.openpty()
    try:
        raw = "".join(text).encode()
        cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=8)))
        wanted = {"\x1b[A": "up", "\x1b[15~": "", "\x1bOP": ""}
        with Keys(program) as keys:
            got = []
            for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
                if raw[start:stop]:
                    os.write(person, raw[start:stop])
                    assert select.select([program], [], [], 5)[0]
                    got += names(keys, {*"ijklsfrqéOP[~15", "up"})
        assert got == [name for part in text if (name := wanted.get(part, part))]
    finally:
        os.close(person)
        os.close(program)


def test_a_key_is_no_younger_than_the_last_look(terminal):
    person, program = terminal
    clock = Wound()
    with Keys(program, clock) as keys:
        clock.time = 101.0
        keys.take("x")
        clock.time = 105.0
        typed(person, "s", program)
        clock.time = 109.0
        assert [key.since for key in keys.take("s")] == [101.0]


def test_forgotten_keys_are_gone_in_the_terminal_as_well(terminal):
    person, program = terminal
    with Keys(program) as keys:
        typed(person, "s", program)
        keys.take("x")  # s is kept
        typed(person, "q\x1b[", program)
        keys.forget()
        assert names(keys, "sq") == []
        typed(person, "f", program)
        assert names(keys, "sqf") == ["f"]


def test_keys_that_nobody_takes_do_not_pile_up(terminal):
    person, program = terminal
    with Keys(program) as keys:
        for _ in range(20):
            typed(person, "a" * 100, program)
            keys.take("s")
        assert 0 < len(keys.take("a")) < 1000


def test_what_is_no_terminal_is_refused_by_name(tmp_path, monkeypatch):
    with (tmp_path / "file").open("w+") as file, pytest.raises(UserError, match="terminal"):
        Keys(file.fileno()).__enter__()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="terminal"):
        Keys().__enter__()


def test_a_terminal_that_is_gone_is_an_error_and_not_silence(terminal):
    person, program = terminal
    with pytest.raises(UserError, match="gone"), Keys(program) as keys:
        os.close(person)
        keys.take("s")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_terminal_is_put_back_after_an_exception(terminal, error):
    _, program = terminal
    before = settings_of(program)
    with pytest.raises(error), Keys(program):
        assert settings_of(program) != before
        raise error
    assert settings_of(program) == before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


CHILD = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests may have had ignored
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from robot.teleop.keys import Keys
with Keys() as keys:
    os.write(1, b"ready")
    while True:
        keys.wait()
        keys.take("x")
"""


@pytest.mark.parametrize(
    ("how", "status"), [("ctrl-c", -signal.SIGINT), ("term", -signal.SIGTERM), ("ctrl-z, then ctrl-c", -signal.SIGINT)]
)
def test_the_terminal_is_put_back_when_the_process_is_ended(terminal, how, status):
    person, program = terminal
    before = settings_of(program)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=program,
        stdout=program,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=ROOT,
    )
    try:
        assert select.select([person], [], [], 60)[0] and os.read(person, 100) == b"ready"
        assert settings_of(program) != before
        if how == "term":
            child.send_signal(signal.SIGTERM)
        else:
            os.write(person, b"\x03" if how == "ctrl-c" else b"\x1a\x13\x03")
        assert child.wait(30) in (status, 130)
    finally:
        child.kill()
        child.wait()
    assert settings_of(program) == before


def operator_at(person: int, program: int, clock: Wound | None = None, **more) -> tuple[Keys, KeyboardOperator]:
    keys = Keys(program, clock)
    return keys, KeyboardOperator(keys, out=io.StringIO(), **more)


def test_marks(terminal):
    person, program = terminal
    keys, operator = operator_at(person, program)
    with keys:
        assert operator.mark() is None
        for key, mark in {"s": Mark.SUCCESS, "f": Mark.FAILURE, "r": Mark.REDO, "q": Mark.QUIT}.items():
            typed(person, key, program)
            assert operator.mark() is mark
            assert operator.mark() is None, "said twice"
        typed(person, "rs", program)
        assert operator.mark() is Mark.REDO


@given(st.lists(st.sampled_from(Mark), min_size=1))
def test_of_several_marks_the_most_careful_counts_in_any_order(said):
    found = most_careful(said)
    assert found is most_careful(reversed(said)) and found in said
    assert (found is Mark.SUCCESS) == (set(said) == {Mark.SUCCESS})
    assert (found is Mark.QUIT) == (Mark.QUIT in said)


def test_a_device_in_the_hand_marks_as_well(terminal):
    person, program = terminal
    said = [Mark.SUCCESS, None, Mark.FAILURE]
    keys, operator = operator_at(person, program, others=[lambda: said.pop(0)])
    with keys:
        typed(person, "r", program)
        assert operator.mark() is Mark.REDO
        assert operator.mark() is None
        assert operator.mark() is Mark.FAILURE


def answered(person: int, operator: KeyboardOperator, question: str, answers: tuple[Answer, ...], text: str) -> Answer:
    """Ask in this thread, while another types once the question is shown."""
    out = operator._out
    assert isinstance(out, io.StringIO)
    before = len(out.getvalue())

    def type_it() -> None:
        while len(out.getvalue()) == before:
            time.sleep(0.01)
        for character in text:
            os.write(person, character.encode())
            time.sleep(0.02)

    thread = threading.Thread(target=type_it)
    thread.start()
    try:
        return operator.ask(question, answers)
    finally:
        thread.join()


def test_a_question_shows_its_keys_and_waits_for_one_of_them(terminal):
    person, program = terminal
    keys, operator = operator_at(person, program)
    with keys:
        assert answered(person, operator, "the arm reports reflex", (*Answer,), "srxc") is Answer.RECOVER
        shown = operator._out.getvalue()  # type: ignore[union-attr]
        assert all(part in shown for part in ("the arm reports reflex", "[enter]", "[c]", "[q]"))
        assert operator.mark() is None, "what was typed before the answer marks no episode"
        assert answered(person, operator, "next?", (Answer.GO, Answer.QUIT), "c\r") is Answer.GO
        assert answered(person, operator, "next?", (Answer.GO, Answer.QUIT), "q") is Answer.QUIT
        with pytest.raises(ValueError):
            operator.ask("nothing?", ())


def test_nothing_typed_before_a_question_answers_it(terminal):
    person, program = terminal
    said: list[Mark | None] = [Mark.SUCCESS]
    keys, operator = operator_at(person, program, others=[lambda: said.pop() if said else None])
    with keys:
        typed(person, "\rqc", program)
        keys.take("x")  # read into the buffer, as a running episode does
        typed(person, "\rqc", program)
        assert answered(person, operator, "recover?", (*Answer,), "q") is Answer.QUIT
        assert operator.mark() is None, "the pad's mark was said before the answer"


def test_no_key_has_two_meanings():
    """Teleoperation by keyboard and the operator share a terminal; a late mark must clear no errors."""
    assert not KEYS & {*KEY_MARKS, *ANSWERS.values()}
    assert {*KEY_MARKS} & {*ANSWERS.values()} == {"q"}
    assert KEY_MARKS["q"] is Mark.QUIT and ANSWERS[Answer.QUIT] == "q"
    assert {*ANSWERS} == {*Answer} and {*KEY_MARKS.values()} == {*Mark}
