"""Samples: which transitions, re-timed, split; augmentation moves points with the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpr.core.data.clip import ClipSource, Square, TrackedClip, TrackSegment
from mpr.core.data.clip_folder import clip_folders, save_clip
from mpr.core.errors import UserError
from mpr.predictor.inputs import (
    Fill,
    compensated_targets,
    normalised,
)
from mpr.predictor.samples import refuse_untrainable, retimed, split_groups, stands_out, strided, trainable
from mpr.training.augment import (
    affine_map,
    box_around,
    changed_frames,
    moved_frame,
    moved_points,
    previous_frame,
)
from mpr.training.clip_cache import cached_clips
from mpr.training.config import NONE, Augment
from mpr.training.loop import Samples, places
from tests.toy_clips import toy_clip
from tracking.motion.points import Transition


def test_motion_filter_is_on_raw_motion_so_a_pan_stays() -> None:
    pan = Transition.of(toy_clip(2, drift=(0.6, 0.0), speed=0.0), 3)
    assert np.linalg.norm((compensated_targets(pan) - pan.before)[pan.object], axis=1).max() < 0.5
    assert trainable(pan)
    assert not trainable(Transition.of(toy_clip(2, drift=(0.4, 0.0), speed=0.0), 3))


def test_retiming_follows_the_stamps() -> None:
    clip = toy_clip(0, length=30, rate_hz=30.0)
    times = clip.times.copy()
    times[11:] += 0.2  # a stall: ticks in it show the frames at its ends, once each
    slow = retimed(replace(clip, times=times), 10.0)
    assert (np.diff(slow.times) > 0).all()
    ticks = np.arange(times[0], times[-1] + 1e-6, 0.1)
    wanted = sorted({int(np.abs(times - tick).argmin()) for tick in ticks})
    assert [i for i in wanted if 9 < i < 12] == [10, 11] and np.flatnonzero(slow.gaps).tolist() == [wanted.index(10)]
    np.testing.assert_array_equal(slow.times, times[wanted])
    np.testing.assert_array_equal(slow.frames[3], clip.frames[wanted[3]])
    x = Transition.of(slow, 0)
    np.testing.assert_allclose(x.delta[x.object][:, 0], 3 * 5.0, atol=1e-3)  # three frames of drift 1 + speed 4
    with pytest.raises(UserError, match="slower"):
        retimed(clip, 60.0)
    assert retimed(clip, 30.0) is clip


def test_points_never_correspond_across_segments() -> None:
    clip = toy_clip(5, length=11, cut=5)
    for fast in strided(clip, 2):
        for t in range(len(fast.times) - 1):
            x = Transition.of(fast, t)
            np.testing.assert_allclose(x.delta[x.object][:, 0], 10.0, atol=1e-3)
    crossing = strided(clip, 2)[0]  # frames 4 -> 6 straddle the cut at 5
    assert not Transition.of(crossing, 2).object.any() and Transition.of(crossing, 1).object.any()


def test_split_keeps_groups_together_and_is_reproducible() -> None:
    clips = [toy_clip(i, length=3, group=f"g{i // 3}") for i in range(30)]
    train, val = split_groups(clips, 0.1, seed=4)
    assert sorted(train + val) == list(range(30)) and len(val) == 3
    assert not {clips[i].source.group for i in train} & {clips[i].source.group for i in val}
    assert split_groups(clips, 0.1, seed=4) == (train, val)
    with pytest.raises(UserError, match="at least 2 groups"):
        split_groups(clips[:3], 0.1, 0)


def test_closing_clips_are_refused_by_name(tmp_path: Path) -> None:
    save_clip(toy_clip(1, length=3), tmp_path / "one")
    refuse_untrainable([tmp_path / "one"])
    save_clip(toy_clip(2, length=3, kind="close"), tmp_path / "two")
    with pytest.raises(UserError, match=r"two \(close\)"):
        refuse_untrainable(clip_folders(tmp_path))


def test_a_clip_shorter_than_one_step_is_refused_by_name() -> None:
    clip = toy_clip(0, length=3, rate_hz=30.0)
    with pytest.raises(UserError, match="toy-0 is shorter than one step"):
        retimed(clip, 12.5)
    assert len(retimed(toy_clip(0, length=4, rate_hz=30.0), 12.5).times) == 2


def test_image_and_points_move_together() -> None:
    frame = np.zeros((128, 128, 3), np.uint8)
    at = np.array([[150.0, 90.0]], np.float32)  # crop pixels
    x, y = np.rint((at[0] + 0.5) / 2 - 0.5).astype(int)
    cv2.circle(frame, (int(x), int(y)), 3, (255, 255, 255), -1)
    for seed in range(20):
        matrix = affine_map(Augment(affine=1.0, focus=0.0), np.random.default_rng(seed))
        assert matrix is not None
        moved = moved_frame(frame, matrix, 128)[..., 0].astype(float)
        if moved.sum() == 0:
            continue
        rows, columns = np.mgrid[:128, :128]
        found = np.array([(columns * moved).sum(), (rows * moved).sum()]) / moved.sum()
        wanted = (moved_points(at, matrix)[0] + 0.5) / 2 - 0.5
        assert np.abs(found - wanted).max() < 1.0, (seed, found, wanted)


def test_a_focus_fills_the_image_with_the_object_at_any_resolution() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[150.0, 90.0], [189.0, 121.0]], np.float32)  # crop pixels
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[90:122, 150:190] = 255
    for _ in range(20):
        matrix = affine_map(replace(NONE, affine=1.0, focus=1.0), rng, box_around(corners))
        assert matrix is not None
        moved = moved_points(corners, matrix)
        assert np.abs(moved.mean(0) - 127.5).max() < 1e-3
        assert 0.45 * 256 < np.ptp(moved[:, 0]) < 0.95 * 256
        small = moved_frame(frame, matrix, 128)[..., 0] > 127
        seen = np.flatnonzero(small.any(0))
        assert abs((seen[0] + seen[-1]) / 2 - 63.5) <= 1
        assert abs(2 * len(seen) - (np.ptp(moved[:, 0]) + 1)) < 8


def test_transitions_whose_object_stands_out_are_repeated_up_to_their_share() -> None:
    pan, slides = toy_clip(0, drift=(2, 0), speed=0.0), toy_clip(1, drift=(2, 0), speed=4.0)
    n = len(pan.times) - 1
    assert [stands_out(Transition.of(clip, 3)) for clip in (pan, slides)] == [False, True]
    assert len(places([pan, slides])) == 2 * n
    many = places([pan, slides], moving=0.75)
    assert sum(p.clip == 1 for p in many) == 3 * n and sum(p.clip == 0 for p in many) == n


def test_flip_turns_the_motion_round() -> None:
    clip = toy_clip(0, drift=(0, 0))
    samples = Samples([clip], 30, 0, replace(NONE, flip=1.0))
    sample = samples.sample(clip, 2, np.random.default_rng(0))
    delta = (np.asarray(sample["target"]) - sample["points"]) * 255
    on_object = np.abs(delta[:, 0]) > 0.1
    assert on_object.any()
    np.testing.assert_allclose(delta[on_object][:, 0], -4.0, atol=1e-2)
    np.testing.assert_array_equal(np.asarray(sample["frames"])[1], clip.frames[2][:, ::-1])


@pytest.mark.parametrize(
    "augment", [NONE, replace(NONE, flip=1.0), replace(NONE, affine=1.0, rotation=12.0, scale=0.2, shift=0.08)]
)
def test_the_mask_moves_with_the_points(augment: Augment) -> None:
    """Cells of the mask around object points (they alone move here) are the object's, the others' are not."""
    clip = toy_clip(0, drift=(0, 0))
    samples = Samples([clip], 60, 0, augment)
    for seed in range(5):
        sample = samples.sample(clip, 2, np.random.default_rng(seed))
        points, mask = np.asarray(sample["points"]), np.asarray(sample["mask"])
        moves = np.abs(np.asarray(sample["target"]) - points).sum(1) > 1e-3
        x, y = np.rint((points * 255 + 0.5) / 8 - 0.5).astype(int).clip(0, 31).T
        assert moves.any() and not moves.all()
        assert mask[y, x][moves].mean() > 0.7 and mask[y, x][~moves].mean() < 0.3


def test_what_an_occluder_covers_is_no_foreground() -> None:
    """The cells that lost foreground are where the image changed."""
    clip = toy_clip(0)
    plain, busy = (Samples([clip], 30, 0, a) for a in (NONE, replace(NONE, occlude=1.0)))
    lost = 0.0
    for seed in range(8):
        a, b = (s.sample(clip, 2, np.random.default_rng(seed)) for s in (plain, busy))
        less = np.asarray(a["mask"]) - b["mask"]
        changed = (np.asarray(a["frames"])[1] != b["frames"][1]).any(-1).reshape(32, 8, 32, 8).mean((1, 3))
        assert (less >= -1e-6).all() and (less <= changed + 0.02).all()
        lost += less.sum()
    assert lost > 20


def test_occluders_and_colour_touch_no_target() -> None:
    clip = toy_clip(0)
    plain, busy = (
        Samples([clip], 30, 0, a) for a in (NONE, replace(NONE, occlude=1.0, colour=1.0, noise=1.0, blur=1.0))
    )
    a, b = (s.sample(clip, 2, np.random.default_rng(1)) for s in (plain, busy))
    assert (np.asarray(a["frames"]) != b["frames"]).any()
    frames = [clip.frames[1], clip.frames[2]]
    before = [f.copy() for f in frames]
    changed_frames(frames, 256, None, replace(NONE, occlude=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(frames, before)  # the clip itself is never drawn on
    x = Transition.of(clip, 2)
    known = {tuple(p): tuple(q) for p, q in zip(normalised(x.before), normalised(compensated_targets(x)), strict=True)}
    for p, q in zip(np.asarray(b["points"]), np.asarray(b["target"]), strict=True):
        assert known[tuple(p)] == tuple(q)


def test_previous_frame_is_shuffled_nearby() -> None:
    rng = np.random.default_rng(0)
    assert [previous_frame(t, 10, NONE, rng) for t in (0, 1, 7)] == [0, 0, 6]
    seen = {previous_frame(10, 21, replace(NONE, shuffle_previous=1.0), rng) for _ in range(300)}
    assert seen == {10, 11, 12, 13, 14, 8, 7, 6}
    assert all(0 <= previous_frame(1, 3, replace(NONE, shuffle_previous=1.0), rng) < 3 for _ in range(50))


def test_samples_depend_on_seed_and_number_alone() -> None:
    clips = [toy_clip(i, length=6) for i in range(3)]
    one, two = Samples(clips, 24, 7, Augment()), Samples(clips, 24, 7, Augment())
    numbers = [0, 5, len(one) + 3, 2]
    first = {n: one[n] for n in numbers}
    for n in reversed(numbers):
        again = two[n]
        for key, value in first[n].items():
            np.testing.assert_array_equal(value, again[key])
    other = Samples(clips, 24, 8, Augment())[0]
    assert any((np.asarray(other[k]) != first[0][k]).any() for k in ("frames", "points"))
    assert sorted(vars(one.place(n))["t"] for n in range(len(one))) == sorted(p.t for p in one.places)


def test_points_pushed_out_of_the_image_are_not_drawn() -> None:
    clip = toy_clip(0)
    samples = Samples([clip], 60, 0, replace(NONE, affine=1.0, shift=0.5))
    for seed in range(30):
        points = np.asarray(samples.sample(clip, 1, np.random.default_rng(seed))["points"])
        assert (points >= 0).all() and (points <= 1).all()


def test_cache_holds_what_the_clips_hold(tmp_path: Path) -> None:
    for i in range(2):
        save_clip(toy_clip(i, length=4), tmp_path / "clips" / f"c{i}")
    folders = clip_folders(tmp_path / "clips")
    first = cached_clips(folders, 64, tmp_path / "cache")
    made = list((tmp_path / "cache").iterdir())
    again = cached_clips(folders, 64, tmp_path / "cache")
    assert len(made) == 1 and list((tmp_path / "cache").iterdir()) == made
    toy = toy_clip(1, length=4)
    for clip in (first[1], again[1]):
        assert clip.frames[2].shape == (64, 64, 3)
        np.testing.assert_array_equal(clip.masks[2], toy.masks[2])
        wanted = cv2.resize(toy.frames[2], (64, 64), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(np.asarray(clip.frames[2]).astype(int) - wanted).mean() < 3  # H.264 in between
        np.testing.assert_array_equal(clip.segments[0].points, toy.segments[0].points)
    save_clip(toy_clip(9, length=4), tmp_path / "clips" / "c1")
    cached_clips(folders, 64, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2  # other checksums, another cache


@pytest.mark.parametrize("fill", ["pad", "repeat"])
@pytest.mark.parametrize("place", [np.nan, 100.25])  # nowhere, or on the object
def test_hidden_points_are_never_drawn(place: float, fill: Fill) -> None:
    clip = toy_clip(0)
    segment = clip.segments[0]
    visible = segment.visible.copy()
    visible[:, ::2] = False
    points = np.where(visible[..., None], segment.points, place).astype(np.float32)
    source = ClipSource("toy", "hidden", 0, 1, "", "", "", "")
    hidden = TrackedClip(
        clip.frames, clip.masks, (TrackSegment(0, points, visible),), clip.times, 12.5, Square(0, 0, 256), source
    )
    points[:, 0], visible[:, 0] = place, False  # the first point, which padding repeats
    budget = 50 if fill == "repeat" else 400  # padded: more than there are
    sample = Samples([hidden], budget, 0, fill=fill).sample(hidden, 1, np.random.default_rng(0))
    drawn, seen = np.asarray(sample["points"]), normalised(points[1][visible[1]])
    valid = np.asarray(sample["valid"])
    assert valid.all() == (fill == "repeat")
    assert {tuple(p) for p in drawn[valid]} <= {tuple(p) for p in seen}
    assert np.isfinite(drawn).all()  # a NaN would spread from a padded row through attention
    assert np.isfinite(np.asarray(sample["target"])).all()
