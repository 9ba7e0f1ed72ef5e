"""`StreamedScore` in a process of its own, beside whoever takes the frames: to give it one never waits.

    control path     begin ── frame ── frame ── ... ── finish ──▶ rewards [T]
                       │        │        │                ▲
    this process       mask, track, tokens; the predictor at the end

Whatever goes wrong in the process is told at `finish`, and the next episode
begins anew: the episode itself is not the worse for it, and can be scored afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpr.core.beside import ProcessBeside
from mpr.core.data.clip import Square
from mpr.core.errors import UserError, in_brief
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from tracking.trackers.registry import LUCAS_KANADE

if TYPE_CHECKING:
    from mpr.predictor.checkpoint import Predictor

Result = TypeVar("Result")
_WARM_PX = 64  # pixels a side
_FINISHING_S = 120.0  # for what is left of an episode: many times what it takes


@dataclass(frozen=True)
class StreamedObject:
    """What to follow in the frames of one camera, the same for all episodes."""

    box: tuple[float, float, float, float]  # x0, y0, x1, y1 around it on an episode's first frame, pixels
    crop: Square  # to look at, in the frames' pixels
    rate_hz: float  # that frames are asked for at
    tracker: str = LUCAS_KANADE  # one that goes frame by frame
    motion_threshold_px: float = MOTION_THRESHOLD_PX


class StreamingReward(ProcessBeside):
    """The motion reward of episodes that are still going on. One episode at a time; the process lives while entered.

    `remark`: what is to be said of it, as that the predictor was trained at another rate; empty: nothing.
    """

    def __init__(self, predictor: Path | Predictor, followed: StreamedObject) -> None:
        """`predictor`: run folder of `mpr train`, read in the process, or one that is loaded already."""
        super().__init__("streaming reward", _follow, predictor, followed)
        self._episode = -1

    def __enter__(self) -> Self:
        """Raises what loading the predictor raised, as a UserError."""
        super().__enter__()
        try:
            self.remark: str = self._result(-1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def begin(self) -> None:
        """An episode begins; what was given of another one is forgotten."""
        self._episode += 1
        self.order("begin")

    def frame(self, image: NDArray[np.uint8], time_s: float) -> None:
        """The next frame [H, W, 3] and its time, at once. The image must not be written to afterwards."""
        self.order("frame", image, time_s)

    def finish(self) -> NDArray[np.float32]:
        """The agreement [T] of the steps between T+1 frames. Raises UserError with what went wrong there."""
        self.order("finish", self._episode)
        return self._result(self._episode, _FINISHING_S)

    def _result(self, wanted: int, most_s: float | None = None) -> Any:
        """The process' answer to an order. Raises UserError where it failed, ProcessGone where it is gone."""
        while True:
            episode, found, failed = self.answer(most_s)
            if episode == wanted:  # another was of an episode that nobody waited for
                break
        if failed:
            raise UserError(failed)
        return found


def _follow(end: Connection, predictor: Path | Predictor, followed: StreamedObject) -> None:
    """The process: until it is told to leave."""
    try:
        episodes = _Episodes(predictor, followed)
    except UserError as error:
        return end.send((-1, None, str(error)))
    end.send((-1, episodes.remark, ""))
    while (order := end.recv())[0] != "leave":
        what, *rest = order
        if what == "begin":
            episodes.begin()
        elif what == "frame":
            episodes.frame(*rest)
        else:
            end.send((*rest, *episodes.finish()))


class _Episodes:
    """One episode after another; of each, the first thing that went wrong."""

    def __init__(self, predictor: Path | Predictor, followed: StreamedObject) -> None:
        from mpr.core.data.clip import FrameByFrameTracker
        from mpr.predictor.predicted import rate_remark
        from tracking.trackers.registry import make_tracker

        self._predictor, self._followed = _loaded(predictor), followed
        tracker = make_tracker(followed.tracker)
        if not isinstance(tracker, FrameByFrameTracker):
            raise UserError(
                f"tracker '{followed.tracker}' looks at later frames: while an episode goes on there is none"
            )
        self._tracker = tracker
        self.remark = rate_remark("the camera", followed.rate_hz, self._predictor)
        self._warm_up()
        self.begin()

    def _warm_up(self) -> None:
        """Score a little episode of noise that moves: the first prediction of a process takes longer than others."""
        from mpr.reward.streaming import StreamedScore
        from tracking.masks.streamed import MaskedFrame

        score = StreamedScore(self._predictor, self._tracker, Square(-0.5, -0.5, _WARM_PX), self._followed.rate_hz)
        noise = np.random.default_rng(0).integers(0, 255, (_WARM_PX, _WARM_PX, 3)).astype(np.uint8)
        everywhere = np.ones((_WARM_PX, _WARM_PX), bool)
        for t in range(3):
            score.push(MaskedFrame(np.roll(noise, 3 * t, axis=1), everywhere, t / self._followed.rate_hz))
        score.finish()

    def begin(self) -> None:
        from mpr.reward.streaming import StreamedScore
        from tracking.masks.streamed import StreamedMasks

        at = self._followed
        self._masks = StreamedMasks(at.box)
        self._score = StreamedScore(self._predictor, self._tracker, at.crop, at.rate_hz, at.motion_threshold_px)
        self._failed = ""

    def frame(self, image: NDArray[np.uint8], time_s: float) -> None:
        if not self._failed:
            self._try(lambda: self._push(self._masks.push(image, time_s)))

    def _push(self, shown: Sequence[Any]) -> None:
        for one in shown:
            self._score.push(one)

    def finish(self) -> tuple[NDArray[np.float32] | None, str]:
        """The rewards, or what went wrong."""
        found = None
        if not self._failed:
            self._try(lambda: self._push(self._masks.end()))
        if not self._failed:
            found = self._try(self._score.finish)
        return found, self._failed

    def _try(self, work: Callable[[], Result]) -> Result | None:
        try:
            return work()
        except Exception as error:  # whatever a library makes of a strange frame: the next episode begins anew
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {in_brief(error)}"
            self._failed = f"not scored while it went on: {said}"


def _loaded(predictor: Path | Predictor) -> Predictor:
    if not isinstance(predictor, Path):
        return predictor
    from mpr.core.checkpoints import refuse_unfinished
    from mpr.predictor.checkpoint import load_predictor

    refuse_unfinished(predictor, "mpr train")
    return load_predictor(predictor)
