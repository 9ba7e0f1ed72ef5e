"""A process beside this one that is given orders by somebody who must not wait for it.

    this process      order ── order ── order ──▶ answer
                        a thread hands them over, in their order
    beside it            work ─── work ─── work ──▶

To give an order takes no longer than to note it down, however long the work lasts. To ask for an answer waits.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from typing import Any, Self

from mpr.core.errors import UserError
from mpr.core.processes import end_with_parent, one_thread, spawn

_LEAVING_S = 5.0  # for the work to end by itself, before its process is killed


class ProcessGone(UserError):
    """The process beside this one has ended."""

    reason = "process gone"


class ProcessBeside(AbstractContextManager["ProcessBeside"]):
    """Runs `work(end, *arguments)` in a process of its own while entered: it takes orders from `end`, and answers.

    An order is a tuple; `("leave",)` is the last, at which `work` is to return.
    """

    def __init__(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        self._name, self._work, self._arguments = name, work, arguments

    def __enter__(self) -> Self:
        context = spawn()
        self._end, theirs = context.Pipe()
        arguments = (self._work, theirs, *self._arguments)
        self._process = context.Process(target=_begin, args=arguments, name=self._name, daemon=True)
        self._process.start()
        theirs.close()  # or nobody would hear that the process is gone
        self._orders: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name=self._name, daemon=True)
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.put(("leave",))
        self._orders.put(None)
        self._process.join(_LEAVING_S)
        self._process.kill()
        self._process.join()
        self._sender.join()
        self._end.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def again(self) -> None:
        """Another process in this one's place, which knows nothing of what this one was given."""
        self.__exit__()
        self.__enter__()

    def _send(self) -> None:
        """The thread that hands orders over; until there is no more, or nobody to take them."""
        while (order := self._orders.get()) is not None:
            try:
                self._end.send(order)
            except OSError:
                return

    def order(self, *order: Any) -> None:
        """Give an order, at once. What it holds must not be written to afterwards."""
        if self._sender.is_alive():
            self._orders.put(order)

    def answer(self, most_s: float | None = None) -> Any:
        """The next answer, once it is there. Raises ProcessGone where none can come, or none came in so many seconds:
        then the process is ended."""
        try:
            if most_s is not None and not self._end.poll(most_s):
                self._process.kill()
                raise ProcessGone(f"the process beside this one, {self._name}, gave no answer in {most_s:g} s")
            return self._end.recv()
        except (EOFError, OSError):
            raise ProcessGone(f"the process beside this one, {self._name}, has ended") from None


def _begin(work: Callable[..., None], end: Connection, *arguments: Any) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    one_thread()
    work(end, *arguments)
