"""Which frames to take: of a video or a clip re-timed by true stamps to a lower rate, of a stretch of a video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.boundaries import BY_SECONDS, Boundaries, frames_of, window_text
from mpr.core.data.steps import gaps_of
from mpr.core.errors import UserError

RATE_TOLERANCE = 0.05  # frames that come at a rate this near to the one asked for are taken as they are


def comes_at(times: NDArray[np.float64], rate_hz: float) -> bool:
    """Whether frames at `times` [T] pass for frames at that rate: on average, gaps left out, their steps are its."""
    steps = np.diff(times)[~gaps_of(times, rate_hz)]
    return len(steps) > 0 and bool(abs(1 / (steps.mean() * rate_hz) - 1) < RATE_TOLERANCE)


def retimed_frames(times: NDArray[np.float64], rate_hz: float) -> NDArray[np.intp]:
    """Indices of the frames at `times` [T] (seconds, increasing) that show them at `rate_hz`: increasing, none twice.

    The frame nearest in time to each tick, so that uneven stamps stay honest: times[picked] are the frames' own. No
    frame is made up, and none repeated: a stall stays one step of its true length. All frames where they come at that
    rate already.
    """
    if comes_at(times, rate_hz):
        return np.arange(len(times))
    first, last = times[0], times[-1]
    ticks = first + np.arange(int((last - first) * rate_hz + 1e-6) + 1) / rate_hz
    right = np.searchsorted(times, ticks).clip(1, len(times) - 1)
    nearer_left = ticks - times[right - 1] <= times[right] - ticks
    return np.unique(np.where(nearer_left, right - 1, right))


def own_rate(times: NDArray[np.float64]) -> float:
    """Hertz at which frames come, gaps or not: of the median step between `times` [T] seconds."""
    return float(1 / np.median(np.diff(times)))


def too_slow(own_hz: float, times: NDArray[np.float64], rate_hz: float) -> bool:
    """Whether frames at `times` [T] seconds, of a rate of their own, are too few for another."""
    return own_hz < (1 - RATE_TOLERANCE) * rate_hz and not comes_at(times, rate_hz)


def pick_frames(
    times: NDArray[np.float64], start_s: float, stop_s: float, rate_hz: float, boundaries: Boundaries = BY_SECONDS
) -> NDArray[np.intp]:
    """Indices [N] of the frames within the boundaries (`frames_of`), re-timed (`retimed_frames`).

    `times` [T] are seconds; `rate_hz` 0 takes each frame. Raises UserError where the stretch holds fewer than two
    frames, or has fewer frames than the rate asks for.
    """
    inside = np.asarray(frames_of(times, start_s, stop_s, boundaries), np.intp)
    stretch, length = window_text(start_s, stop_s, boundaries), f"{len(times)} frames, {times[-1]:.2f} s"
    if len(inside) < 2:
        raise UserError(f"{stretch} holds {len(inside)} frame(s), two are needed; there is {length}")
    if rate_hz == 0:
        return inside
    native = own_rate(times[inside])
    if too_slow(native, times[inside], rate_hz):
        raise UserError(f"rate {rate_hz:g} Hz is above the video's own {native:.4g} Hz: ask for less, or 0 for its own")
    picked = inside[retimed_frames(times[inside], rate_hz)]
    if len(picked) < 2:
        raise UserError(f"{stretch} at {rate_hz:g} Hz is {len(picked)} frame(s), two are needed")
    return picked
