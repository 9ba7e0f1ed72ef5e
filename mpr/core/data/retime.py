"""Which frames of a video to take: a stretch of it, at its own rate or re-timed by true stamps to a lower one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking.errors import UserError


def pick_frames(times: NDArray[np.float64], start_s: float, stop_s: float, rate_hz: float) -> NDArray[np.intp]:
    """Indices of the frames in start_s .. stop_s (inclusive), increasing; `rate_hz` 0 takes every frame.

    Otherwise the frame nearest in time to each tick, so that uneven stamps stay honest: times[picked] are the frames'
    own. Raises UserError where the stretch holds fewer than two frames, or has fewer frames than the rate asks for.
    """
    inside = np.flatnonzero((times >= start_s - 1e-6) & (times <= stop_s + 1e-6))
    length = f"{len(times)} frames, {times[-1]:.2f} s"
    if len(inside) < 2:
        raise UserError(f"{start_s:g} to {stop_s:g} s holds {len(inside)} frame(s), two are needed; there is {length}")
    if rate_hz == 0:
        return inside
    native = 1 / np.median(np.diff(times[inside]))
    if rate_hz > 1.01 * native:
        raise UserError(f"rate {rate_hz:g} Hz is above the video's own {native:.4g} Hz: ask for less, or 0 for its own")
    first, last = times[inside[0]], times[inside[-1]]
    ticks = first + np.arange(int((last - first) * rate_hz + 1e-6) + 1) / rate_hz
    right = np.searchsorted(times[inside], ticks).clip(1, len(inside) - 1)
    nearer_left = ticks - times[inside[right - 1]] <= times[inside[right]] - ticks
    picked = np.unique(inside[np.where(nearer_left, right - 1, right)])
    if len(picked) < 2:
        raise UserError(f"{start_s:g} to {stop_s:g} s at {rate_hz:g} Hz is {len(picked)} frame(s), two are needed")
    return picked
