"""What can go wrong beside a session that learns: its learner, its reward, its disk, and a hand that takes over."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from robot.learning import kept
from robot.learning.config import SessionConfig
from robot.learning.session import HAND_EVENT
from robot.recording import recorder
from robot.teleop.device import OPEN, Wish
from robot.teleop.operator import Mark
from robot.teleop.takeover import Takeover

if TYPE_CHECKING:
    from mpr.reward.streaming_process import StreamingReward
    from robot.faults.learning import LearningCase
    from robot.learning.session import LearningSession

LEARNER_PART, REWARD, DISK = "learner", "reward", "disk"
UNPLUGGED = "the device is unplugged"
_WRITING_S = 2.0  # for a checkpoint to be begun
_HELD_STEPS = 5  # that a hand asks for something
_BOX = (26 / 128, 43 / 128, 89 / 128, 82 / 128)  # around the microwave's door, in shares of the camera's image


def untrained_reward(config: SessionConfig) -> StreamingReward:
    """The motion reward of a predictor that was never trained, in its process: what it says does not matter here."""
    from mpr.predictor.checkpoint import Predictor
    from mpr.predictor.model import MotionModel
    from mpr.predictor.predicted import untrained_predictor
    from mpr.predictor.sizes import PREDICTOR_SIZES
    from mpr.reward.streaming_process import StreamedObject, StreamingReward
    from robot.learning.signal import square_of

    size = PREDICTOR_SIZES["tiny"]
    predictor = untrained_predictor(Predictor(MotionModel(size), size, {"rate_hz": config.rate_hz}), 0)
    x0, y0, x1, y1 = (round(share * config.size) for share in _BOX)
    square = square_of((x0, y0, x1, y1), (config.size, config.size))
    return StreamingReward(predictor, StreamedObject((x0, y0, x1, y1), square, config.rate_hz))


class Injection:
    """One fault, from the begin of its episode to its end. The counts are those of before."""

    def __init__(
        self,
        case: LearningCase,
        session: LearningSession,
        *,
        events: int,
        episodes: int,
        commands: int,
        broken: int,
        lines: int,
        shown: int,
    ) -> None:
        self.case, self.session = case, session
        self.events, self.episodes, self.commands, self.broken = events, episodes, commands, broken
        self.lines, self.shown = lines, shown  # that the operator heard; characters on the screen
        self.happened = False
        self._undo: list[Callable[[], object]] = []
        if case.part == HAND_EVENT:
            hand = Takeover(FaultyHand(case.kind, self), lambda text: session.tell(HAND_EVENT, text), back_s=0.3)
            session.env.hand = hand
            self._undo.append(lambda: setattr(session.env, "hand", None))
        begin = {
            "killed as it is given one": lambda: self._after(session.learner, "add", self._kill_learner),
            "killed as it writes": lambda: self._after(session.learner, "add", self._kill_as_it_writes),
            "killed as it is asked": lambda: self._before(session.signal, "of", self._kill_reward),
            "no room for what is learned from": lambda: self._before(kept, "atomic_path", self._no_room),
            "no room for the episode": lambda: self._before(recorder, "save_episode", self._no_room),
        }.get(case.kind)
        if begin is not None:
            begin()

    def at_step(self, step: int) -> None:
        """Step `step` of the episode, from 1 on, is about to be decided."""
        self.step = step
        at = {"killed in an episode": self.case.step, "killed as it learns": 1}.get(self.case.kind)
        if step == at:
            (self._kill_learner if self.case.part == LEARNER_PART else self._kill_reward)()

    def undo(self) -> None:
        """The episode is over: what was put in the way is taken out of it."""
        for undone in self._undo:
            undone()
        self._undo.clear()

    def _before(self, holder: Any, name: str, do: Callable[[], object]) -> None:
        self._put(holder, name, lambda whole, args: (do(), whole(*args))[1])

    def _after(self, holder: Any, name: str, do: Callable[[], object]) -> None:
        self._put(holder, name, lambda whole, args: (whole(*args), do())[0])

    def _put(self, holder: Any, name: str, call: Callable[[Any, Any], Any]) -> None:
        """In place of a method, once."""
        whole = getattr(holder, name)

        def put_back() -> None:
            setattr(holder, name, whole)

        def calling(*args: Any) -> Any:
            put_back()
            return call(whole, args)

        setattr(holder, name, calling)
        self._undo.append(put_back)

    def _no_room(self) -> None:
        self.happened = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _kill_learner(self) -> None:
        os.kill(self.session.learner.pid, signal.SIGKILL)
        self.happened = True

    def _kill_reward(self) -> None:
        os.kill(self.session.signal.streaming.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        self.happened = True

    def _kill_as_it_writes(self) -> None:
        """As soon as something is there that was not, beside the checkpoints; in a thread: this one waits for it."""
        folder, learner = self.session.learner_config.out / "checkpoints", self.session.learner
        before = set(os.listdir(folder))

        def kill() -> None:
            until = time.monotonic() + _WRITING_S
            while set(os.listdir(folder)) == before and time.monotonic() < until:
                time.sleep(0.0005)
            self.happened = set(os.listdir(folder)) != before
            os.kill(learner.pid, signal.SIGKILL)

        self._killing = threading.Thread(target=kill)
        self._killing.start()
        self._undo.append(self._killing.join)


class FaultyHand:
    """A device that takes over for some steps from its fault's step on, and asks for what nobody should."""

    about = "a faulty device"

    def __init__(self, kind: str, injection: Injection) -> None:
        self.kind, self.injection = kind, injection
        self._reads = 0

    def __enter__(self) -> FaultyHand:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def read(self) -> Wish:
        self._reads += 1
        late = self._reads - self.injection.case.step
        nothing = Wish(np.zeros(3), np.zeros(3), OPEN)
        if late < 0 or (late >= _HELD_STEPS and self.kind != "never lets go"):
            return nothing
        self.injection.happened = True
        if self.kind == "unplugged":
            asked = Wish(np.ones(3), np.zeros(3), OPEN)
            return asked if late < 2 else Wish(np.zeros(3), np.zeros(3), OPEN, UNPLUGGED)
        much = {"not a number": np.nan, "huge": 1e9, "to and fro": (-1.0) ** late}.get(self.kind, 1.0)
        return Wish(np.full(3, much), np.full(3, much), OPEN)

    def rest(self) -> None:
        self._reads = 0

    def mark(self) -> Mark | None:
        return None
