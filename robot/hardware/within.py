"""Calls into a device's library that may never come back: a deadline for one, a thread for one made again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises; TimeoutError where it takes longer. Its thread is then left to itself."""
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised.pop()  # kept here, it would keep itself, and with its frames the device, alive
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return found[0]


class Newest(Generic[T]):
    """The newest answer of a call that waits for its device, without waiting.

    A thread makes the call again and again. None means that nothing is new. An exception ends the thread: the device is
    gone, and whoever asks for the newest answer from then on is told so by that exception.
    """

    def __init__(self, call: Callable[[], T | None], name: str) -> None:
        self._call = call
        self._newest: T | None = None
        self._error: BaseException | None = None
        self._some = threading.Event()  # an answer, or an error
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, seconds: float) -> None:
        """Wait for the first answer. Raises what the call raises, or TimeoutError."""
        self._thread.start()
        if not self._some.wait(seconds):
            self._enough.set()
            raise TimeoutError(f"nothing within {seconds:g} s")
        self.get()

    def get(self) -> T:
        if self._error is not None:
            raise self._error.with_traceback(None)
        assert self._newest is not None, "asked before it was started"
        return self._newest

    def stop(self, seconds: float = 2.0) -> None:
        """Make no further call, and wait for the one under way; not beyond so many seconds."""
        self._enough.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._enough.is_set():
            try:
                answer = self._call()
            except BaseException as error:
                self._error = error
                self._some.set()
                return
            if answer is not None:
                self._newest = answer
                self._some.set()
