"""Laws of windows and of stretches in which the object shows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.errors import ObjectLost
from tracking.trim import GAP, LONGEST, SHORTEST, shown_stretch, windows


@given(st.floats(0, 1e5), st.floats(0.1, 1e4))
def test_windows_tile_the_stretch_and_none_is_too_long(start: float, length: float) -> None:
    found = windows(start, start + length)
    assert found[0][0] == start and found[-1][1] == pytest.approx(start + length)
    assert all(a[1] == b[0] for a, b in pairwise(found))
    lengths = [b - a for a, b in found]
    assert max(lengths) <= LONGEST + 1e-6 and max(lengths) - min(lengths) < 1e-6
    assert len(found) <= length / LONGEST + 1, "no more windows than it takes"


@given(st.lists(st.booleans(), min_size=2, max_size=80), st.integers(5, 30))
def test_a_stretch_shows_the_object_at_both_ends_and_is_the_longest(shown: list[bool], rate: int) -> None:
    at, times = np.array(shown), np.arange(len(shown)) / rate

    def whole(first: int, last: int) -> bool:
        """By the definition, gap by gap."""
        seen = [t for t in range(first, last + 1) if at[t]]
        gaps = [times[b] - times[a] for a, b in pairwise(seen)]
        return bool(at[first] and at[last]) and all(gap <= GAP + 1e-9 for gap in gaps)

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
