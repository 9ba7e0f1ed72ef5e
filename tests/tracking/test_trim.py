"""Laws of windows and of stretches in which the object shows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpr.core.errors import ObjectLost
from tracking.clips.trim import LONGEST_UNSEEN_S, SHORTEST, shown_stretch, windows


@given(st.lists(st.floats(0.01, 40), min_size=1, max_size=200), st.floats(1, 60))
def test_windows_show_each_transition_once_and_none_is_too_long(steps: list[float], longest: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(steps)])
    found = windows(times, longest)
    assert found[0][0] == 0 and found[-1][1] == len(times) - 1
    assert all(a[1] == b[0] for a, b in pairwise(found)) and all(a < b for a, b in found)
    for first, last in found:
        assert times[last] - times[first] <= longest + 1e-6 or last == first + 1


def test_windows_are_about_equal_and_no_more_than_it_takes() -> None:
    assert windows(np.arange(301) / 10.0) == [(0, 300)], "just as long as may be"
    assert windows(np.arange(302) / 10.0) == [(0, 150), (150, 301)]
    assert len(windows(np.arange(6001) / 10.0)) == 20


@given(st.lists(st.booleans(), min_size=2, max_size=80), st.integers(5, 30))
def test_a_stretch_shows_the_object_at_both_ends_and_is_the_longest(shown: list[bool], rate: int) -> None:
    at, times = np.array(shown), np.arange(len(shown)) / rate

    def whole(first: int, last: int) -> bool:
        """By the definition, gap by gap."""
        seen = [t for t in range(first, last + 1) if at[t]]
        gaps = [times[b] - times[a] for a, b in pairwise(seen)]
        return bool(at[first] and at[last]) and all(gap <= LONGEST_UNSEEN_S + 1e-9 for gap in gaps)

    seconds = [times[b] - times[a] for a in range(len(at)) for b in range(a, len(at)) if whole(a, b)]
    if max(seconds, default=0) < SHORTEST:
        with pytest.raises(ObjectLost):
            shown_stretch(at, times)
    else:
        first, last = shown_stretch(at, times)
        assert whole(first, last) and times[last] - times[first] == max(seconds)


def test_stamps_count_and_not_frames() -> None:
    """Ten frames within a second, then one after two more: the last is too far from the others."""
    times = np.array([*np.arange(10) / 10, 3.0])
    assert shown_stretch(np.ones(11, bool), times) == (0, 9)


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.5])
def test_a_slow_video_is_no_series_of_gaps(rate: float) -> None:
    times = np.arange(12) / rate
    assert shown_stretch(np.ones(12, bool), times) == (0, 11)
    assert shown_stretch(np.arange(12) != 4, times) == (5, 11), "one frame without it is a gap there"
