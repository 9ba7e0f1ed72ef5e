"""Which stretches of a clip do not show its object, in seconds and in words: nothing is learnt from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from tracking.masks.lost import BLINK, stretches

_MOST = 3  # stretches named on a line


def frames_showing(clip: TrackedClip) -> NDArray[np.bool_]:
    """Whether each frame's mask shows the object [T], however little of it: a mask that let go of it is empty."""
    return np.array([clip.masks[t].any() for t in range(len(clip.times))])


def unseen(shows: NDArray[np.bool_], times: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Stretches (from, to), in seconds, of at least BLINK seconds without the object.

    Each goes from the first frame that does not show it to the next that does, or to the last of all. `shows` bool [T]
    says which frames show it, `times` [T] are seconds.
    """
    return [(float(times[a]), float(times[min(b + 1, len(times) - 1)])) for a, b in unseen_frames(shows, times)]


def unseen_frames(shows: NDArray[np.bool_], times: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The stretches of `unseen` as their first and last frames that do not show the object (inclusive)."""
    last = len(times) - 1
    return [(a, b) for a, b in stretches(~shows) if b == last or times[b + 1] - times[a] >= BLINK - 1e-9]


def visibility_summary(clip: TrackedClip) -> dict[str, Any]:
    """What a clip's summary says of the stretches that do not show its object.

    `lost_share` of its frames, `lost_stretches_s`, and where there are any, also the second `lost_from_s` of the first
    and in `lost_advice` what to do.
    """
    shows, times = frames_showing(clip), clip.times
    found = unseen(shows, times)
    out: dict[str, Any] = {"lost_share": float(1 - shows.mean()), "lost_stretches_s": found}
    if found:
        out |= {"lost_from_s": found[0][0], "lost_advice": _advice(shows, times)}
    return out


def in_words(said: Mapping[str, Any], last_s: float) -> str:
    """A line on the stretches of a summary whose clip ends at `last_s`; empty where the object is seen throughout."""
    found = said.get("lost_stretches_s", ())
    if not found:
        return ""
    spans = [f"from {a:.2f} s {'to the end' if b >= last_s else f'to {b:.2f} s'}" for a, b in found[:_MOST]]
    more = f" and {len(found) - _MOST} times more" if len(found) > _MOST else ""
    share = f"{100 * said['lost_share']:.0f} % of the frames, from which nothing is learnt"
    return f"the object is not seen {', '.join(spans)}{more} ({share}): {said['lost_advice']}"


def _advice(shows: NDArray[np.bool_], times: NDArray[np.float64]) -> str:
    ways = ["draw a box on a later frame (--box, --box_frame)", "find it by name (mpr track --manifest, --masks)"]
    seen = [(first, last) for first, last in stretches(shows) if first < last]  # a clip of one frame is none
    if seen:
        first, last = max(seen, key=lambda run: times[run[1]] - times[run[0]])
        start = [f"--start {times[first - 1 : first + 1].mean():.3f}"] if first else []
        stop = [f"--stop {times[last : last + 2].mean():.3f}"] if last < len(times) - 1 else []
        ways.insert(0, f"track only what shows it (mpr track {' '.join(start + stop)}, another --out)")
    return ", or ".join(ways)
