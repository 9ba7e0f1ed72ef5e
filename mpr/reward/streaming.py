"""The motion reward of an episode while it happens: tracks and tokens are made as frames come.

    frame t+1 ──▶ mask ──▶ track ──▶ does the object move over t ▶ t+1? ──▶ tokens of frames t-1 and t, points to ask
                                                                                  │  kept until the episode ends
    end: T is known, and so is progress t / T ──▶ predictor, once ──▶ agreement per step

Only progress waits for the end, and it enters the points' part of the predictor alone. The figures are those of scoring
the finished episode, to float error, in a square that was fixed before the first frame and with a tracker that goes
frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameByFrameTracker, Square
from mpr.core.data.crop import cut_square
from mpr.core.data.steps import gaps_of, progress_at
from mpr.core.errors import UserError
from mpr.predictor.predicted import AskedTransition, asked_of, predicted_deltas
from mpr.reward.agreement import MOTION_THRESHOLD_PX, agreement
from mpr.reward.scoring import moves
from tracking.masks.streamed import MaskedFrame
from tracking.motion.points import Transition
from tracking.motion.segments import FollowedStep, follow_frames

if TYPE_CHECKING:
    from torch import Tensor

    from mpr.predictor.checkpoint import Predictor

_KEPT = 3  # frames: the one before, its own, and the one that it moves to
Item = TypeVar("Item")


class _Latest(Generic[Item]):
    """A source of which the last few items are there, by their number in the whole."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}
        self._length = 0

    def append(self, item: Item) -> None:
        self._items[self._length] = item
        self._items.pop(self._length - _KEPT, None)
        self._length += 1

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, t: int, /) -> Item:
        return self._items[t]


@dataclass(frozen=True)
class _Moved:
    """A transition over which the object moved."""

    t: int
    asked: AskedTransition
    tracked: NDArray[np.float32]  # [M, 2] deltas of its M object points, pixels of 256


class StreamedScore:
    """Scores one episode, frame by frame. What is kept grows by the tokens of steps that moved, and by no frame."""

    def __init__(
        self,
        predictor: Predictor,
        tracker: FrameByFrameTracker,
        crop: Square,
        rate_hz: float,
        threshold_px: float = MOTION_THRESHOLD_PX,
    ) -> None:
        """`crop` is the square to look at, in the frames' pixels; `rate_hz` what frames are asked for at."""
        if rate_hz <= 0:
            raise ValueError(f"frames come at {rate_hz} Hz: a rate is needed, so that a gap is told when it comes")
        self.predictor, self.crop, self.rate_hz, self.threshold_px = predictor, crop, rate_hz, threshold_px
        self._frames: _Latest[NDArray[np.uint8]] = _Latest()
        self._masks: _Latest[NDArray[np.bool_]] = _Latest()
        self._times: list[float] = []
        self._steps = follow_frames(tracker, self._frames, self._masks)
        self._moved: list[_Moved] = []
        self._tokens: dict[int, Tensor] = {}

    @property
    def kept_bytes(self) -> int:
        """Bytes of what is kept of the episode so far, but for a few frames."""
        asked = [one.asked for one in self._moved]
        tokens = sum(one.tokens.nbytes for one in asked)
        return tokens + sum(p.points.nbytes + p.valid.nbytes for one in asked for p in one.passes)

    def push(self, shown: MaskedFrame) -> None:
        """The next frame. Raises UserError where its time is not after the last one's."""
        if self._times and shown.time_s <= self._times[-1]:
            raise UserError(f"a frame at {shown.time_s:g} s after one at {self._times[-1]:g} s: times do not increase")
        self._frames.append(cut_square(shown.frame, self.crop))
        self._masks.append(cut_square(shown.mask, self.crop))
        self._times.append(shown.time_s)
        if len(self._times) > 1:
            self._look(next(self._steps))

    def _look(self, step: FollowedStep) -> None:
        (before, seen), (after, still) = step.before, step.after
        gaps = gaps_of(np.array(self._times[-3:]), self.rate_hz)
        step_s = self._times[-1] - self._times[-2]
        x = Transition(step.t, before, after, seen & still, self._masks, step_s, bool(gaps[-1]))
        if x.gap or not moves(x, self.threshold_px):
            return
        previous = x.t if len(gaps) < 2 or gaps[0] else x.t - 1
        tokens = self._joined(previous, x.t)
        self._moved.append(_Moved(x.t, asked_of(x, tokens, self.predictor), x.delta[x.object]))

    def _joined(self, previous: int, now: int) -> Tensor:
        """Tokens [2 S, D] of two frames; each frame is encoded once."""
        import torch

        self._tokens = {t: tokens for t, tokens in self._tokens.items() if t >= previous}
        for t in {previous, now} - self._tokens.keys():
            self._tokens[t] = self.predictor.encode(self._frames[t][None])[0]
        return torch.cat([self._tokens[previous], self._tokens[now]])

    def finish(self) -> NDArray[np.float32]:
        """The agreement [T] of the steps between the T+1 frames that came. Raises UserError for fewer than 2."""
        if len(self._times) < 2:
            raise UserError(f"an episode of {len(self._times)} frame(s) has no step to score")
        out = np.zeros(len(self._times) - 1, np.float32)
        progress = progress_at(np.array(self._times))
        told = np.array([progress[one.t] for one in self._moved], np.float32)
        predicted = predicted_deltas(self.predictor, [one.asked for one in self._moved], told)
        for one, deltas in zip(self._moved, predicted, strict=True):
            out[one.t] = agreement(deltas, one.tracked, self.threshold_px)
        return out
