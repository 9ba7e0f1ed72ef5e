"""What an action's start and stop mean, and which frames of its video they name.

A second and a frame are two names of one thing, related by the video's own stamps: never by number / nominal rate.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import NoSuchFrame

SECONDS, CLOSED = "seconds", "seconds, stop included"
NUMBERS, STAMPS = "frame numbers", "frame stamps"
MEANINGS = (SECONDS, CLOSED, NUMBERS, STAMPS)
_CLOSE = 1e-6  # seconds: what a decimal number may be off from the stamp that it names
SAME_RATE = 0.01  # rates this near are one: 60 and 59.94, 29.97 and its header's 30


@dataclass(frozen=True)
class Boundaries:
    """What start and stop mean; `check` tells whether a manifest can hold it.

    "seconds" are an annotator's: the frames whose stamp lies in [start_s, stop_s), as a player counts seconds.
    "seconds, stop included" is how manifests were read that do not say. "frame numbers" count the video's frames from
    0, or frames taken from it at `rate_hz` where that is another rate than its own; "frame stamps" are seconds from its
    first image that stand for frames, and may be half a frame off. `start` and `stop` belong to the last two.
    """

    mean: str = SECONDS
    start: float = 0
    stop: float = 0
    stop_included: bool = True
    rate_hz: float = 0.0  # at which frame numbers count; 0: the video's own

    @property
    def name_frames(self) -> bool:
        """Whether they stand for frames, not for moments."""
        return self.mean in (NUMBERS, STAMPS)

    def check(self) -> None:
        """Raises ValueError for no such meaning, and for numbers that are none of a video."""
        if self.mean not in MEANINGS:
            raise ValueError(f"boundaries mean {self.mean!r}; known: {', '.join(MEANINGS)}")
        for name in ("start", "stop", "rate_hz"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
                raise ValueError(f"boundaries: {name} is {str(value)[:20]!r}, no number of a video")
        if not isinstance(self.stop_included, bool):
            raise ValueError(f"boundaries: stop_included is {self.stop_included!r}, not true or false")
        if self.mean == NUMBERS and not (float(self.start).is_integer() and float(self.stop).is_integer()):
            raise ValueError(f"boundaries: frame numbers {self.start:g} and {self.stop:g} are not whole")
        if self.stop < self.start:
            raise ValueError(f"boundaries: {self.start:g} to {self.stop:g} is empty")

    def as_json(self) -> dict[str, Any]:
        """Without what says nothing."""
        return asdict(self) if self.name_frames else {"mean": self.mean}

    @classmethod
    def of_json(cls, values: object) -> Boundaries:
        """Raises ValueError for what is none."""
        if not isinstance(values, dict) or values.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"boundaries are {str(values)[:60]!r}, not an object that says what they mean")
        made = cls(**values)
        made.check()
        return made


BY_SECONDS = Boundaries()


def frames_of(times: NDArray[np.float64], start_s: float, stop_s: float, boundaries: Boundaries = BY_SECONDS) -> range:
    """The frames, of those with stamps `times` [T], that lie within the boundaries: maybe none.

    Seconds take the stamps in [start_s, stop_s). Boundaries that name frames take the frame of that number, or that
    with the nearest stamp; beyond the first and the last frame there is half a frame's margin. Raises
    NoSuchFrame.
    """
    at = boundaries
    if not at.name_frames:
        closed = _CLOSE if at.mean == CLOSED else -_CLOSE
        first, end = np.searchsorted(times, (start_s - _CLOSE, stop_s + closed))
        return range(int(first), max(int(first), int(end)))
    if at.mean == NUMBERS and not (at.rate_hz and differ(at.rate_hz, *_rates(times))):
        return _checked(int(at.start), int(at.stop) + at.stop_included, len(times), at)
    scale = at.rate_hz if at.mean == NUMBERS else 1.0
    first, last = (_nearest(times, value / scale) for value in (at.start, at.stop))
    return _checked(first, last + at.stop_included, len(times), at)


def differ(rate_hz: float, *others: float) -> bool:
    """Whether a rate is none of the others, where there is one."""
    return bool(others) and all(abs(rate_hz / other - 1) > SAME_RATE for other in others)


def window_text(start_s: float, stop_s: float, boundaries: Boundaries) -> str:
    """The boundaries in words."""
    at = boundaries
    if at.mean == NUMBERS:
        return f"frame {at.start:g} to {at.stop - (not at.stop_included):g}"
    return f"{at.start:g} to {at.stop:g} s" if at.mean == STAMPS else f"{start_s:g} to {stop_s:g} s"


def _rates(times: NDArray[np.float64]) -> tuple[float, ...]:
    """All that may be called the rate of these stamps, of uneven ones the mean, the usual and the nominal one (of which
    the gaps are multiples). Of one frame none."""
    if len(times) < 2:
        return ()
    gaps = np.diff(times)
    return tuple(float(1 / gap) for gap in (gaps.mean(), np.median(gaps), gaps[gaps < 1.5 * gaps.min()].mean()))


def _nearest(times: NDArray[np.float64], seconds: float) -> int:
    """The frame whose stamp is nearest, in seconds from the first. -1 and T stand for frames before and after them all,
    which a video has not: as far from their neighbours as these are from the next."""
    gaps = np.diff(times) if len(times) > 1 else np.array([math.inf])
    shown = min(gaps[-1], np.median(gaps))  # the last frame; its stamp does not say how long
    stamps = np.concatenate([[-gaps[0]], times - times[0], [times[-1] - times[0] + shown]])
    if seconds > stamps[-1] + gaps.max() / 2:
        return len(times) + 1
    right = int(np.clip(np.searchsorted(stamps, seconds), 1, len(stamps) - 1))
    nearer_left = bool(seconds - stamps[right - 1] <= stamps[right] - seconds)
    return right - 1 - nearer_left


def _checked(first: int, end: int, count: int, at: Boundaries) -> range:
    if first < 0 or first >= count or end > count:
        raise NoSuchFrame(f"{window_text(0, 0, at)} is not in the video: its {count} frames are 0 to {count - 1}")
    return range(first, max(first, end))
