"""Windows of time: around point stamps, and what of an annotated window lies in its video."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tracking.sources.action import Action
from tracking.sources.manifest import Entry, as_uid

# A narration of Ego4D has one stamp. Its window reaches half way to the narrations before and after it, at least
# LEAST and at most MOST seconds each way; ALONE where the video has no other.
LEAST, MOST, ALONE = 0.5, 2.0, 1.0


def around(stamps: Sequence[float]) -> list[tuple[float, float]]:
    """A window for each of one video's stamps (seconds, in any order), none before 0 of a stamp that is not.

    The first and last reach as far out as in. Where a stamp is NaN or infinite, so is its window.
    """
    order = sorted((i for i, stamp in enumerate(stamps) if math.isfinite(stamp)), key=lambda i: stamps[i])
    gaps = [min(max((stamps[b] - stamps[a]) / 2, LEAST), MOST) for a, b in pairwise(order)] or [ALONE]
    windows = [(math.nan, math.nan)] * len(stamps)
    for k, i in enumerate(order):
        before, after = gaps[max(k - 1, 0)], gaps[min(k, len(gaps) - 1)]
        windows[i] = max(stamps[i] - before, min(stamps[i], 0.0)), stamps[i] + after
    return windows


def fit(action: Action, seconds: float | None, longest: float, reasons: Counter[str]) -> Entry | None:
    """The action as an entry, its window cut to a video of `seconds` (None: unknown), or None where nothing is left.

    What was left out or cut is counted in `reasons`. Windows over `longest` seconds are counted, and kept whole.
    Raises ValueError, the field's name first, where a text or the video's name is not fit for a manifest.
    """
    start, stop = action.start_s, action.stop_s
    end = math.inf if seconds is None else seconds
    if not (math.isfinite(start) and math.isfinite(stop)):
        reasons["left out: stamp is no number"] += 1
    elif stop <= start:
        reasons["left out: empty window"] += 1
    elif stop <= 0:
        reasons["left out: before the video's start"] += 1
    elif action.extra.get("stamp_s", start) >= end:
        reasons["left out: at or beyond the video's end"] += 1
    else:
        noted = {
            "cut: starts before the video": start < 0,
            "cut: stops after the video": stop > end,
            f"kept whole: longer than {longest:g} s": min(stop, end) - max(start, 0.0) > longest,
        }
        reasons.update(reason for reason, so in noted.items() if so)
        return Entry(
            dataset=action.dataset,
            uid=as_uid(action.uid),
            video=str(action.video),
            start_s=max(start, 0.0),
            stop_s=min(stop, end),
            narration=action.narration,
            verb=action.verbs[0] if action.verbs else "",
            noun=action.nouns[0] if action.nouns else "",
            licence=action.licence,
            group=action.group,
            extra=action.extra,
        )
    return None
