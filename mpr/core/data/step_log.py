"""What was noted of an episode step by step: what the guard did, when things were measured and sent, what was late.

A step's note has T rows, a view's T+1. What nobody noted is None, or has no name in a mapping. Times are seconds of the
episode's own clock, that of `Episode.times`; what a device said may be NaN: an episode is not lost for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import BadClip, OddLengths

# Kinds of numbers of each note.
PER_STEP = {"held": "U", "met": "U", "idle": "b", "led": "b", "sent_s": "fiu", "late_s": "fiu", "missed": "iu"}
PER_STEP |= {"reward": "fiu"}
PER_VIEW = {"state_s": "fiu", "joints_rad": "fiu", "stale": "b", "frame_s": "fiu"}
MAPPED = ("stale", "frame_s")
AND = ", "  # between what is named of one step


@dataclass(frozen=True, eq=False)
class StepLog:
    """Arrays of T steps or T+1 views; `Episode` holds them to its own length."""

    held: NDArray[np.str_] | None = None  # [T] why the arm was held and nothing was sent; "" where it was sent
    met: NDArray[np.str_] | None = None  # [T] limits that what was sent had to keep, joined by ", "; "" for none
    idle: NDArray[np.bool_] | None = None  # [T] whoever led the arm asked for nothing
    led: NDArray[np.bool_] | None = None  # [T] a hand had taken over from the policy
    sent_s: NDArray[np.float64] | None = None  # [T] when it was sent
    late_s: NDArray[np.float64] | None = None  # [T] how long after its deadline the step ended
    missed: NDArray[np.int64] | None = None  # [T] deadlines that passed unused before its own
    reward: NDArray[np.float64] | None = None  # [T] the environment's own
    state_s: NDArray[np.float64] | None = None  # [T+1] when the state was measured
    joints_rad: NDArray[np.float64] | None = None  # [T+1, J]
    stale: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # camera, or "state" -> [T+1] it was too old
    frame_s: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # camera -> [T+1] when it was taken

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is noted, by name, [T, ...] or [T+1, ...]; a camera's as "frame_s/world"."""
        found: dict[str, NDArray[Any]] = {}
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            found |= {f"{name}/{key}": value[key] for key in sorted(value)} if name in MAPPED else {name: value}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> StepLog:
        """The log that `arrays` are of, [T, ...] or [T+1, ...] by name: the other way round.

        Raises ValueError for a name that is none.
        """
        made: dict[str, Any] = {}
        for name, array in arrays.items():
            note, slash, key = name.partition("/")
            if note not in (*PER_STEP, *PER_VIEW) or bool(slash) != (note in MAPPED):
                raise ValueError(f"nothing is noted as '{name}'")
            made[note] = {**made.get(note, {}), key: array} if slash else array
        return cls(**made)

    def unsent(self, steps: int) -> NDArray[np.bool_]:
        """Which of an episode's steps were held, so that nothing was sent: [T]."""
        return np.zeros(steps, bool) if self.held is None else self.held != ""

    def check(self, steps: int) -> None:
        """Raises OddLengths for what is not of an episode of so many steps, BadClip for what is of another kind."""
        for name, array in self.arrays.items():
            note = name.partition("/")[0]
            kinds, rows = (PER_STEP[note], steps) if note in PER_STEP else (PER_VIEW[note], steps + 1)
            if array.ndim != (2 if note == "joints_rad" else 1) or array.dtype.kind not in kinds:
                raise BadClip(f"episode: what is noted of {name}, {array.shape} {array.dtype}, is of another kind")
            if len(array) != rows:
                raise OddLengths(f"episode: {steps} actions need {rows} notes of {name}, got {len(array)}")


def count_texts(texts: NDArray[np.str_] | None) -> dict[str, int]:
    """How often each thing is named in the steps [T] of `StepLog.held` or `StepLog.met`."""
    return dict(Counter(one for text in ([] if texts is None else texts.tolist()) if text for one in text.split(AND)))
