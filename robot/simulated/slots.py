"""The newest message from one process to another, in memory that both see: no lock, so a killed writer hangs nobody.

    slot 0  │ number, length, checksum │ message 2, 4, ... │
    slot 1  │ number, length, checksum │ message 1, 3, ... │

Written in turn, read where the number is highest and the checksum right: half of a message, whoever left it and in
whatever order another core sees it written, is never read, and the message before it still is. The memory has no name:
nothing is left of it when its processes are gone, however they went.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from multiprocessing.context import BaseContext
from typing import Any

HEADER = struct.Struct("<QQI")
_TRIES = 100  # for a reader whom the writer overtakes


class Slots:
    """The newest message of one writer, for any readers, in memory that they share.

    To be handed to a process when it is spawned. Raises ValueError for a message that is longer than `room` bytes.
    """

    def __init__(self, context: BaseContext, room: int) -> None:
        self.room = room
        self._memory = context.RawArray("B", 2 * (HEADER.size + room))
        self._number = 0

    def write(self, message: Any) -> int:
        """Its number: the first is 1."""
        stored = pickle.dumps(message, protocol=5)
        if len(stored) > self.room:
            raise ValueError(f"a message of {len(stored)} bytes; there is room for {self.room}")
        self._number += 1
        memory, start = memoryview(self._memory).cast("B"), self._start(self._number)
        body = start + HEADER.size
        memory[body : body + len(stored)] = stored
        memory[start:body] = HEADER.pack(self._number, len(stored), self._check(self._number, stored))
        return self._number

    def read(self) -> tuple[int, Any]:
        """The newest message and its number; (0, None) before there is one."""
        memory = memoryview(self._memory).cast("B")
        for _ in range(_TRIES):
            headers = [HEADER.unpack_from(memory, self._start(slot)) for slot in (0, 1)]
            for slot in sorted((0, 1), key=lambda slot: -headers[slot][0]):
                number, length, check = headers[slot]
                body = self._start(slot) + HEADER.size
                stored = bytes(memory[body : body + length]) if 0 < length <= self.room else b""
                if stored and self._check(number, stored) == check:
                    return number, pickle.loads(stored)
        return 0, None

    def _start(self, number: int) -> int:
        return (number % 2) * (HEADER.size + self.room)

    def _check(self, number: int, stored: bytes) -> int:
        return zlib.crc32(stored, zlib.crc32(number.to_bytes(8, "little")))
