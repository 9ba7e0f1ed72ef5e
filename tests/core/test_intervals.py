"""Intervals: they cover what they say, over clips and over training runs, and nothing is certain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from mpr.core.report.intervals import (
    SIGNED,
    UNIT_RANGE,
    Interval,
    difference_of_ratios,
    difference_over_runs,
    mean,
    mean_over_runs,
    probability_of_improvement,
    quotient_of_ratios,
    ratio,
    success_rate,
)
from tests.interval_coverage import CASES, RUN_SDS, RUNS, START_SDS, SUCCESS, of_improvement, over_clips, over_runs

Array = NDArray[np.float64]


def has_none(interval: Interval) -> bool:
    return bool(np.isnan(interval.low) and np.isnan(interval.high))


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("run_sd", RUN_SDS)
@pytest.mark.parametrize("start_sd", START_SDS)
def test_intervals_over_runs_cover_the_truth(start_sd, run_sd, runs):
    """Red: single episodes counted twice (0.99 at three runs), starts left out (0.83 at ten)."""
    covered = np.mean([over_runs(500, start_sd, run_sd, success, runs) for success in SUCCESS], 0)
    assert np.all((covered > 0.935) & (covered < 0.983)), covered  # a standard error is 0.005


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, (0.2, 0.12, 0.5, 12), (0.2, 0.12, 0.5, 20)], ids=str)
def test_intervals_over_runs_cover_the_truth_93_to_98_times_in_100(case):
    covered = over_runs(10_000, *case, seed=1)
    assert min(covered) > 0.93 and max(covered) < 0.983, covered  # a standard error is 0.0015 to 0.002


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("agreement", [0.3, 0.9])
def test_intervals_over_few_clips_cover_the_truth(agreement, n):
    """Red: the percentile bootstrap, 0.77 to 0.84 at five clips."""
    one, difference = over_clips(600, n, agreement, 8, 0.5)
    assert one > 0.91 and difference > 0.92  # a standard error is 0.009


def test_the_chance_of_a_better_run_is_covered_and_three_runs_against_three_show_nothing():
    assert min(of_improvement(400, runs, chance) for runs in (3, 5, 10) for chance in (0.5, 0.9)) > 0.93
    apart = probability_of_improvement([0.9, 0.8, 0.7], [0.1, 0.2, 0.3])
    assert apart.value == 1 and apart.low < 0.5 and apart.high == 1  # 2 of the 20 orders are as extreme
    assert probability_of_improvement([0.1, 0.2, 0.3], [0.9, 0.8, 0.7]).high == pytest.approx(1 - apart.low, abs=1e-6)
    assert probability_of_improvement([1, 2], [1, 2]).value == 0.5  # equal ones count half
    fixed = probability_of_improvement([0.9, 0.8, 0.7], [0.5])
    assert fixed == success_rate([1, 1, 1])
    assert has_none(probability_of_improvement([0.9], [0.5]))
    for one, other in (([np.nan, 0.9], [0.1, 0.2]), ([0.9, 0.8], [np.nan]), ([np.nan], [0.5])):
        assert np.isnan(probability_of_improvement(one, other).value)  # not below, as comparing would have it


def test_each_component_counts_once():
    rng = np.random.default_rng(0)
    runs, starts = 4, 4000
    episodes = (rng.random((runs, starts)) < 0.5).astype(float)  # no run and no start is better than another
    got = mean_over_runs(episodes)
    alone = 1.645 * np.sqrt(0.25 / (runs * starts))
    assert alone * 0.99 <= (got.high - got.low) / 2 <= 3.2 * np.sqrt(episodes.mean(1).var(ddof=1) / runs) + 1.2 * alone
    shared = np.repeat(rng.random((1, starts)) < 0.5, runs, 0).astype(float)  # a start decides, whatever the run
    got, one = mean_over_runs(shared), success_rate(shared[0])
    assert got.low == pytest.approx(one.low, abs=1e-4) and got.high == pytest.approx(one.high, abs=1e-4)
    other = shared.copy()
    other[:, :40] = 1 - other[:, :40]
    assert np.ptp([difference_over_runs(shared, other).low, difference_over_runs(shared, other).high]) < 0.01


def test_runs_that_happen_to_agree_are_no_certainty():
    agreed = np.stack([np.roll(np.arange(100) >= 7, 30 * run) for run in range(3)]).astype(float)
    agreed[2, np.flatnonzero(agreed[2] == 0)[0]] = 1  # 0.93, 0.93, 0.94
    got = mean_over_runs(agreed)
    assert got.low < 0.93 - 0.022 and got.high > 0.93 + 0.018  # of 300 episodes Wilson's are 0.90 and 0.95
    assert difference_over_runs(agreed, agreed[:, ::-1]).high > 0.03


def test_runs_are_not_paired_and_a_single_one_is_a_fixed_thing():
    rng = np.random.default_rng(1)
    a, b = ((rng.random((5, 80)) < p).astype(float) for p in (0.6, 0.4))
    assert difference_over_runs(a, b) == difference_over_runs(a, b[::-1])
    turned = difference_over_runs(b, a)
    got = difference_over_runs(a, b)
    assert (turned.low, turned.high) == pytest.approx((-got.high, -got.low))
    over_base = difference_over_runs(a, b[:1])
    assert got.high - got.low > 0.1 and over_base.value == pytest.approx(float(a.mean() - b[0].mean()))
    paired = difference_over_runs(a[:1], b[:1])  # two policies, the same starts
    each = a[0] - b[0]
    half = 1.99045 * each.std(ddof=1) / np.sqrt(80)
    assert (paired.low, paired.high) == pytest.approx((each.mean() - half, each.mean() + half), abs=1e-4)


def test_one_value_has_no_interval_and_says_so():
    for one in (mean([0.3]), mean([0.3], UNIT_RANGE), success_rate([1]), ratio([1], [2]), mean_over_runs([[1]])):
        assert has_none(one) and one.n == 1
    assert str(mean([0.3])) == "0.30 (n = 1: no interval)"
    assert has_none(mean_over_runs([[1], [0], [1]])) and has_none(difference_over_runs([[1], [0]], [[1]]))
    assert has_none(ratio([1, 0, 0], [2, 0, 0]))  # one of three has all the weight
    assert has_none(difference_of_ratios(([1, 2], [3, 4]), ([1], [2])))
    assert not mean([0.3]).above(mean([0.1, 0.1], UNIT_RANGE))


def test_nothing_moved_is_nan_and_not_a_number_that_looks_like_one():
    for nothing in (ratio(np.zeros(5), np.zeros(5)), mean([]), success_rate([])):
        assert np.isnan(nothing.value) and has_none(nothing) and str(nothing) == "–"


def test_values_that_are_all_alike_are_no_certainty():
    for value in (0.0, 0.3, 1.0):
        for n in (2, 10, 100):
            got = mean([value] * n, UNIT_RANGE)
            assert got.value == pytest.approx(value)
            assert got.low < value or value == 0
            assert got.high > value or value == 1
    exact = binomtest(0, 10).proportion_ci(method="exact")
    assert mean([0.0] * 10, UNIT_RANGE).high == pytest.approx(exact.high)
    assert mean([-1.0] * 10, SIGNED).high == pytest.approx(2 * exact.high - 1)
    assert has_none(mean([0.7] * 10))  # of what can be anything, likeness says nothing
    wilson = binomtest(0, 100).proportion_ci(method="wilson")
    assert success_rate([0] * 100).high == pytest.approx(wilson.high)
    assert mean_over_runs(np.zeros((3, 100))).high == pytest.approx(wilson.high)
    same = difference_over_runs(np.ones((3, 100)), np.ones((3, 100)))
    assert (same.low, same.high) == pytest.approx((-wilson.high, wilson.high))
    worst = difference_over_runs(np.zeros((3, 100)), np.ones((2, 100)))
    assert (worst.low, worst.high) == pytest.approx((-1, -1 + 2 * wilson.high))


@given(st.integers(2, 6), st.integers(2, 30), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 0.97, 1.0]))
def test_success_over_runs_stays_within_what_can_be_and_is_never_a_point(runs, starts, seed, p):
    rng = np.random.default_rng(seed)
    a, b = ((rng.random((runs, starts)) < p).astype(float) for _ in range(2))
    one, two = mean_over_runs(a), difference_over_runs(a, b)
    assert 0 <= one.low <= one.value + 1e-9 and one.value - 1e-9 <= one.high <= 1 and one.high - one.low > 1e-3
    assert -1 <= two.low <= two.value + 1e-9 and two.value - 1e-9 <= two.high <= 1 and two.high - two.low > 1e-3


@given(st.integers(2, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_a_figure_with_bounds_stays_within_them(n, seed, alike):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(1, n)
    share = np.full(n, rng.choice([0.0, 0.4, 1.0])) if alike else rng.beta(0.3, 0.1, n)
    got = ratio(share * weights, weights, UNIT_RANGE)
    assert 0 <= got.low <= got.value + 1e-9 and got.value - 1e-9 <= got.high <= 1 and got.high > got.low
    difference = difference_of_ratios((share, np.ones(n)), (1 - share, np.ones(n)), UNIT_RANGE)
    assert -1 - 1e-9 <= difference.low <= difference.high <= 1 + 1e-9


def test_a_figure_out_of_its_bounds_is_an_error():
    with pytest.raises(ValueError, match="cannot be"):
        mean([1.5, 1.6], UNIT_RANGE)


def test_ratio_is_of_sums_and_not_the_mean_of_ratios():
    got = ratio(np.array([1.0, 0.0]), np.array([9.0, 1.0]))
    assert got.value == pytest.approx(0.1) and got.low <= got.value <= got.high
    heavy = ratio([1.0, 0.0, 3.0], [1.0, 1.0, 4.0])  # weighs as two equal ones do: one degree of freedom
    left = np.array([3 / 5, 4 / 5, 1 / 2])
    assert heavy.high - heavy.value == pytest.approx(12.7062 * np.sqrt(2 * left.var()), rel=1e-4)


def test_a_mean_is_students():
    values = np.array([0.2, 0.5, 0.4, 0.9])
    got = mean(values)
    half = 3.18245 * values.std(ddof=1) / 2
    assert (got.low, got.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)


def test_quotients_of_the_same_clips():
    rng = np.random.default_rng(0)
    length = rng.uniform(1, 2, 40)
    got = quotient_of_ratios((3 * length, np.ones(40)), (length, np.ones(40)))
    assert got.value == pytest.approx(3) and has_none(got)  # in every clip the same
    noisy = quotient_of_ratios((3 * length, np.ones(40)), (rng.uniform(1, 2, 40), np.ones(40)))
    assert 2.5 < noisy.low < noisy.value < noisy.high < 3.5
    assert has_none(quotient_of_ratios(([1, 2], [1, 1]), ([0, 0], [1, 1])))


def test_printed_as_value_and_limits():
    assert str(Interval(0.914, 0.889, 0.931, 56)) == "0.91 [0.89, 0.93]"
    assert Interval(0.0028, 0.0001, 0.0056, 56).text(4) == "0.0028 [0.0001, 0.0056]"
    assert str(Interval(0.0028, 0.0001, 0.0043, 56)) == "0.003 [0.000, 0.004]"  # not [0.00, 0.00]
    assert str(Interval(0.9991, 0.9985, 0.9996, 8)) == "0.999 [0.999, 1.000]"
