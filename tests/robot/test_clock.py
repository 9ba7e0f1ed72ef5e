"""The pace, on a clock that is wound by hand."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.hardware.clock import Pace, WallClock, collect_now
from tests.toy_arm import ToyClock

WORKS = st.lists(st.one_of(st.floats(0, 0.09), st.floats(0, 0.5), st.sampled_from([0.1, 0.2, 0.3])), max_size=60)


@given(st.floats(-1e6, 1e6), WORKS)
def test_deadlines_are_absolute_and_every_one_is_counted(start: float, works: list[float]) -> None:
    clock = ToyClock(start)
    pace = Pace(clock, 10)
    passed = overruns = 0
    for work in works:
        clock.advance(work)
        asked = clock.now()
        beat = pace.wait()
        passed += 1 + beat.missed
        overruns += asked > beat.due
        assert beat.due == pytest.approx(start + passed * 0.1, abs=1e-6)  # lateness does not add up
        assert beat.woke == clock.now() == max(asked, beat.due)
        assert beat.late < 0.1 + 1e-6  # never behind by a whole period: no burst to catch up
        assert beat.busy == pytest.approx(work, abs=1e-6)
    assert pace.overruns == overruns


def test_work_within_its_period_never_drifts() -> None:
    clock = ToyClock(3.0)
    pace = Pace(clock, 10)
    for _ in range(6000):
        clock.advance(0.07)
        beat = pace.wait()
        assert beat.missed == 0 and beat.late == 0
    assert clock.now() == pytest.approx(603.0, abs=1e-9)
    assert pace.overruns == 0


def test_an_overrun_by_hand() -> None:
    clock = ToyClock()
    pace = Pace(clock, 10)
    clock.advance(0.13)  # over the first deadline
    beat = pace.wait()
    assert (beat.due, beat.woke, beat.missed) == pytest.approx((0.1, 0.13, 0))
    assert beat.late == pytest.approx(0.03)
    beat = pace.wait()  # and back in time with the second
    assert (beat.due, beat.woke, beat.missed) == pytest.approx((0.2, 0.2, 0))
    clock.advance(0.35)  # over 0.3, 0.4 and 0.5
    beat = pace.wait()
    assert (beat.due, beat.woke, beat.missed) == pytest.approx((0.5, 0.55, 2))
    assert pace.overruns == 2


def test_who_comes_at_a_deadline_gets_that_one() -> None:
    clock = ToyClock()
    pace = Pace(clock, 10)
    for periods in range(2, 40):  # 3 · 0.1 / 0.1 is less than 3 in floating point, for some
        pace.restart()
        clock.sleep_until(clock.now() + periods * 0.1)
        assert pace.wait().missed == periods - 1


def test_after_a_restart_the_next_deadline_is_a_period_away() -> None:
    clock = ToyClock()
    pace = Pace(clock, 10)
    clock.advance(7.03)
    pace.wait()
    pace.restart()
    assert pace.overruns == 0
    assert pace.wait().due == pytest.approx(7.13)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_what_is_no_pace(rate: float) -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace(ToyClock(), rate)


def test_the_wall_clock_sleeps_until_and_not_after_what_has_passed() -> None:
    clock = WallClock()
    deadline = clock.now() + 0.01
    clock.sleep_until(deadline)
    assert clock.now() >= deadline
    clock.sleep_until(deadline - 100)


def test_what_becomes_garbage_in_an_episode_goes_before_the_next() -> None:
    class Knot:
        itself: object = None

    knot = Knot()
    knot.itself, seen = knot, weakref.ref(knot)
    try:
        collect_now()
        assert gc.get_freeze_count() > 10_000 and seen() is knot, "what is there is left out of collections"
        del knot
        gc.collect()
        assert seen() is not None
        collect_now()
        assert seen() is None
    finally:
        gc.unfreeze()
