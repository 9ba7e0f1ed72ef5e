"""TAP-Vid metrics: hand-made cases, laws, and a count point by point as the paper words it."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mpr.core.data.clip import Tracks
from mpr.core.errors import UserError
from tracking.trackers.tapvid import THRESHOLDS, TapVid, tapvid


def tracks(points, visible) -> Tracks:
    return Tracks(np.asarray(points, np.float32), np.asarray(visible, bool))


def shifted(truth: Tracks, dx: float, dy: float = 0.0) -> Tracks:
    return Tracks(truth.points + np.float32([dx, dy]), truth.visible)


@st.composite
def cases(draw) -> tuple[Tracks, Tracks, np.ndarray]:
    """Predicted and true tracks, some near and some far, and query frames; seldom without anything to count."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    t, n = draw(st.integers(2, 7)), draw(st.integers(1, 6))
    true = rng.uniform(0, 255, (t, n, 2))
    off = rng.normal(size=(t, n, 2)) * rng.choice([0.3, 2.0, 6.0, 30.0], (t, n, 1))
    p, q = draw(st.floats(0.2, 1)), draw(st.floats(0, 1))
    return tracks(true + off, rng.random((t, n)) < q), tracks(true, rng.random((t, n)) < p), rng.integers(0, t, n)


def counted_one_by_one(predicted: Tracks, truth: Tracks, queries, size=(256, 256)) -> TapVid:
    """What the paper says, in words turned into loops."""
    within, jaccard = [], []
    right = total = 0
    for k, threshold in enumerate(THRESHOLDS):
        visible = correct = true_positive = false_positive = false_negative = 0
        for t in range(len(truth.points)):
            for i in range(len(queries)):
                if t <= queries[i]:
                    continue
                dx = (float(predicted.points[t, i, 0]) - float(truth.points[t, i, 0])) * 256 / size[0]
                dy = (float(predicted.points[t, i, 1]) - float(truth.points[t, i, 1])) * 256 / size[1]
                near = math.hypot(dx, dy) < threshold
                is_visible, is_called = bool(truth.visible[t, i]), bool(predicted.visible[t, i])
                visible += is_visible
                correct += is_visible and near
                hit = is_visible and is_called and near
                true_positive += hit
                false_positive += is_called and not hit  # hidden in truth, or too far away
                false_negative += is_visible and not hit  # called hidden, or too far away
                if k == 0:
                    total += 1
                    right += is_visible == is_called
        within.append(correct / visible if visible else math.nan)
        union = true_positive + false_positive + false_negative
        jaccard.append(true_positive / union if union else math.nan)
    return TapVid(tuple(within), tuple(jaccard), right / total if total else math.nan)


def flat(found: TapVid) -> np.ndarray:
    return np.hstack(astuple(found))


@settings(max_examples=200, deadline=None)
@given(cases(), st.sampled_from([(256, 256), (512, 384), (160, 96)]))
def test_it_is_what_the_paper_counts(case, size):
    np.testing.assert_allclose(flat(tapvid(*case, size)), flat(counted_one_by_one(*case, size)), rtol=1e-12)


STANDING = tracks(np.full((5, 2, 2), 100.0), np.ones((5, 2)))  # two points that stand still for five frames
FIRST = np.zeros(2)


def test_a_shift_of_three_pixels_is_within_four_but_not_two():
    found = tapvid(shifted(STANDING, 3.0), STANDING, FIRST)
    assert found.within == (0, 0, 1, 1, 1) and found.jaccard == (0, 0, 1, 1, 1)
    assert found.delta_avg == pytest.approx(0.6) and found.average_jaccard == pytest.approx(0.6)
    assert found.occlusion_accuracy == 1


def test_exactly_at_the_threshold_is_too_far():
    assert tapvid(shifted(STANDING, 4.0), STANDING, FIRST).within == (0, 0, 0, 1, 1)
    assert tapvid(shifted(STANDING, 0.6, 0.8), STANDING, FIRST).within[1:] == (1, 1, 1, 1)


def test_pixels_are_of_256_in_x_and_y_apart():
    """Three pixels to the right are 1.5 of an image 512 wide, three down are 6 of one 128 high."""
    assert tapvid(shifted(STANDING, 3.0, 0.0), STANDING, FIRST, (512, 128)).within == (0, 1, 1, 1, 1)
    assert tapvid(shifted(STANDING, 0.0, 3.0), STANDING, FIRST, (512, 128)).within == (0, 0, 0, 1, 1)


def test_called_hidden_costs_jaccard_and_occlusion_but_not_position():
    """One of two points called hidden: half of the truly visible ones are missed."""
    found = tapvid(tracks(STANDING.points, np.tile([True, False], (5, 1))), STANDING, FIRST)
    assert found.delta_avg == 1 and found.average_jaccard == 0.5 and found.occlusion_accuracy == 0.5


def test_called_visible_behind_something_costs_jaccard_but_not_position():
    """One truly visible and found, one hidden but called visible: 1 hit in 2."""
    truth = tracks(STANDING.points, np.tile([True, False], (5, 1)))
    found = tapvid(STANDING, truth, FIRST)
    assert found.delta_avg == 1 and found.average_jaccard == 0.5 and found.occlusion_accuracy == 0.5


def test_visible_but_too_far_counts_twice_against():
    """One hit, one stray: the stray is a missed point and a false one, 1 in 3."""
    points = STANDING.points.copy()
    points[:, 1] += 50.0
    found = tapvid(tracks(points, STANDING.visible), STANDING, FIRST)
    assert found.average_jaccard == pytest.approx(1 / 3) and found.delta_avg == 0.5


def test_only_the_frames_after_a_points_own_query_count():
    """Point 0 is asked for on frame 1, point 1 on frame 3: 3 + 1 frames count."""
    queries = np.array([1, 3])
    points, visible = STANDING.points.copy(), STANDING.visible.copy()
    points[:2, 0], points[:4, 1] = 0.0, np.nan  # frames before, and the query frames themselves
    visible[:2, 0], visible[:4, 1] = False, False
    assert flat(tapvid(tracks(points, visible), STANDING, queries)) == pytest.approx(1.0)
    points[2, 0] = 0.0
    assert tapvid(tracks(points, STANDING.visible), STANDING, queries).delta_avg == pytest.approx(3 / 4)
    points[4, 1] = 0.0
    assert tapvid(tracks(points, STANDING.visible), STANDING, queries).delta_avg == pytest.approx(2 / 4)


def test_where_nothing_can_be_counted_it_says_so():
    last = tapvid(STANDING, STANDING, np.full(2, 4))
    assert math.isnan(last.delta_avg) and math.isnan(last.average_jaccard) and math.isnan(last.occlusion_accuracy)
    hidden = tracks(STANDING.points * np.nan, np.zeros((5, 2)))
    found = tapvid(hidden, hidden, FIRST)
    assert math.isnan(found.delta_avg) and found.occlusion_accuracy == 1
    assert tapvid(STANDING, hidden, FIRST).average_jaccard == 0  # false ones only


@given(cases())
def test_the_truth_scores_one(case):
    _, truth, queries = case
    assume((truth.visible & (np.arange(len(truth.points))[:, None] > queries)).any())
    assert (flat(tapvid(truth, truth, queries)) == 1).all()


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(case, random):
    predicted, truth, queries = case
    order = random.sample(range(len(queries)), len(queries))
    mixed = (Tracks(x.points[:, order], x.visible[:, order]) for x in (predicted, truth))
    np.testing.assert_array_equal(flat(tapvid(predicted, truth, queries)), flat(tapvid(*mixed, queries[order])))


@given(cases())
def test_jaccard_is_never_above_position_accuracy_and_a_wider_threshold_never_finds_less(case):
    found = tapvid(*case)
    assume(not math.isnan(found.delta_avg))
    assert all(0 <= j <= w <= 1 for j, w in zip(found.jaccard, found.within, strict=True))
    assert found.average_jaccard <= found.delta_avg
    assert list(found.within) == sorted(found.within) and list(found.jaccard) == sorted(found.jaccard)


@given(cases())
def test_position_accuracy_does_not_hear_what_is_called_hidden(case):
    predicted, truth, queries = case
    turned = Tracks(predicted.points, ~predicted.visible)
    assert tapvid(predicted, truth, queries).within == pytest.approx(tapvid(turned, truth, queries).within, nan_ok=True)


@given(cases(), st.floats(-50, 50), st.floats(-50, 50))
def test_where_hidden_points_are_does_not_matter(case, x, y):
    predicted, truth, queries = case
    elsewhere = np.where(truth.visible[..., None], truth.points, np.float32([x, y]))
    np.testing.assert_array_equal(
        flat(tapvid(predicted, truth, queries)), flat(tapvid(predicted, Tracks(elsewhere, truth.visible), queries))
    )


@pytest.mark.parametrize(
    ("predicted", "queries", "word"),
    [
        (tracks(np.zeros((4, 2, 2)), np.ones((4, 2))), FIRST, "tracked points"),
        (tracks(np.zeros((5, 2, 2)), np.ones((5, 3))), FIRST, "tracked visibility"),
        (STANDING, np.zeros(3), "query frames"),
        (STANDING, np.zeros((2, 3)), "query frames"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(predicted, queries, word):
    with pytest.raises(UserError, match=word):
        tapvid(predicted, STANDING, queries)
