"""How long steps are, and which of them are gaps: one rule for clips, episodes and demonstrations.

    frames   0 . 1 . 2 . . . . . . . . 3 . 4      a step longer than 1.5 usual ones is a gap: a stall, a rate that
    steps      0   1         2           3        varies, a late beat, idle steps taken out

A gap keeps its place and its true length, but what happened over it is not what happens in a step: it gives no sample
to learn from and enters no figure. The frame before one that follows a gap is not one step old, so each stretch
between gaps begins as the first one does. Stamps are the truth: where a video repeats an image instead of coming
late, nothing here can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

_LONGEST = 1.5  # usual steps: what lasts longer is a gap
_ROUNDING = 1e-6  # of a step: what lasts exactly so long is none, however its stamps were rounded in memory
EVEN = 1e-9  # of the whole time: stamps this near to even ones are even


class Spacing(TypedDict):
    """What there is to say of how frames follow each other."""

    gaps: int
    longest_gap_s: float  # 0 without one
    mean_rate_hz: float  # measured: steps, gaps included, over the whole time


def gaps_of(times: NDArray[np.float64], rate_hz: float = 0.0) -> NDArray[np.bool_]:
    """Which of the T steps between frames at `times` [T+1] (seconds, increasing) are gaps.

    A usual step is 1 / `rate_hz`, the rate that the frames were taken or re-timed at; 0: nobody said, the median step.
    """
    steps = np.diff(times)
    if not len(steps):
        return np.zeros(0, bool)
    usual = 1 / rate_hz if rate_hz > 0 else float(np.median(steps))
    return steps > _LONGEST * usual * (1 + _ROUNDING)


def progress_at(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """[T+1] Time since the first of `times` [T+1] over the whole time; t / T to the last bit where stamps are even."""
    even = np.arange(len(times)) / (len(times) - 1)
    true = (times - times[0]) / (times[-1] - times[0])
    return even if np.abs(true - even).max() < EVEN else true


def stretch_around(gaps: NDArray[np.bool_], t: int) -> tuple[int, int]:
    """First and last frame (inclusive) of the stretch without a gap [T] that frame t lies in."""
    ends = np.flatnonzero(gaps)  # the last frame of each stretch but the last
    k = int(np.searchsorted(ends, t))
    return int(ends[k - 1]) + 1 if k else 0, int(ends[k]) if k < len(ends) else len(gaps)


def spacing(*timed: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> Spacing:
    """Gaps, the longest of them, and the mean rate, over clips (or episodes), each its times [T+1] and gaps [T]."""
    seconds = sum(float(times[-1] - times[0]) for times, _ in timed)
    lengths = np.concatenate([np.zeros(0), *(np.diff(times)[gaps] for times, gaps in timed)])
    return {
        "gaps": len(lengths),
        "longest_gap_s": float(lengths.max(initial=0.0)),
        "mean_rate_hz": sum(len(gaps) for _, gaps in timed) / seconds if seconds > 0 else 0.0,
    }


def spacing_in(figures: Mapping[str, float]) -> Spacing:
    """The same, from among other figures."""
    gaps, longest, mean = (figures[name] for name in ("gaps", "longest_gap_s", "mean_rate_hz"))
    return {"gaps": int(gaps), "longest_gap_s": longest, "mean_rate_hz": mean}


def spacing_summary(found: Spacing) -> str:
    """The same in words."""
    mean, gaps = f"{found['mean_rate_hz']:.4g} Hz on average", found["gaps"]
    if not gaps:
        return f"{mean}, no gap"
    return f"{mean}, {gaps} gap{'s of up to' if gaps > 1 else ' of'} {found['longest_gap_s']:.3g} s"
