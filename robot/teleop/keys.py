"""Single keys of a terminal, at once, without X. One reader serves several listeners: operator and teleoperation.

The terminal is put back as it was whatever happens: an exception, Ctrl-C (which stays what it is), SIGTERM; only
after SIGKILL it takes a `stty sane`. While it is read, nothing is echoed, and two keys are off: Ctrl-Z, which would
suspend the process that the arm hears, and Ctrl-S, which would block it at the next line that it prints.

A terminal tells that a key goes down, and again and again while it is held (after half a second or so, 10 to 40 times a
second), never that it goes up.
"""

from __future__ import annotations

import atexit
import codecs
import os
import re
import select
import signal
import sys
import termios
import threading
from collections import deque
from collections.abc import Container
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from mpr.core.errors import UserError
from robot.hardware.clock import Clock, WallClock

NAMED = {
    "\n": "enter",
    "\r": "enter",
    " ": "space",
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
}
NAMED |= {f"\x1bO{letter}": NAMED[f"\x1b[{letter}"] for letter in "ABCD"}
SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[ -~]|\x1b[^\[O]|(?P<part>\x1b(\[[0-?]*[ -/]*|O)?\Z)|.", re.DOTALL)
_KEPT = 256  # keys that nobody asked for


@dataclass(frozen=True)
class PressedKey:
    """One press, or one repeat of a key that is held."""

    name: str  # the character, or one of NAMED
    since: float  # seconds of the clock: typed no earlier than this, when the terminal was last looked at before


class Keys(AbstractContextManager["Keys"]):
    """The keys typed at the terminal `fd`, standard input by default.

    Entering raises UserError where that is no terminal, reading where the terminal is gone. Used from one thread; the
    clock is a wall's, since that is what hands keep to.
    """

    def __init__(self, fd: int | None = None, clock: Clock | None = None) -> None:
        self.fd, self.clock = fd, clock or WallClock()
        self._saved: list[Any] | None = None
        self._typed: deque[PressedKey] = deque(maxlen=_KEPT)
        self._text, self._rest = codecs.getincrementaldecoder("utf-8")("ignore"), ""
        self._before: Any = None  # what SIGTERM did before

    def __enter__(self) -> Keys:
        try:
            self._fd = sys.stdin.fileno() if self.fd is None else self.fd
            saved = termios.tcgetattr(self._fd)
        except (termios.error, OSError, ValueError, AttributeError) as error:  # also: no standard input at all
            raise UserError(
                "keys are read from a terminal, and standard input is none: run this in a terminal"
            ) from error
        self._saved = saved
        atexit.register(self._restore)  # where an interrupt falls between here and the `with` block
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._terminated)
        raw = termios.tcgetattr(self._fd)
        raw[0] &= ~termios.IXON
        raw[3] &= ~(termios.ICANON | termios.ECHO)
        raw[6][termios.VMIN], raw[6][termios.VTIME], raw[6][termios.VSUSP] = 1, 0, b"\0"
        termios.tcsetattr(self._fd, termios.TCSANOW, raw)
        self.forget()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def take(self, names: Container[str]) -> list[PressedKey]:
        """What was typed of these keys, oldest first; others stay for whoever asks for them. Never waits."""
        self._look()
        taken = [key for key in self._typed if key.name in names]
        self._typed = deque((key for key in self._typed if key.name not in names), maxlen=_KEPT)
        return taken

    def wait(self) -> None:
        """Until something is typed."""
        select.select([self._fd], [], [])

    def forget(self) -> None:
        """Drop all that was typed until now."""
        with suppress(termios.error):  # it is gone: the next look says so
            termios.tcflush(self._fd, termios.TCIFLUSH)
        self._typed.clear()
        self._text.reset()
        self._rest, self._looked = "", self.clock.now()

    def _look(self) -> None:
        since, self._looked = self._looked, self.clock.now()
        data = b""
        if select.select([self._fd], [], [], 0)[0]:
            with suppress(OSError):
                data = os.read(self._fd, 4096)  # as much as a terminal holds
            if not data:
                raise UserError("the terminal is gone: nobody is there to mark or to stop an episode")
        text = self._rest + self._text.decode(data) if data else ""  # an Escape that nothing followed is dropped
        self._rest = ""
        for found in SEQUENCE.finditer(text):
            name = NAMED.get(found[0], found[0])
            if found["part"]:
                self._rest = found[0]
            elif name.isprintable():
                self._typed.append(PressedKey(name, since))

    def _restore(self) -> None:
        saved, self._saved = self._saved, None
        atexit.unregister(self._restore)
        if saved is None:
            return
        with suppress(termios.error):
            termios.tcflush(self._fd, termios.TCIFLUSH)  # keys for the arm are none for the shell
        with suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSANOW, saved)
        if signal.getsignal(signal.SIGTERM) == self._terminated:
            signal.signal(signal.SIGTERM, self._before)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        os.kill(os.getpid(), signal.SIGTERM)  # to whom it was for before
