"""Windows of time: around point stamps, and cut to a video."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.sources.action import VideoAction
from tracking.sources.windows import ALONE, LEAST, MOST, around, fit

stamps = st.lists(st.floats(0, 1e4), max_size=8)


@given(stamps)
def test_a_stamp_lies_in_its_window_which_is_bounded_and_not_before_0(found):
    for stamp, (start, stop) in zip(found, around(found), strict=True):
        assert 0 <= start <= stamp < stop
        assert stop - stamp <= MOST + 1e-9 and stamp - start <= MOST + 1e-9
        assert stop - stamp >= LEAST - 1e-9 and (stamp - start >= LEAST - 1e-9 or start == 0)


@given(stamps, st.randoms())
def test_windows_do_not_depend_on_the_order_of_the_stamps(found, random):
    shuffled = random.sample(found, len(found))
    assert sorted(around(shuffled)) == sorted(around(found))


def test_a_window_reaches_half_way_to_its_neighbours():
    assert around([10.0, 12.0, 20.0]) == [(9.0, 11.0), (11.0, 14.0), (18.0, 22.0)]
    assert around([5.0]) == [(5 - ALONE, 5 + ALONE)]
    assert around([7.0, 7.0]) == [(6.5, 7.5)] * 2
    assert around([0.2, 50.0])[0] == (0.0, 2.2)
    assert around([float("nan"), 3.0])[1] == (2.0, 4.0) and np.isnan(around([float("nan"), 3.0])[0]).all()


ACTION = VideoAction("d", "u", Path("v.mp4"), 1.0, 3.0, "opens", ("open",), (), "l", "g")


@pytest.mark.parametrize(
    ("start", "stop", "seconds", "window", "reason"),
    [
        (1.0, 3.0, 10.0, (1.0, 3.0), None),
        (1.0, 3.0, None, (1.0, 3.0), None),
        (-1.0, 3.0, 10.0, (0.0, 3.0), "cut: starts before the video"),
        (8.0, 12.0, 10.0, (8.0, 10.0), "cut: stops after the video"),
        (2.0, 52.0, 60.0, (2.0, 52.0), "kept whole: longer than 30 s"),
        (10.0, 12.0, 10.0, None, "left out: at or beyond the video's end"),
        (-3.0, -1.0, 10.0, None, "left out: before the video's start"),
        (3.0, 3.0, 10.0, None, "left out: empty window"),
        (3.0, 1.0, None, None, "left out: empty window"),
        (float("nan"), 1.0, None, None, "left out: stamp is no number"),
        (0.0, float("inf"), 10.0, None, "left out: stamp is no number"),
    ],
)
def test_a_window_is_kept_cut_or_left_out_by_name(start, stop, seconds, window, reason):
    reasons: Counter[str] = Counter()
    entry = fit(replace(ACTION, start_s=start, stop_s=stop), seconds, 30.0, reasons)
    assert (entry and (entry.start_s, entry.stop_s)) == window
    assert reasons == Counter([reason] if reason else [])


def test_a_point_at_the_end_is_left_out_though_its_window_begins_before():
    reasons: Counter[str] = Counter()
    at_the_end = replace(ACTION, start_s=9.5, stop_s=10.5, extra={"stamp_s": 10.0})
    assert fit(at_the_end, 10.0, 30.0, reasons) is None
    assert reasons == {"left out: at or beyond the video's end": 1}
