"""Windows of time: around point stamps, and what of an annotated window lies in its video."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from mpr.core.data.boundaries import NUMBERS, Boundaries
from mpr.core.errors import NoSuchFrame
from tracking.sources.action import VideoAction
from tracking.sources.manifest import Entry, as_uid
from tracking.sources.video_info import VideoInfo
from tracking.sources.videos import between_frames, last_end

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


def widened(action: VideoAction, info: VideoInfo | None, reasons: Counter[str]) -> VideoAction | None:
    """An action whose boundaries name frames, with seconds half way from these to their neighbours; another as it is.

    None where fewer than two frames are named, or such as the video has not: counted in `reasons`.

    Raises BadVideo.
    """
    at = action.boundaries
    if not at.name_frames or not (math.isfinite(action.start_s) and math.isfinite(action.stop_s)):
        return action
    named = _named(at, info)
    if named < 2:
        reasons["left out: " + ("one frame, a transition needs two" if named == 1 else "empty window")] += 1
        return None
    try:
        between = between_frames(action.video, at, info)
    except NoSuchFrame:
        reasons["left out: frames that the video has not"] += 1
        return None
    start, stop = between or (action.start_s, action.stop_s)
    return dataclasses.replace(action, start_s=start, stop_s=stop)


def _named(at: Boundaries, info: VideoInfo | None) -> int:
    """How many frames are named; of stamps at a rate that nobody knows, two for more than one."""
    if at.stop < at.start:
        return 0
    rate = 1.0 if at.mean == NUMBERS else (info and info.rate_hz) or 0.0
    apart = round((at.stop - at.start) * rate) if rate else int(at.stop > at.start) * (2 - at.stop_included)
    return apart + at.stop_included


def end_of(action: VideoAction, info: VideoInfo | None) -> float | None:
    """Until when an action's video lasts, in seconds; None where that is unknown.

    None, too, where frames were named (`widened` saw that they are there). A header may leave out how long the last
    frame is shown: where an action stops later than that, the stamps are asked. Raises BadVideo.
    """
    if action.boundaries.name_frames or info is None or info.seconds is None:
        return None
    return last_end(action.video, info.seconds) if action.stop_s > info.seconds else info.seconds


def fit(action: VideoAction, seconds: float | None, longest: float, reasons: Counter[str]) -> Entry | None:
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
            boundaries=action.boundaries,
        )
    return None
