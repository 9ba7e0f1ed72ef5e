"""The reward as a pure function: hand-made inputs and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpr.reward.agreement import agreement, directional_agreement, moved_share, point_agreement, training_reward

deltas = arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=st.floats(-50, 50, allow_nan=False))


def test_eq1_is_the_mean_of_clamped_cosines_and_not_the_clamped_mean():
    tracked = np.array([[2.0, 0], [2, 0], [2, 0], [2, 0]])
    predicted = np.array([[1.0, 0], [0, 3], [-1, 0], [1, 1]])
    assert agreement(predicted, tracked) == pytest.approx((1 + 0 + 0 + math.sqrt(0.5)) / 4)


def test_a_point_at_rest_counts_nothing_but_counts_in_the_mean():
    predicted = np.array([[1.0, 0], [1, 0]])
    assert agreement(predicted, np.array([[2.0, 0], [0.49, 0]])) == pytest.approx(0.5)
    assert agreement(predicted, np.array([[2.0, 0], [0.49, 0]]), threshold_px=0.25) == pytest.approx(1.0)


def test_a_prediction_of_rest_counts_nothing():
    assert agreement(np.array([[0.019, 0.0]]), np.array([[2.0, 0]])) == 0.0
    assert agreement(np.array([[0.021, 0.0]]), np.array([[2.0, 0]])) == pytest.approx(1.0)


def test_no_object_point_is_zero_and_not_nan():
    assert agreement(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0
    assert moved_share(np.zeros((0, 2))) == 0.0


def test_nan_and_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        agreement(np.array([[np.nan, 0]]), np.array([[1.0, 0]]))
    with pytest.raises(ValueError, match=r"\[N, 2\]"):
        agreement(np.zeros((3, 2)), np.zeros((2, 2)))


@given(deltas, st.floats(0.1, 10), st.floats(-3, 3))
def test_bounded_oracle_and_invariant(tracked, scale, angle):
    share = moved_share(tracked)
    assert agreement(tracked, tracked) == pytest.approx(share, abs=1e-6)  # an oracle gets what moved
    assert agreement(-tracked, tracked) == 0.0  # the opposite direction gets nothing
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = agreement(tracked @ turn.T, tracked)
    assert 0 <= turned <= share + 1e-6
    assert turned == pytest.approx(share * max(0.0, math.cos(angle)), abs=1e-5)
    keeps = np.linalg.norm(tracked, axis=1).min(initial=1) * scale >= 0.02
    if keeps:  # the prediction's length does not matter
        assert agreement(tracked * scale, tracked) == pytest.approx(share, abs=1e-6)


def test_a_random_direction_gets_one_over_pi():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 20000)
    predicted = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert point_agreement(predicted, np.tile([[3.0, 0]], (20000, 1))).mean() == pytest.approx(1 / np.pi, abs=0.01)


def test_training_reward_is_agreement_minus_one_plus_bonus_at_success():
    got = training_reward(np.array([0.0, 0.5, 1.0]), np.array([False, False, True]))
    assert got.tolist() == [-1.0, -0.5, 1.0]
    with pytest.raises(ValueError, match="agreement"):
        training_reward(np.array([np.nan]), np.array([False]))


@given(steps=st.integers(1, 200), gamma=st.floats(0, 0.999))
def test_no_reward_orders_policies_as_success_under_a_discount_does(steps: int, gamma: float) -> None:
    """`none` is the fair sparse reward: its return is (that of 1 at success - 1) / (1 - gamma)."""
    success, discount = np.arange(steps) == steps - 1, gamma ** np.arange(steps)
    fair, paper = (float(discount @ training_reward(np.full(steps, signal), success)) for signal in (0.0, 1.0))
    assert fair == pytest.approx((paper - 1) / (1 - gamma), rel=1e-4, abs=1e-4)


def test_directional_agreement():
    assert directional_agreement(np.array([0.2, 0.0]), np.array([0.4, 0.4])) == pytest.approx(0.25)
    assert math.isnan(directional_agreement(np.zeros(2), np.zeros(2)))
