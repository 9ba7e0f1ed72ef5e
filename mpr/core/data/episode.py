"""Episode: T actions, and T+1 of everything seen. A robot's attempt, a demonstration, a simulator's: all are this.

    state_0 --executed_0--> state_1 --executed_1--> ... --executed_T-1--> state_T
    frame_0                 frame_1                                      frame_T

What led to the next state is `executed_actions`, always. Beside them stands what they came from, as far as there was
such a thing: a base policy, a residual on it, a teacher. `episode_folder` writes and reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource
from mpr.core.data.scene import SceneRecording
from mpr.core.data.step_log import StepLog
from mpr.core.data.steps import gaps_of
from mpr.core.errors import BadClip, OddLengths

_SEEN = ("states", "times")  # T+1 rows
OPTIONAL = ("base_actions", "residual_actions", "teacher_actions")  # T rows, or None
EPISODE_ARRAYS = (*_SEEN, "executed_actions", *OPTIONAL)
LONGEST_S = 1e6  # seconds, of an attempt: eleven days

Numbers = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Episode:
    """T actions between T+1 states, times and frames.

    Raises OddLengths where they are not so many, BadClip for NaN and what else no episode holds.
    """

    states: Numbers  # [T+1, S]
    times: NDArray[np.float64]  # [T+1] seconds
    executed_actions: Numbers  # [T, A] what was really carried out
    terminated: bool
    truncated: bool
    success: bool
    base_actions: Numbers | None = None  # [T, A] of a base policy
    residual_actions: Numbers | None = None  # [T, A] on top of it, before the residual scale
    teacher_actions: Numbers | None = None  # [T, A] what a teacher wanted, before noise was added
    frames: Mapping[str, FrameSource] = field(default_factory=dict)  # camera -> T+1 frames; may be empty
    recording: SceneRecording | None = None  # T+1 frames
    log: StepLog = field(default_factory=StepLog)
    seed: int | None = None  # of its start, or its number in the data set it came from
    task: str = ""  # what it shows, to which end; empty: nobody said
    rate_hz: float = 0.0  # what its steps were meant to come at; 0: what its recording says, or nobody did
    about: Mapping[str, Any] = field(default_factory=dict)  # what else is known of it: kind, view, ...; JSON values

    def __post_init__(self) -> None:
        self._check_actions()
        self._check_lengths()
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                first = np.argwhere(~np.isfinite(array))[0][0]
                raise self._refusal(f"{name} holds NaN or infinity, first at step {first}")
        if not (np.diff(self.times) > 0).all() or self.times[-1] - self.times[0] > LONGEST_S:
            raise self._refusal(f"its times do not increase, or last more than {LONGEST_S:.0e} s")
        if not 0 <= self.rate_hz < np.inf:
            raise self._refusal(f"its rate is {self.rate_hz} Hz")
        for camera in self.frames:
            if not camera.isidentifier():
                raise self._refusal(f"a camera cannot be called '{camera}': only letters, digits and _")

    def _check_actions(self) -> None:
        for name, array in self.arrays.items():
            axes = 1 if name == "times" else 2
            if array.ndim != axes or array.dtype.kind not in "fiu":
                raise self._refusal(f"{name} {array.shape} {array.dtype} is no array of numbers with {axes} axes")
        executed = self.executed_actions.shape
        for name in OPTIONAL:
            if name in self.arrays and self.arrays[name].shape != executed:
                kind = OddLengths if len(self.arrays[name]) != len(self) else BadClip
                raise self._refusal(f"{name} {self.arrays[name].shape}, executed {executed}", kind)

    def _check_lengths(self) -> None:
        steps = len(self)
        if steps == 0:
            raise self._refusal("it is empty: no action", OddLengths)
        lengths = {name: len(getattr(self, name)) for name in _SEEN}
        lengths |= {f"frames of camera {camera}": len(frames) for camera, frames in self.frames.items()}
        lengths |= {"recorded frames": len(self.recording)} if self.recording is not None else {}
        for what, length in lengths.items():
            if length != steps + 1:
                raise self._refusal(f"{steps} actions need {steps + 1} {what}, got {length}", OddLengths)
        self.log.check(steps)

    def _refusal(self, why: str, kind: type[BadClip] = BadClip) -> BadClip:
        return kind(f"episode{'' if self.seed is None else f' {self.seed}'}: {why}")

    def __len__(self) -> int:
        return len(self.executed_actions)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those of its arrays that it has, by name, [T, ...] or [T+1, ...]; its log has more."""
        return {name: getattr(self, name) for name in EPISODE_ARRAYS if getattr(self, name) is not None}

    @cached_property
    def gaps(self) -> NDArray[np.bool_]:
        """[T] Which steps are gaps (`mpr.core.data.steps`): late beats, stalls, those after which idle ones were cut.
        They keep their place, with agreement 0, and a replay buffer leaves them out."""
        return gaps_of(self.times, self.asked_rate_hz)

    @property
    def asked_rate_hz(self) -> float:
        """What its steps were meant to come at: as it says, else as its recording does; 0 where neither does."""
        return self.rate_hz or (self.recording.rate_hz if self.recording is not None else 0.0)
