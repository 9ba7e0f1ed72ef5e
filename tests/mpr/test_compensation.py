"""Camera compensation: what each fit takes out whole, whom it does not listen to, and what it does with too little."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.commands.score import ScoreConfig
from mpr.core.config import parse_config
from mpr.core.errors import UserError
from mpr.training.config import TrainConfig
from tracking.motion.compensation import (
    ENOUGH_POINTS,
    KNOWN_CAMERA,
    MOTIONS,
    Compensation,
    camera_motion,
    object_motion,
)
from tracking.motion.points import Transition

FITS = ("mean", "median", "similarity", "affine", "homography")
ROBUST = ("similarity", "homography")
pans = st.tuples(st.floats(-6, 6), st.floats(-6, 6))
angles, zooms, tilts = st.floats(-0.1, 0.1), st.floats(-0.05, 0.05), st.floats(-3e-4, 3e-4)
seeds = st.integers(0, 2**32 - 1)


def transition_of(before, after, object_share: float = 0.3, visible=None) -> Transition:
    """The first points are the object's, the others background; none hidden unless said."""
    visible = np.ones(len(before), bool) if visible is None else visible
    before, after = np.asarray(before, np.float32), np.asarray(after, np.float32)
    made = Transition(0, before, after, visible, [], 0.08, False)
    first = np.arange(len(before)) < object_share * len(before)
    vars(made).update(object=visible & first, background=visible & ~first)
    return made


def places(seed: int, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (n, 2))


def similar(points, angle, zoom, pan) -> np.ndarray:
    """Points rolled and zoomed about the image's middle, then panned."""
    turn = (1 + zoom) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - 127.5) @ turn.T + 127.5 + pan


def tilted(points, tilt) -> np.ndarray:
    """Points of a plane that turns away from the camera."""
    return (points - 127.5) / (1 + (points - 127.5) @ np.asarray(tilt))[:, None] + 127.5


def left(before, after, how: Compensation) -> float:
    """The largest displacement in pixels that compensation leaves of a motion that is all the camera's."""
    transition = transition_of(before, after)
    return float(np.abs(transition.delta - camera_motion(transition, how)).max())


@pytest.mark.parametrize("how", FITS)
@settings(max_examples=20, deadline=None)
@given(pans, seeds)
def test_a_pure_pan_leaves_nothing(how, pan, seed):
    before = places(seed)
    assert left(before, before + pan, how) < 2e-3


@settings(max_examples=30, deadline=None)
@given(angles, zooms, pans, seeds)
def test_roll_and_approach_leave_nothing_to_a_similarity_and_what_is_more_general(angle, zoom, pan, seed):
    before = places(seed)
    after = similar(before, angle, zoom, pan)
    for how in ("similarity", "affine", "homography"):
        assert left(before, after, how) < 0.01, how


@settings(max_examples=30, deadline=None)
@given(st.tuples(tilts, tilts), angles, pans, seeds)
def test_a_tilting_plane_leaves_nothing_to_a_homography(tilt, angle, pan, seed):
    before = places(seed)
    assert left(before, similar(tilted(before, tilt), angle, 0.0, pan), "homography") < 0.01


def test_what_is_less_general_leaves_something():
    before = places(0)
    assert min(left(before, similar(before, 0.05, 0.03, (2, 1)), how) for how in ("mean", "median")) > 2
    assert min(left(before, tilted(before, (3e-4, 2e-4)), how) for how in ("similarity", "affine")) > 1


@pytest.mark.parametrize("how", ROBUST)
@settings(max_examples=25, deadline=None)
@given(angles, zooms, pans, pans, seeds, st.booleans())
def test_a_hand_over_30_percent_of_the_background_does_not_bend_it(how, angle, zoom, pan, hand, seed, corner):
    """Scattered over the background, or all in one corner, where a fit by least distances gives in."""
    before = places(seed)
    camera = similar(before, angle, zoom, pan)
    after = camera.copy()
    background = np.arange(60, 200)
    taken = background[np.argsort(before[background].sum(1))] if corner else background
    after[taken[: int(0.3 * len(background))]] += np.asarray(hand) + 4.0 * np.sign(hand[0] + hand[1] + 0.1)
    transition = transition_of(before, after)
    assert np.abs(camera_motion(transition, how) - (camera - before)).max() < 0.02


def test_a_hand_over_30_percent_moves_the_mean_but_not_the_median():
    before = places(0)
    after = before + np.array([2.0, -1.0])
    after[150:192] += 12.0
    transition = transition_of(before, after)
    assert camera_motion(transition, "median") == pytest.approx(np.tile((2.0, -1.0), (200, 1)), abs=1e-4)
    assert np.abs(camera_motion(transition, "mean") - (2.0, -1.0)).min() > 3


@pytest.mark.parametrize("how", FITS)
@settings(max_examples=15, deadline=None)
@given(pans, angles, st.tuples(st.integers(-300, 300), st.integers(-300, 300)), seeds)
def test_the_answer_does_not_depend_on_where_the_image_begins(how, pan, angle, shift, seed):
    before = places(seed)
    after = similar(before, angle, 0.02, pan)
    after[180:] += 9.0
    here = camera_motion(transition_of(before, after), how)
    there = camera_motion(transition_of(before + shift, after + shift), how)
    assert np.abs(here - there).max() < 0.02


@pytest.mark.parametrize("how", FITS)
def test_object_points_and_hidden_points_are_not_asked(how):
    before = places(1)
    after = similar(before, 0.03, 0.02, (1.0, 2.0))
    visible = np.arange(200) < 150
    plain = camera_motion(transition_of(before, after, visible=visible), how)
    after[:60], after[150:] = 0.0, np.nan
    before[150:] = np.nan
    changed = camera_motion(transition_of(before, after, visible=visible), how)
    assert (plain[:150] == changed[:150]).all() and np.isfinite(changed).all()


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("n", [0, 1, 3, ENOUGH_POINTS - 1, ENOUGH_POINTS, 40])
@pytest.mark.parametrize("kind", ["one place", "a line", "two places", "anywhere"])
def test_too_few_and_degenerate_points_give_a_shift(how, n, kind):
    """Background points that say nothing of roll or tilt, panned: each fit finds the pan where there are points."""
    k = np.arange(n)[:, None]
    drawn = {
        "one place": 0 * k + [7, 9],
        "a line": k * [2, 3],
        "two places": k % 2 * [50, 20],
        "anywhere": places(2, n),
    }
    before = np.concatenate([places(3, 10), drawn[kind]])
    transition = transition_of(before, before + np.array([3.0, -2.0]), object_share=0)
    first = np.arange(len(before)) < 10
    vars(transition).update(object=first, background=~first)
    motion = camera_motion(transition, how)
    expected = (3.0, -2.0) if n else (0.0, 0.0)
    assert np.isfinite(motion).all()
    on = slice(10, None) if how == "affine" else slice(None)  # an affine fit to a line says nothing of what lies off it
    assert motion[on] == pytest.approx(np.tile(expected, (len(before), 1))[on], abs=1e-2)


def test_a_plane_that_would_send_a_point_to_infinity_is_not_believed():
    before = places(4)
    before[:60] = (1200.0, 127.5)  # the object lies where 1 + tilt * (x - 127.5) is negative
    after = before.copy()
    after[60:] = tilted(before[60:], (-1.2e-3, 0.0))
    transition = transition_of(before, after)
    assert (camera_motion(transition, "homography") == camera_motion(transition, "similarity")).all()
    assert np.abs(camera_motion(transition, "homography")).max() < 400


def test_the_same_points_give_the_same_bits_whatever_opencv_drew_before():
    import cv2

    before = places(5)
    noise = np.random.default_rng(0).normal(0, 0.5, before.shape)
    transition = transition_of(before, similar(before, 0.02, 0.01, (1, 2)) + noise)
    for how in ROBUST:
        found = []
        for seed in (1, 99):
            cv2.setRNGSeed(seed)
            found.append(camera_motion(transition, how))
        assert (found[0] == found[1]).all()


def test_none_leaves_everything_and_object_motion_is_of_object_points():
    before = places(6)
    transition = transition_of(before, before + np.array([1.0, 2.0]))
    assert (camera_motion(transition, "none") == 0).all()
    assert object_motion(transition, "none") == pytest.approx(np.tile((1.0, 2.0), (60, 1)), abs=1e-4)
    assert np.abs(object_motion(transition, "homography")).max() < 1e-2


def test_every_command_that_compensates_knows_every_way(capsys):
    assert set(get_args(Compensation)) == {*MOTIONS, KNOWN_CAMERA}  # the others are estimated
    for config, words in ((ScoreConfig, ["--clip", "c", "--reward", "any_motion"]), (TrainConfig, [])):
        for how in get_args(Compensation):
            assert parse_config(config, [*words, "--compensate", how], "mpr")[0].compensate == how
        with pytest.raises(UserError, match="homography"):
            parse_config(config, [*words, "--compensate", "perspective"], "mpr")
        with pytest.raises(SystemExit):
            parse_config(config, ["--help"], "mpr")
        assert "{none,mean,median,similarity,affine,homography,known}" in capsys.readouterr().out
