"""Which start each episode plays. A start is a number: it decides how an episode begins, in every environment alike.

    demonstration   0 to 9,999
    training        10,000 to 499,999
    evaluation      500,000 to 699,999     for choosing anything
    report          700,000 to 999,999     used once

`reset(seed=s)` plays start s. Each later reset draws from the stream of (s, role, number of the instance): starts of
the role that end in the same two digits as s, none twice, in the order that s and role give; the number says where in
it to begin. When all of these were played, those of two other digits follow. Vector environments seed theirs s, s + 1,
s + 2, ...: a hundred of them meet no start twice until one has played its first 4,900, eight until one has played
39,000.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import secrets
import weakref
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError

SEEDS_BY_ROLE = {
    "demonstration": range(0, 10_000),
    "training": range(10_000, 500_000),
    "evaluation": range(500_000, 700_000),
    "report": range(700_000, 1_000_000),
}
FIRST_SEED = SEEDS_BY_ROLE["training"].start
SELECTION = SEEDS_BY_ROLE["evaluation"].start

LANES = 100  # last two digits; every role's range is whole hundreds
STRIDE = 37  # from one lane to the next: eight neighbours leave each other's alone for eight rounds
GOLDEN = (5**0.5 - 1) / 2  # its multiples lie far apart, modulo 1, however many there are

_taken: weakref.WeakValueDictionary[tuple[int | None, str, int], Starts] = weakref.WeakValueDictionary()


def learners_start(seed: int) -> int:
    """The first start of a learner's environments: its seed where that is one to practise on.

    For seeds below, which are demonstrations' starts, one of training's, 49 apart.
    """
    apart = len(SEEDS_BY_ROLE["training"]) // FIRST_SEED
    return seed if seed >= FIRST_SEED else FIRST_SEED + apart * seed


class Starts:
    """The starts of one environment. `start` is the one being played.

    number: tells environments that were seeded alike from each other. Without one it is counted: how many others of
    this process, not closed and in use, draw after the same seed in the same role; and the process's own number among
    its parent's children. Never seeded, the stream comes from the system's entropy; environments of one program, its
    child processes included, then get other digits each.

    Raises UserError for a role that does not exist.
    """

    def __init__(self, role: str = "training", number: int | None = None) -> None:
        if role not in SEEDS_BY_ROLE:
            raise UserError(f"no role '{role}' of an environment; there is {', '.join(SEEDS_BY_ROLE)}")
        self.role, self.number = role, number
        self.start = -1
        self.seed: int | None = None  # asked for
        self._stream: tuple[int, int] | None = None  # seed and number of the stream, once something was drawn from it
        self._drawn, self._process, self._again = 0, os.getpid(), False
        self._practised = False  # whether a step was made from this start
        self._began: int | None = None  # a demonstration's start, practised before this one was drawn

    def numbered(self, number: int) -> None:
        """Draw, after the next seed, as the environment of that number."""
        self.close()
        self.number, self._stream = number, None

    def close(self) -> None:
        """Its number is free for another."""
        for key in [key for key, one in _taken.items() if one is self]:
            del _taken[key]

    def begin(self, seed: int | None) -> int:
        """The start that `reset(seed=seed)` plays."""
        self._began = None
        if seed is not None and not (self._again and int(seed) == self.start):
            if int(seed) != self.seed:
                self.close()
                self.seed, self._stream = int(seed), None
            self.start, self._drawn = int(seed), 0
        elif not self._again:
            if self.role == "training" and self._practised and self.start in SEEDS_BY_ROLE["demonstration"]:
                self._began = self.start
            self.start = self._draw()
        self._again = self._practised = False
        return self.start

    def practise(self) -> None:
        """A step is made from this start.

        To look at any start, and to play those that are asked for one by one, is free. Raises UserError where training
        that draws its starts began with one of demonstrations': it was seeded so.
        """
        if self._began is not None:
            raise UserError(
                f"training was seeded with {self._began}, a demonstration's start (0 to {FIRST_SEED - 1:,}): seed it "
                f"with {FIRST_SEED:,} or more, or ask for role='demonstration'"
            )
        self._practised = True

    def _draw(self) -> int:
        if self._stream is None or self._process != os.getpid():  # a copy in another process has a stream of its own
            self.close()
            self._stream, self._process = self._new_stream(), os.getpid()
        seed, number = self._stream
        lane = len(SEEDS_BY_ROLE[self.role]) // LANES
        turn, at = divmod(self._drawn + (seed in SEEDS_BY_ROLE[self.role]), lane)  # its own start is played already
        order = _order(seed, self.role, turn)
        self._drawn += 1
        return int(order[(at + int(lane * (number * GOLDEN % 1))) % len(order)])

    def _new_stream(self) -> tuple[int, int]:
        number = self._counted() if self.number is None else self.number
        if self.seed is not None:
            return self.seed, number
        key = multiprocessing.current_process().authkey  # of the system's entropy, the same in all child processes
        return LANES * secrets.randbelow(2**40) + (int.from_bytes(key[:8]) + number) % LANES, number

    def _counted(self) -> int:
        """The lowest number that no other environment in use has."""
        if self.seed is not None and (self.seed, self.role, 0) in _taken:
            gc.collect()  # one that nobody uses does not count, whenever Python would notice that nobody does
        number = next(n for n in itertools.count() if (self.seed, self.role, n) not in _taken)
        _taken[self.seed, self.role, number] = self
        return number + STRIDE * _process_number()

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on with the present start, as JSON values."""
        return {"start": self.start, "seed": self.seed, "stream": self._stream, "drawn": self._drawn}

    def upcoming(self) -> dict[str, Any]:
        """`state()` of the start that is practised next: the present one until a step is made from it."""
        if not self._practised:
            return self.state()
        drawn = self._drawn
        start = self._draw()
        found = {**self.state(), "start": start}
        self._drawn = drawn
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """The next reset plays the start of that state, and those after it what would have come then."""
        self.close()
        self.start, self.seed, self._process = int(state["start"]), state["seed"], os.getpid()
        self._drawn, self._again, self._practised = int(state["drawn"]), True, False
        self._stream = None if state["stream"] is None else (int(state["stream"][0]), int(state["stream"][1]))

    def __getstate__(self) -> dict[str, Any]:
        """A copy is another environment, with a number of its own."""
        return {**self.__dict__, "_stream": None}


class InTurn(Starts):
    """Starts one after another, from the one that was asked for: for who keeps a range of starts to itself."""

    def _draw(self) -> int:
        return self.start + 1 if self.start >= 0 else SEEDS_BY_ROLE[self.role].start

    def state(self) -> dict[str, Any]:
        return super().state() | {"seed": None, "stream": None, "drawn": 0}  # the start says all


class OwnStarts:
    """What an environment with starts of its own offers to who looks after several."""

    starts: Starts

    def number_instance(self, number: int) -> str:
        """Tell it its number (Starts.numbered). Returns its role."""
        self.starts.numbered(number)
        return self.starts.role

    def resume_starts(self, state: dict[str, Any]) -> None:
        """Go on where `starts.state()` was told."""
        self.starts.restore(state)


_forked: tuple[
    tuple[tuple[int, ...], int], ...
] = ()  # each fork this process comes of: the parent's identity, a number
_forks = 0  # made by this process


def _identity() -> tuple[int, ...]:
    """Its number among its parent's children, and so on, as multiprocessing counts them."""
    return getattr(multiprocessing.current_process(), "_identity", ())


def _count_fork() -> None:
    global _forks
    _forks += 1


def _be_forked() -> None:
    global _forks, _forked
    _forks, _forked = 0, (*_forked, (_identity(), _forks))  # multiprocessing gives its child a number later


os.register_at_fork(before=_count_fork, after_in_child=_be_forked)


def _process_number() -> int:
    """0 in the main process; in a child its number among its parent's children, however it was started."""
    known = [*(identity for identity, _ in _forked), _identity()]
    bare = [number for (before, number), after in zip(_forked, known[1:], strict=True) if before == after]
    identity = (*_identity(), *(-number for number in bare))  # children that multiprocessing does not know of
    return reduce(lambda number, child: STRIDE * number + child, identity, 0)


@lru_cache(maxsize=64)
def _order(seed: int, role: str, turn: int) -> NDArray[np.int64]:
    """The starts of one turn, in the order of (seed, role): those of a pair of last digits, the seed's own left out."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, list(SEEDS_BY_ROLE).index(role), turn)))
    lane = (seed + STRIDE * turn) % LANES
    order = rng.permutation(np.arange(SEEDS_BY_ROLE[role].start + lane, SEEDS_BY_ROLE[role].stop, LANES))
    return order[order != seed] if turn == 0 else order
