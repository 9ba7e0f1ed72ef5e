"""Intervals over episodes."""

import numpy as np
import pytest

from mpr.intervals import difference_of_ratios, mean, ratio


def test_ratio_is_of_sums_and_not_the_mean_of_ratios():
    got = ratio(np.array([1.0, 0.0]), np.array([9.0, 1.0]))
    assert got.value == pytest.approx(0.1)
    assert 0.0 <= got.low <= got.value <= got.high


def test_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        got = mean(rng.normal(0.3, 1.0, 60))
        hits += got.low <= 0.3 <= got.high
    assert 180 <= hits <= 199


def test_nothing_moved_is_nan_and_not_a_number_that_looks_like_one():
    assert np.isnan(ratio(np.zeros(5), np.zeros(5)).value)
    assert str(ratio(np.zeros(5), np.zeros(5))) == "–"


def test_difference_of_equal_groups_straddles_zero():
    rng = np.random.default_rng(1)
    groups = [(rng.uniform(0, 1, 50), rng.uniform(1, 2, 50)) for _ in range(2)]
    got = difference_of_ratios(groups[0], groups[1])
    assert got.low < 0 < got.high
