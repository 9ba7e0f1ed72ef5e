"""What a sample is: which points, filled how; the same in training, held-out figures and scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from mpr.core.data.clip import CROP_SIZE, TrackedClip
from mpr.predictor.checkpoint import Predictor
from mpr.predictor.inputs import (
    Fill,
    compensated_targets,
    draw_points,
    fill_points,
    in_pixels,
    normalised,
    scoring_passes,
    shares,
)
from mpr.predictor.predicted import PredictedDeltas
from mpr.predictor.sizes import PREDICTOR_SIZES
from mpr.training.held_out import predict_probes
from mpr.training.loop import Samples
from mpr.training.probes import probes
from tests.toy_clips import toy_clip
from tracking.motion.points import Transition, transitions

IMAGE = 16  # pixels a side that the encoder sees


class Asked(NamedTuple):
    """What a network is handed of one sample."""

    frames: NDArray[np.uint8]  # [2, S, S, 3]
    points: NDArray[np.float32]  # [budget, 2]
    progress: np.float32
    valid: NDArray[np.bool_]  # [budget]

    def drawn(self) -> list[tuple[float, ...]]:
        """The points that count, each once, in an order of their own."""
        return sorted({tuple(point) for point in self.points[self.valid].tolist()})


class Pixels(nn.Module):
    """An encoder whose tokens are the pixels themselves."""

    width = 3

    def forward(self, frames: Tensor) -> Tensor:
        return frames.flatten(1, 2).float()


class Asks(nn.Module):
    """A network that writes down what it is asked, and says that nothing moves."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []

    def forward(self, tokens: Tensor, points: Tensor, progress: Tensor, valid: Tensor) -> Tensor:
        frames = tokens.reshape(len(tokens), 2, IMAGE, IMAGE, 3).numpy().astype(np.uint8)
        self.asked += [Asked(*one) for one in zip(frames, points.numpy(), progress.numpy(), valid.numpy(), strict=True)]
        return points


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.predictor = Pixels(), Asks()


def asking(budget: int, fill: Fill) -> tuple[Predictor, list[Asked]]:
    both: Any = Both()
    size = replace(PREDICTOR_SIZES["tiny"], image=IMAGE, points=budget)
    return Predictor(both, size, {"rate_hz": 12.5, "config": {"fill": fill}}), both.predictor.asked


def of_training(clip: TrackedClip, t: int, budget: int, fill: Fill) -> list[Asked]:
    sample = Samples([clip], budget, 0, fill=fill, image=IMAGE).sample(clip, t, np.random.default_rng(t))
    return [Asked(*(np.asarray(sample[name]) for name in Asked._fields))]


def of_metrics(clip: TrackedClip, t: int, budget: int, fill: Fill) -> list[Asked]:
    predictor, asked = asking(budget, fill)
    predict_probes(predictor, [clip], [p for p in probes([clip], budget, fill=fill) if p.t == t])
    return asked


def of_scoring(clip: TrackedClip, t: int, budget: int, fill: Fill) -> list[Asked]:
    predictor, asked = asking(budget, fill)
    PredictedDeltas(predictor)(clip, [Transition.of(clip, t)])
    return asked


@st.composite
def clips(draw: st.DrawFn) -> TrackedClip:
    """Uneven steps, a gap at times, a second segment at times; some points hidden, and then nowhere (NaN)."""
    length = draw(st.integers(3, 7))
    clip = toy_clip(draw(st.integers(0, 5)), length, cut=draw(st.one_of(st.none(), st.integers(1, length - 2))))
    steps = draw(st.lists(st.sampled_from([0.06, 0.08, 0.1, 0.5]), min_size=length - 1, max_size=length - 1))
    rng, share = np.random.default_rng(draw(st.integers(0, 9))), draw(st.sampled_from([0.0, 0.5, 0.96]))
    segments = []
    for segment in clip.segments:
        hidden = rng.random(len(segment.points[0])) < share
        hidden[0] = True  # the row that padding repeats
        points, visible = segment.points.copy(), segment.visible & ~hidden
        points[:, hidden] = np.nan
        segments.append(replace(segment, points=points, visible=visible))
    return replace(clip, segments=tuple(segments), times=np.cumsum([0.0, *steps]))


def counted(asked: Asked, x: Transition) -> tuple[int, int]:
    """How many different object and background points it is asked of."""
    of_object, of_background = (
        {tuple(p) for p in normalised(x.before[chosen]).tolist()} for chosen in (x.object, x.background)
    )
    drawn = set(asked.drawn())
    assert drawn <= of_object | of_background
    return len(drawn & of_object), len(drawn & of_background)


@settings(max_examples=60, deadline=None)
@given(clip=clips(), budget=st.integers(3, 60), fill=st.sampled_from(["repeat", "pad"]), data=st.data())
def test_training_metrics_and_scoring_ask_the_same(
    clip: TrackedClip, budget: int, fill: Fill, data: st.DataObject
) -> None:
    steps = [x for x in transitions(clip) if x.object.any()]
    if not steps:
        return
    x = data.draw(st.sampled_from(steps))
    taught, figured, scored = (ask(clip, x.t, budget, fill) for ask in (of_training, of_metrics, of_scoring))
    whole = shares(objects := int(x.object.sum()), int(x.background.sum()), budget)
    for asked in (*taught, *figured, *scored):
        np.testing.assert_array_equal(asked.frames, taught[0].frames)
        assert asked.progress == taught[0].progress == np.float32(clip.progress[x.t])
        assert np.isfinite(asked.points).all() and asked.points.dtype == np.float32
        assert asked.valid.sum() == (budget if fill == "repeat" else len(asked.drawn()))
    assert counted(taught[0], x) == counted(figured[0], x) == whole
    assert sum(counted(asked, x)[0] for asked in scored) == objects  # each object point once, in however many passes
    if len(scored) == 1:
        assert counted(scored[0], x) == whole
        if whole[1] == x.background.sum():  # nothing is left to chance
            assert taught[0].drawn() == figured[0].drawn() == scored[0].drawn()


@settings(deadline=None)
@given(seed=st.integers(0, 99), budget=st.integers(30, 60), fill=st.sampled_from(["repeat", "pad"]))
def test_a_single_scoring_pass_is_a_training_draw(seed: int, budget: int, fill: Fill) -> None:
    x = Transition.of(toy_clip(seed % 6), 1)
    (one,) = scoring_passes(x, budget, np.random.default_rng(seed), fill)
    rows, valid = draw_points(x.object, x.background, budget, np.random.default_rng(seed), fill)
    np.testing.assert_array_equal(one.points, x.before[rows])
    np.testing.assert_array_equal(one.valid, valid)


def test_shares_are_two_thirds_and_one_third_of_the_budget() -> None:
    assert shares(500, 500, 300) == (200, 100)
    assert shares(500, 500, 96) == (64, 32)
    assert shares(40, 500, 96) == (40, 20)  # all object points, half as many of the background
    assert shares(40, 7, 96) == (40, 7)


@given(objects=st.integers(0, 60), background=st.integers(0, 60), budget=st.integers(3, 50), seed=st.integers(0, 9))
def test_drawn_points_are_valid_unique_and_object_first(objects: int, background: int, budget: int, seed: int) -> None:
    of_object = np.arange(objects + background) < objects
    for fill in ("pad", "repeat"):
        rows, valid = draw_points(of_object, ~of_object, budget, np.random.default_rng(seed), fill)
        n, m = shares(objects, background, budget)
        assert rows.shape == valid.shape == (budget,)
        first = rows[: n + m]
        assert len(set(first)) == n + m
        assert of_object[first[:n]].all() and not of_object[first[n:]].any()
        assert valid.sum() == (n + m if fill == "pad" else budget * (n + m > 0))
        assert set(rows[valid]) == set(first)


def test_repeats_go_round() -> None:
    rows, valid = fill_points(np.array([7, 8, 9]), 7, "repeat")
    assert rows.tolist() == [7, 8, 9, 7, 8, 9, 7]
    assert valid.all()


@given(budget=st.integers(3, 90), seed=st.integers(0, 5))
def test_scoring_takes_every_object_point_exactly_once(budget: int, seed: int) -> None:
    x = Transition.of(toy_clip(1), 2)
    passes = scoring_passes(x, budget, np.random.default_rng(seed))
    assert sorted(np.concatenate([p.object_rows for p in passes])) == list(range(int(x.object.sum())))
    object_points, background = x.before[x.object], {tuple(p) for p in x.before[x.background]}
    for p in passes:
        k = len(p.object_rows)
        assert p.points.shape == (budget, 2) and p.valid.shape == (budget,)
        np.testing.assert_array_equal(p.points[:k], object_points[p.object_rows])
        assert k <= 2 * budget // 3
        if budget >= 3 and k + (k + 1) // 2 <= budget:
            assert sum(tuple(q) in background for q in p.points[k : k + (k + 1) // 2]) == (k + 1) // 2


def test_no_object_point_needs_no_pass() -> None:
    x = Transition.of(toy_clip(1), 2)
    vars(x).update(object=np.zeros_like(x.object))
    assert scoring_passes(x, 30, np.random.default_rng(0)) == []


def test_compensation_leaves_the_objects_own_motion() -> None:
    x = Transition.of(toy_clip(3, drift=(2.0, -1.5), speed=4.0), 1)
    delta = compensated_targets(x) - x.before
    np.testing.assert_allclose(delta[x.object], [[4.0, 0.0]] * x.object.sum(), atol=1e-3)
    np.testing.assert_allclose(delta[x.background], 0, atol=1e-3)
    raw = compensated_targets(x, compensate="none") - x.before
    np.testing.assert_allclose(raw[x.object], [[6.0, -1.5]] * x.object.sum(), atol=1e-3)


@pytest.mark.parametrize("size", [2, 256, 1024])
def test_the_outermost_pixels_centres_are_0_and_1(size: int) -> None:
    assert normalised(np.float32([[0, size - 1]]), size).tolist() == [[0, 1]]


@settings(deadline=None)
@given(px=st.lists(st.floats(-512, 512, width=32), min_size=1, max_size=8))
def test_numpy_and_torch_normalise_to_the_same_bits_and_back(px: Sequence[float]) -> None:
    points = np.float32(px)
    ours, theirs = normalised(points), normalised(torch.from_numpy(points))
    assert ours.dtype == np.float32 and np.array_equal(ours, theirs.numpy())
    np.testing.assert_allclose(in_pixels(ours), points, atol=1e-4)
    assert np.array_equal(in_pixels(ours), in_pixels(theirs).numpy()) and CROP_SIZE == 256
