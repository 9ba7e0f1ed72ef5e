"""At which rate frame numbers count, told by the seconds beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking.sources.numbering import numberings, of_one_row

RATES = [60.0, 50.0, 30.0, 25.0, 24.0, 90.0, 120.0, 15.0, 12.5, 33.0, 37.3, *(n * 1000 / 1001 for n in (24, 30, 60))]
COUNTED = {  # how numbers come of seconds times rate
    "down": np.floor,
    "nearest": np.round,
    "up": np.ceil,
    "from 1": lambda x: np.floor(x) + 1,
    "at least 1": lambda x: np.maximum(np.floor(x), 1),
}


@st.composite
def tables(draw):
    """Rows of a few videos, each with its rate: video, start, stop (seconds of two decimals), frame numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    videos, starts, stops, frames, rates = [], [], [], [], {}
    for video in range(draw(st.integers(1, 3))):
        rates[str(video)] = rate = draw(st.sampled_from(RATES))
        count = COUNTED[draw(st.sampled_from(sorted(COUNTED)))]
        start = np.round(np.sort(rng.uniform(5, 900, draw(st.integers(1, 8)))), 2)
        stop = np.round(start + rng.uniform(0.3, 20, len(start)), 2)
        videos += [str(video)] * len(start)
        starts += start.tolist()
        stops += stop.tolist()
        frames += zip(count(start * rate).tolist(), count(stop * rate).tolist(), strict=True)
    return videos, starts, stops, frames, rates


@settings(deadline=None)
@given(tables())
def test_rows_that_agree_to_a_frame_are_all_kept_and_their_rate_is_found(table):
    videos, starts, stops, frames, rates = table
    found, fits = numberings(videos, starts, stops, frames)
    assert fits.all()
    for video, rate in rates.items():
        one = found[video]
        assert one.agrees(rate) and one.rows == videos.count(video)
        longest = max(stop for stop, name in zip(stops, videos, strict=True) if name == video)
        assert abs(one.rate_hz - rate) * longest < 6  # no rate that these rows could not have
        assert not one.agrees(1.25 * rate) and not one.agrees(0.8 * rate)


@settings(deadline=None)
@given(tables(), st.data())
def test_a_row_off_by_frames_is_refused_and_no_other(table, data):
    videos, starts, stops, frames, rates = table
    if min(videos.count(video) for video in rates) < 3:
        return
    wrong = data.draw(st.integers(0, len(videos) - 1))
    off = data.draw(st.sampled_from([-1, 1])) * data.draw(st.integers(9, 500))
    first, last = frames[wrong]
    frames[wrong] = (first, max(last + off, 0)) if data.draw(st.booleans()) else (max(first + off, 0), last)
    assert np.flatnonzero(~numberings(videos, starts, stops, frames)[1]).tolist() == [wrong]


def test_what_is_not_told_contradicts_nothing():
    nan, inf = math.nan, math.inf
    told = [(1, 2, 60, 120), (1, nan, 60, 5), (nan, nan, 9, 9), (1, 2, nan, nan), (0, 0, 0, 0), (-1, 2, 7, 120),
            (inf, 2, 1, 120)]  # fmt: skip
    starts, stops, first, last = zip(*told, strict=True)
    found, fits = numberings(["v"] * len(told), starts, stops, list(zip(first, last, strict=True)))
    assert fits.all() and found["v"].rate_hz == 60
    assert numberings([], [], [], [])[0] == {}


@pytest.mark.parametrize("decimals", [0, 1])
def test_seconds_written_with_fewer_decimals_are_known_as_such(decimals):
    exact = np.random.default_rng(0).uniform(1, 500, (2, 40))
    exact[1] = exact[0] + 5
    seconds = np.round(exact, decimals)
    frames = np.round(exact * 60).T.tolist()
    found, fits = numberings(["v"] * 40, seconds[0], seconds[1], frames)
    assert fits.all() and found["v"].rate_hz == 60


def test_one_row_tells_its_rate_or_that_it_has_none():
    assert of_one_row([(20.0, 600), (28.0, 841)], 30.0) == (None, True)
    assert of_one_row([], 30.0) == (None, True)
    numbering, agree = of_one_row([(20.0, 500), (28.0, 700)], 30.0)
    assert agree and numbering is not None and numbering.rate_hz == 25 and numbering.known
    assert of_one_row([(20.0, 500), (28.0, 840)], 30.0) == (None, False)
    vague, agree = of_one_row([(0.0, 40)], 30.0)
    assert agree and vague is not None and not vague.known  # at 0 s any number is off, and none tells the rate
