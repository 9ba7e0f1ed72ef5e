"""At which rate a table's frame numbers count: found from the seconds that stand beside them, no video opened.

EPIC-KITCHENS numbers the frames of its 2018 videos as if there were 60 a second, whatever theirs is. The seconds are
taken; frame numbers only tell whether a row agrees with itself and with the other rows of its video.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRAME = 1.5  # numbers begin at 0 or 1, and are rounded in any way
ROUNDED = 0.005  # seconds: of a time with two decimals
COARSER, ENOUGH = (0.5, 0.05), 16  # of whole seconds and tenths, where as many different times have no more decimals
USUAL = (60, 50, 30, 25, 24, 120, 100, 90, 48, 20, 15, 12.5, 12, 10, 5, *(n * 1000 / 1001 for n in (60, 30, 24, 48)))
ORDER = np.arange(len(USUAL)) / len(USUAL)  # of two with as many votes, the more usual one

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Numbering:
    """How the frame numbers of a video's rows count: at which rates they agree with the seconds, to a frame.

    They do at any rate from `low_hz` to `high_hz`.
    """

    low_hz: float
    high_hz: float
    rate_hz: float  # the usual one among these
    rows: int

    def agrees(self, rate_hz: float) -> bool:
        """Whether they may count the frames of a video of this rate."""
        return self.low_hz <= rate_hz <= self.high_hz

    @property
    def known(self) -> bool:
        """Whether the rows tell the rate, to a few percent: one at 0 s does not."""
        return self.high_hz <= 1.1 * self.low_hz


def spans(seconds: Floats, frames: Floats, rounded_s: float = ROUNDED) -> tuple[Floats, Floats]:
    """Lowest and highest rate at which frame numbers agree with seconds, to a frame: [rows]. NaN agrees with all."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low = np.maximum((frames - FRAME) / (seconds + rounded_s), 0)
        high = np.where(seconds > rounded_s, (frames + FRAME) / (seconds - rounded_s), math.inf)
    unknown = ~(np.isfinite(seconds) & np.isfinite(frames) & (seconds >= 0))
    return np.where(unknown, 0, low), np.where(unknown, math.inf, high)


def numberings(
    videos: Sequence[str], starts_s: Sequence[float], stops_s: Sequence[float], frames: ArrayLike
) -> tuple[dict[str, Numbering], NDArray[np.bool_]]:
    """Of a table's rows (`frames` [rows, 2]): how the frame numbers of each video count, and which rows [rows] agree:
    those with some rate that is within a frame of the one common to most of their video's rows. NaN stands for what a
    row does not say."""
    seconds = np.array([starts_s, stops_s], np.float64)
    numbers = np.array(frames, np.float64).reshape(-1, 2).T
    lows, highs = spans(seconds, numbers, _rounded(seconds))
    low, high = lows.max(0), highs.min(0)
    votes = np.array([np.count_nonzero((low <= rate) & (rate <= high)) for rate in USUAL])
    places: dict[str, list[int]] = {}
    for k, video in enumerate(videos):
        places.setdefault(video, []).append(k)
    fits = low <= high
    found = {}
    for video, at in places.items():
        rows = np.array(at)
        saying = rows[fits[rows] & (low[rows] > 0)]
        if not len(saying):
            continue
        least, most = _common(low[saying], high[saying], votes)
        fits[rows] &= (low[rows] <= most) & (high[rows] >= least)
        found[video] = Numbering(least, most, _usual(least, most, votes), int(np.count_nonzero(fits[saying])))
    return found, fits


def _rounded(seconds: Floats) -> float:
    """How far times may be off that are written with so many decimals."""
    times = np.unique(seconds[np.isfinite(seconds)])
    coarse = (r for r in COARSER if np.allclose(np.round(times / (2 * r)) * 2 * r, times, rtol=0, atol=1e-6))
    return next(coarse, ROUNDED) if len(times) >= ENOUGH else ROUNDED


def _common(low: Floats, high: Floats, votes: NDArray[np.int_]) -> tuple[float, float]:
    """The rates that most of the spans hold; of several such, those that the table's other rows hold, too."""
    if low.max() <= high.min():
        return float(low.max()), float(high.min())
    begins, ends = np.sort(low), np.sort(high)
    held = np.searchsorted(begins, begins, side="right") - np.searchsorted(ends, begins, side="left")
    most = [(float(b), float(high[(low <= b) & (high >= b)].min())) for b in np.unique(begins[held == held.max()])]
    return max(most, key=lambda span: max(np.where(_inside(*span), votes - ORDER, -math.inf)))


def _inside(low: float, high: float) -> NDArray[np.bool_]:
    return (np.array(USUAL) >= low) & (np.array(USUAL) <= high)


def _usual(low: float, high: float, votes: NDArray[np.int_]) -> float:
    """The rate to call it by: the usual one that most of the table's rows agree with, else a whole number, else the
    middle."""
    if (inside := _inside(low, high)).any():
        return float(USUAL[int(np.argmax(np.where(inside, votes - ORDER, -math.inf)))])
    middle = (low + high) / 2 if math.isfinite(high) else low
    return float(round(middle)) if low <= round(middle) <= high else round(middle, 3)


def of_one_row(pairs: Sequence[tuple[float, float]], rate_hz: float) -> tuple[Numbering | None, bool]:
    """How one row's frame numbers count where that is not at `rate_hz`, and whether they agree with its seconds at all.

    `pairs` are the row's (seconds, frame number). The second is whether there is any rate at which they agree.
    """
    if all(abs(frame - rate_hz * at_s) <= FRAME + ROUNDED * rate_hz for at_s, frame in pairs):
        return None, True
    seconds, frames = np.array(pairs, np.float64).T
    low, high = spans(seconds, frames)
    least, most = float(low.max()), float(high.min())
    if least > most:
        return None, False
    return Numbering(least, most, _usual(least, most, np.zeros(len(USUAL), int)), 1), True
