"""A step has a length: laws of gaps, of progress and of re-timing, whatever the spacing of the frames."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpr.commands.score import main as score
from mpr.commands.train import main as train
from mpr.core.data.clip import TrackedClip
from mpr.core.data.clip_folder import load_clip, save_clip
from mpr.core.data.retime import pick_frames, retimed_frames
from mpr.core.data.steps import gaps_of, progress_at, spacing, spacing_summary, stretch_around
from mpr.core.data.video import write_video
from mpr.predictor.inputs import progress_of
from mpr.predictor.predicted import PredictedDeltas
from mpr.predictor.samples import retimed, strided, trainable
from mpr.reward.baselines import ConstantVelocity, Oracle
from mpr.reward.scoring import (
    agreements,
    mean_agreement,
    moved_shares,
    score_clip,
    score_moving,
    score_summary,
    with_figures,
)
from mpr.training.augment import previous_frame
from mpr.training.config import Augment
from mpr.training.held_out import predict_probes
from mpr.training.loop import Samples, places
from mpr.training.metrics import mean_motion
from mpr.training.probes import probes
from tests.toy_clips import square_clip, toy_clip
from tests.tracking.moving_scenes import Moving
from tracking.clips.quality import quality
from tracking.commands.track import main as track
from tracking.motion.points import Transition, transitions

RATES = st.one_of(st.sampled_from([5, 12.5, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 120]), st.floats(5, 120))
NO_GAP, GAP = st.floats(0.2, 1.49), st.floats(1.51, 30)  # usual steps
STEPS = st.lists(st.one_of(st.just(1.0), st.just(1.0), NO_GAP, GAP), min_size=2, max_size=14)


def stamps(steps: list[float], rate_hz: float, start: float = 0.0) -> NDArray[np.float64]:
    return start + np.concatenate([[0.0], np.cumsum(steps)]) / rate_hz


def spaced(steps: list[float], rate_hz: float = 12.5, **more) -> TrackedClip:
    """The toy clip, its frames so many usual steps apart."""
    clip = toy_clip(length=len(steps) + 1, rate_hz=rate_hz, speed=3.0, **more)
    return replace(clip, times=stamps(steps, rate_hz))


# Steps


@given(STEPS, RATES, st.sampled_from([0.0, 7.25, 1e5]))
@settings(deadline=None)
def test_what_is_longer_than_one_and_a_half_steps_is_a_gap(steps: list[float], rate: float, start: float) -> None:
    times = stamps(steps, rate, start)
    assert gaps_of(times, rate).tolist() == [step > 1.5 for step in steps]
    found = spacing((times, gaps_of(times, rate)))
    long = [step / rate for step in steps if step > 1.5]
    assert found["gaps"] == len(long) and found["longest_gap_s"] == pytest.approx(max(long, default=0.0))
    assert found["mean_rate_hz"] == pytest.approx(len(steps) / (times[-1] - times[0]))


def test_one_and_a_half_steps_to_the_last_bit_are_none() -> None:
    for rate in (5, 12.5, 29.97, 60, 120):
        steps = [1.0, 1.5, 1.0, 1.49, 1.0]
        assert not gaps_of(stamps(steps, rate, start=1000 / 3), rate).any()
        assert gaps_of(stamps([1.0, 1.51, 1.0], rate), rate).tolist() == [False, True, False]
    milliseconds = np.round(np.arange(100) / 29.97, 3)  # as Matroska stores stamps
    assert not gaps_of(milliseconds).any() and not gaps_of(milliseconds, 29.97).any()
    assert not gaps_of(np.zeros(1)).size


def test_without_a_rate_the_median_is_the_usual_step() -> None:
    assert gaps_of(np.array([0, 0.1, 0.2, 0.9, 1.0, 1.16])).tolist() == [False, False, True, False, True]


@given(STEPS, RATES)
@settings(deadline=None)
def test_stretches_tile_the_frames_and_end_at_gaps(steps: list[float], rate: float) -> None:
    gaps = gaps_of(stamps(steps, rate), rate)
    for t in range(len(steps) + 1):
        first, last = stretch_around(gaps, t)
        assert first <= t <= last and not gaps[first:last].any()
        assert (first == 0 or gaps[first - 1]) and (last == len(steps) or gaps[last])


def test_gaps_are_told_in_words() -> None:
    assert spacing_summary({"gaps": 0, "longest_gap_s": 0.0, "mean_rate_hz": 12.5}) == "12.5 Hz on average, no gap"
    assert spacing_summary({"gaps": 1, "longest_gap_s": 0.8333, "mean_rate_hz": 21.913}) == (
        "21.91 Hz on average, 1 gap of 0.833 s"
    )
    assert spacing_summary({"gaps": 3, "longest_gap_s": 2.0, "mean_rate_hz": 30.0}).endswith("3 gaps of up to 2 s")


# Progress


@given(STEPS, RATES)
@settings(deadline=None)
def test_progress_is_true_time(steps: list[float], rate: float) -> None:
    times = stamps(steps, rate, start=3.0)
    found = progress_at(times)
    np.testing.assert_allclose(found, (times - 3.0) / (times[-1] - 3.0), atol=1e-6)
    assert found[0] == 0 and found[-1] == 1 and (np.diff(found) > 0).all()
    clip = spaced(steps, rate)
    assert [progress_of(clip, t) for t in range(len(times))] == pytest.approx(found.tolist(), abs=1e-6)


@given(st.integers(2, 400), RATES, st.sampled_from([0.0, 1 / 3, 12345.678]))
@settings(deadline=None)
def test_even_stamps_give_the_numbers_that_they_always_gave(length: int, rate: float, start: float) -> None:
    times = start + np.arange(length) / rate
    assert progress_at(times).tolist() == [t / (length - 1) for t in range(length)]
    assert not gaps_of(times, rate).any() and retimed_frames(times, rate).tolist() == list(range(length))


# Re-timing


@given(STEPS, RATES, st.floats(0.1, 1.0))
@settings(max_examples=200, deadline=None)
def test_videos_and_clips_are_re_timed_by_one_rule(steps: list[float], rate: float, share: float) -> None:
    """Each frame its own stamp and no frame twice; a gap in the frames stays one step, not a bit shorter or longer."""
    times, wanted = stamps(steps, rate), share * rate
    if times[-1] * wanted < 1 or 1 / (np.median(np.diff(times)) * wanted) < 1:
        return
    picked = pick_frames(times, 0.0, np.inf, wanted)
    slow = retimed(replace(toy_clip(length=len(times), rate_hz=rate), times=times), wanted)
    assert slow.times.tolist() == times[picked].tolist() and (np.diff(picked) > 0).all()
    assert np.diff(slow.times).sum() == pytest.approx(slow.times[-1] - slow.times[0])
    for before, after in pairwise(times):
        if after - before > 2 / wanted and after <= slow.times[-1]:
            at = np.flatnonzero(slow.times == before)
            assert len(at) == 1 and slow.times[at[0] + 1] == after and slow.gaps[at[0]]


def test_a_stall_is_no_reason_to_call_a_clip_slow_or_to_leave_it_fast() -> None:
    """Its mean rate is not the rate its frames come at."""
    slow = spaced([1.0] * 10 + [30.0] + [1.0] * 9)  # 5 Hz on average
    assert retimed(slow, 12.5) is slow
    fast = spaced([1.0] * 15 + [22.0] + [1.0] * 14, rate_hz=30.0)  # 17.6 Hz on average
    assert len(retimed(fast, 17.6).times) < 22


def test_a_clip_that_was_re_timed_already_stays_as_it_is() -> None:
    for rate in (20.0, 24.0, 25.0, 29.97, 30.0, 60.0):
        clip = retimed(toy_clip(length=40, rate_hz=rate, speed=1.0, drift=(0, 0)), 12.5)
        assert retimed(clip, 12.5) is clip and not clip.gaps.any()


# Samples and figures


TORN = [1.0, 1.0, 5.0, 1.0, 1.0]  # steps of a clip with a gap


class Pixels:
    """Stands in for a predictor: a frame's token is where its square begins. Remembers the pairs that it was shown."""

    budget, fill, rate_hz = 24, "repeat", 12.5

    def __init__(self) -> None:
        self.pairs: list[list[float]] = []
        self.progress: list[float] = []

    def encode(self, frames: NDArray) -> torch.Tensor:
        columns = (frames[..., 0] == frames[:, 128, 128, 0][:, None, None]).any(1)
        return torch.from_numpy(columns.argmax(1)[:, None].astype(np.float32))

    def tokens(self, previous: NDArray, now: NDArray) -> torch.Tensor:
        return torch.cat([self.encode(previous), self.encode(now)], 1)

    def predict(self, tokens, points, progress, valid) -> NDArray:
        self.pairs += tokens.tolist()
        self.progress += progress.tolist()
        return np.zeros_like(points)


@given(STEPS, st.booleans())
@settings(max_examples=30, deadline=None)
def test_no_sample_and_no_probe_touches_a_gap(steps: list[float], cut: bool) -> None:
    clip = spaced(steps, cut=1 if cut and len(steps) > 1 else None)
    shown = [slower for k in (1, 2) for slower in strided(clip, k)]
    for place in places(shown):
        assert not Transition.of(shown[place.clip], place.t).gap
    for one in shown:
        usual = 1 / one.rate_hz
        assert one.gaps.tolist() == [bool(step > 1.5 * usual * (1 + 1e-6)) for step in np.diff(one.times)]
        for t in range(len(one.times) - 1):
            x = Transition.of(one, t)
            assert x.step_s == pytest.approx(one.times[t + 1] - one.times[t]) and x.gap == one.gaps[t]
            assert trainable(x) <= (not x.gap)
        for probe in probes([one], 24):
            assert not one.gaps[probe.t] and probe.progress == progress_of(one, probe.t)
            follows = probe.t > 0 and not one.gaps[probe.t - 1]
            assert probe.before == probe.t - follows
            assert follows or (probe.at_rest and not probe.velocity.any())
    assert [x.t for x in transitions(clip)] == [t for t, step in enumerate(steps) if step <= 1.5]


@given(STEPS, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_frame_before_is_never_from_across_a_gap(steps: list[float], seed: int) -> None:
    clip, rng = spaced(steps), np.random.default_rng(seed)
    for t in np.flatnonzero(~clip.gaps).tolist():
        first, last = clip.stretch(t)
        for shuffled in (0.0, 1.0):
            before = previous_frame(t, last + 1, Augment(shuffle_previous=shuffled), rng, first)
            assert first <= before <= last and (shuffled or before == clip.before(t) == max(t - 1, first))


def test_a_sample_after_a_gap_shows_its_frame_twice() -> None:
    clip = spaced(TORN)
    samples = Samples([clip], 24, 0, replace(Augment(), **dict.fromkeys(("flip", "colour", "shuffle_previous"), 0.0)))
    assert [place.t for place in samples.places] == [0, 1, 3, 4]
    pairs = {t: np.asarray(samples.sample(clip, t, np.random.default_rng(0))["frames"]) for t in (1, 3, 4)}
    assert {t: bool((pair[0] == pair[1]).all()) for t, pair in pairs.items()} == {1: False, 3: True, 4: False}


def test_what_is_predicted_after_a_gap_was_asked_with_that_frame_twice_and_true_progress() -> None:
    """Held out and in scoring alike."""
    clip = replace(square_clip(PATH := np.array([[70.0 + 3 * t, 90.0] for t in range(6)])), times=stamps(TORN, 12.5))
    at = [int(x) for x, _ in PATH]
    seen = [[at[0], at[0]], [at[0], at[1]], [at[3], at[3]], [at[3], at[4]]]
    held_out, scoring = Pixels(), Pixels()
    asked = probes([clip], 24)
    predict_probes(held_out, [clip], asked)  # type: ignore[arg-type]
    score_clip(clip, PredictedDeltas(scoring))  # type: ignore[arg-type]
    assert held_out.pairs == scoring.pairs[:: len(scoring.pairs) // 4] == seen
    true = [float(np.float32(second / sum(TORN))) for second in (0, 1, 7, 8)]
    assert held_out.progress == pytest.approx(true) and sorted(set(scoring.progress)) == pytest.approx(true)
    backwards = Pixels()
    predict_probes(backwards, [clip], asked, ("reversed",))  # type: ignore[arg-type]
    assert backwards.pairs == [[at[t + 1], at[t]] for t in (0, 1, 3, 4)]


def jumping(jump: float) -> TrackedClip:
    """A square that moves 2 px a step, and `jump` px over a gap in the middle: a stall, in which it moved on."""
    path = np.array([[40.0, 60.0]]) + np.cumsum([0, 2, 2, jump, 2, 2, 2])[:, None] * np.array([1.0, 0.0])
    clip = square_clip(path)
    return replace(clip, times=stamps([1, 1, 1 + jump / 2, 1, 1, 1], 12.5))


@pytest.mark.parametrize("jump", [2.0, 20.0, 60.0])
def test_how_far_things_went_in_a_gap_is_in_no_figure(jump: float) -> None:
    clip, even = jumping(jump), jumping(0.0)
    assert clip.gaps.tolist() == [False, False, True, False, False, False] and not even.gaps.any()
    np.testing.assert_allclose(mean_motion([clip], "none"), [2.0, 0.0], atol=1e-5)
    figures = quality(clip)
    assert figures.motion == pytest.approx(2.0, abs=1e-4) and figures.motion_raw == pytest.approx(2.0, abs=1e-4)
    assert (figures.gaps, figures.longest_gap_s) == (1, pytest.approx((1 + jump / 2) / 12.5))
    assert figures.track_length == 2.5, "a gap ends a segment here"
    for model in (Oracle(), ConstantVelocity()):
        scored = score_clip(clip, model)
        assert [s.gap for s in scored] == clip.gaps.tolist() and len(with_figures(scored)) == 5
        share = moved_shares(scored)
        assert share.tolist() == pytest.approx([1, 1, 0, 1, 1, 1]), "it keeps its place"
        assert agreements(scored).tolist() == agreements(score_moving(clip, model, 0.5)).tolist()
        told = score_summary(scored)
        assert (told["steps"], told["gaps"]) == (6, 1)
        assert told["moved_0.5"]["mean_agreement"] == mean_agreement(scored)  # type: ignore[index]
    assert agreements(score_clip(clip, ConstantVelocity())).tolist() == pytest.approx([0, 1, 0, 0, 1, 1])
    assert mean_agreement(score_clip(clip, Oracle())) == 1.0
    with pytest.raises(ValueError, match="each a gap"):
        score_summary([s for s in scored if s.gap])


def test_a_tracker_that_loses_everything_in_a_gap_is_not_blamed() -> None:
    clip = jumping(40.0)
    visible = clip.segments[0].visible.copy()
    visible[3:] = False
    torn = replace(clip, segments=(replace(clip.segments[0], visible=visible),))
    assert quality(torn).points_kept == 1.0


def test_a_stall_in_a_clip_on_disk_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        save_clip(spaced([1.0, 1.0, 1.0, 9.0, 1.0, 1.0], start=1, group=f"g{i}"), tmp_path / "clips" / f"c{i}")
    small = ["--image", "32", "--points", "12", "--batch", "4", "--device", "cpu", "--steps", "1"]
    train(["--clips", str(tmp_path / "clips"), "--out", str(tmp_path / "run"), *small, "--val_share", "0.3"])
    assert "frames: 5.357 Hz on average, 3 gaps of up to 0.72 s" in capsys.readouterr().out
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (told["gaps"], told["longest_gap_s"], told["mean_rate_hz"]) == pytest.approx((3, 0.72, 18 / 3.36))
    assert json.loads((tmp_path / "run" / "model_card.json").read_text())["data"]["gaps"] == 3
    asked = ["--clip", str(tmp_path / "clips" / "c0"), "--reward", "any_motion", "--film", "false"]
    score([*asked, "--out", str(tmp_path / "score")])
    assert "6 steps, 5.357 Hz on average, 1 gap of 0.72 s" in capsys.readouterr().out
    told = json.loads((tmp_path / "score" / "summary.json").read_text())
    assert (told["gaps"], told["longest_gap_s"]) == (1, pytest.approx(0.72))
    rows = list(csv.DictReader((tmp_path / "score" / "steps.csv").open()))
    assert [row["gap"] for row in rows] == list("000100") and rows[3]["step_s"] == "0.720000"


def test_a_video_whose_frames_stop_coming_moves_as_the_even_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For eleven frames' time none comes, while the object moves on."""
    scene = Moving(40, step=(1.0, 0.0))
    figures = {}
    for name, kept in (("even", np.arange(40)), ("stall", np.r_[:15, 25:40])):
        write_video(tmp_path / f"{name}.mp4", (scene[int(t)] for t in kept), kept / 25)
        asked = ["--video", str(tmp_path / f"{name}.mp4"), "--box", "55,25,105,71", "--overlay", "false"]
        track([*asked, "--out", str(tmp_path / name)])
        figures[name] = json.loads((tmp_path / name / "summary.json").read_text())
        clip = load_clip(tmp_path / name / "clip")
        for one in (clip, retimed(clip, 12.5)):
            moved = [np.median(x.delta[x.object][:, 0]) / x.step_s for x in transitions(one) if x.object.any()]
            assert np.median(moved) == pytest.approx(25 * 256 / clip.crop.size, rel=0.05), "pixels a second"
            assert one.gaps.sum() == (name == "stall")
            assert not one.gaps.any() or np.diff(one.times).max() == pytest.approx(11 / 25)
    said = capsys.readouterr().out
    assert "40 frames, 25 Hz on average, no gap" in said and "30 frames, 18.59 Hz on average, 1 gap of 0.44 s" in said
    assert (figures["stall"]["gaps"], figures["even"]["gaps"]) == (1, 0)
    assert figures["stall"]["motion_raw"] == pytest.approx(figures["even"]["motion_raw"], rel=0.1)
