"""Which stretch of an action becomes a clip: windows of a bearable length, and within them where the object shows."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import ObjectLost

LONGEST_CLIP_S = 30.0  # seconds: a longer action is cut into windows, so that a clip's memory has a bound
LONGEST_UNSEEN_S = 0.5  # seconds: the object may be out of sight that long within a clip (slower videos: no frame)
SHORTEST = 0.4  # seconds: what shows it for less is no clip of it


def windows(times: NDArray[np.float64], longest: float = LONGEST_CLIP_S) -> list[tuple[int, int]]:
    """Cut a clip's frames into stretches of about equal length, none longer than `longest` seconds.

    `times` [T] are seconds. Returns (first, last) frames of each, which starts on the frame on which the one before
    ends, so that no transition is lost or shown twice. A stretch has two frames at least, however far apart.
    """
    edges = [0]
    while edges[-1] < len(times) - 1:
        start = edges[-1]
        left = times[-1] - times[start]
        length = left / max(1, math.ceil(left / longest - 1e-9))
        edges.append(max(start + 1, int(np.searchsorted(times, times[start] + length + 1e-9, "right")) - 1))
    return list(pairwise(edges))


def shown_stretch(shown: NDArray[np.bool_], times: NDArray[np.float64]) -> tuple[int, int]:
    """First and last frame (inclusive) of the longest stretch that shows the object.

    It begins and ends with the object in sight and loses it for no longer than GAP seconds in between. `shown` bool [T]
    says where it is in sight, `times` [T] are seconds.

    Raises ObjectLost where that stretch is shorter than SHORTEST seconds.
    """
    at = np.flatnonzero(shown)
    if not len(at):
        raise ObjectLost("the object is in sight in no frame")
    gap = max(LONGEST_UNSEEN_S, 1.5 * float(np.median(np.diff(times)))) if len(times) > 1 else LONGEST_UNSEEN_S
    breaks = np.flatnonzero(np.diff(times[at]) > gap + 1e-9)
    firsts, lasts = at[np.concatenate([[0], breaks + 1])], at[np.concatenate([breaks, [len(at) - 1]])]
    longest = int(np.argmax(times[lasts] - times[firsts]))
    first, last = int(firsts[longest]), int(lasts[longest])
    seconds = float(times[last] - times[first])
    if first == last or seconds < SHORTEST:
        raise ObjectLost(f"the object is in sight for {seconds:.2f} s at most; {SHORTEST:g} s are needed")
    return first, last
