"""Frames named are frames got: boundaries against stamps alone, and against small real videos; all made here."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mpr.cli import main as mpr
from mpr.core.data.boundaries import CLOSED, NUMBERS, STAMPS, Boundaries, frames_of
from mpr.core.data.video import VideoFrames
from mpr.core.errors import NoSuchFrame, UserError
from robot.cameras.video import VideoCamera
from tests.toy_arm import ToyClock
from tests.toy_sources import dump, number_of, numbered
from tracking.clips.action_masks import BoxMasks
from tracking.clips.actions import How, made_of
from tracking.clips.from_video import stretch_of
from tracking.sources.lerobot import Stretches
from tracking.sources.manifest import Entry, read_manifest, write_manifest
from tracking.sources.videos import probe

RATES = [Fraction(n) for n in (5, 10, 12, 24, 25, 30, 50, 60, 90, 120)]
RATES += [Fraction(n, 1001) for n in (24000, 30000, 48000, 60000, 120000)] + [Fraction(25, 2), Fraction(20, 3)]
ENTRY = Entry("mine", "u", "a.mp4", 1.0, 2.0, "opens", "open", "", "CC", "a")


@st.composite
def videos(draw) -> tuple[np.ndarray, Fraction, float]:
    """Stamps [T] in seconds, as a time base holds them, the nominal rate, and how long the last frame is shown."""
    rate = draw(st.sampled_from(RATES))
    base = draw(st.sampled_from([Fraction(1, 600), Fraction(1, 1000), Fraction(1, 90000), 1 / rate, 1 / (512 * rate)]))
    count = draw(st.integers(2, 60))
    even = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = [Fraction(1)] * count if even else [Fraction(int(n), 20) for n in rng.integers(12, 80, count)]
    begin = draw(st.sampled_from([Fraction(0), Fraction(7, 10), Fraction(3600)]))
    at = begin + np.concatenate([[0], np.cumsum(steps)]) / rate
    ticks = [round(stamp / base) for stamp in at]
    assume(all(b > a for a, b in pairwise(ticks)))
    stamps = np.array([float(tick * base) for tick in ticks])
    return stamps[:-1], rate, float(stamps[-1] - stamps[-2])


@given(videos(), st.data())
def test_frames_named_are_frames_got(video, data):
    times, rate, _ = video
    first = data.draw(st.integers(0, len(times) - 1))
    last = data.draw(st.integers(first, len(times) - 1))
    named = range(first, last + 1)
    mean = (len(times) - 1) / (times[-1] - times[0])
    nominal = [float(rate), round(float(rate), 2)] if 0.99 < mean / rate < 1.01 else []
    for counted in (0.0, mean, round(mean, 2), *nominal):
        assert frames_of(times, 0, 0, Boundaries(NUMBERS, first, last, rate_hz=counted)) == named
    assert frames_of(times, 0, 0, Boundaries(NUMBERS, first, last + 1, stop_included=False)) == named

    gaps = np.diff(times)
    shown = min(gaps[-1], np.median(gaps))  # the last frame: stamps do not say how long
    gaps = np.concatenate([gaps[:1], gaps, [shown]])

    def off(frame: int) -> float:
        """A third of a frame at most, of the shorter of its neighbours."""
        return data.draw(st.floats(-1 / 3, 1 / 3)) * gaps[frame : frame + 2].min()

    ends = np.append(times, times[-1] + gaps[-1]) - times[0]  # stamps that stand for frames count from the first image
    start, stop = ends[first] + off(first), ends[last] + off(last)
    assert frames_of(times, 0, 0, Boundaries(STAMPS, start, stop)) == named
    stop = ends[last + 1] + off(last + 1)
    assert frames_of(times, 0, 0, Boundaries(STAMPS, start, stop, stop_included=False)) == named


@given(videos(), st.data())
def test_seconds_take_the_frames_whose_stamp_lies_from_start_on_and_before_stop(video, data):
    times, _, last_s = video
    moment = st.sampled_from([*times, times[-1] + last_s]) | st.floats(float(times[0]) - 1, float(times[-1]) + 1)
    start, stop = sorted(data.draw(st.tuples(moment, moment)))
    for bound in (start, stop):
        off = np.abs(times - bound).min()
        assume(off == 0 or off > 1e-5)
    got = frames_of(times, round(start, 7), round(stop, 7))  # as a table writes it
    assert list(got) == np.flatnonzero((times >= start) & (times < stop)).tolist()


@given(
    st.sampled_from(RATES),
    st.lists(st.tuples(st.integers(1, 40), st.floats(-1 / 3, 1 / 3)), min_size=1, max_size=60),
    st.sampled_from([0.0, 1.0]),
)
@example(Fraction(30), [(20, 0.36)] * 3, 1.0)
@example(Fraction(30), [(20, 0.36)] * 60, 1.0)
def test_sums_of_durations_that_drift_lose_no_frame_of_an_episode_and_admit_none(rate, episodes, summed):
    """Durations rounded each on its own: with `summed` the errors add up, until another frame is the nearest."""
    stretches = Stretches(float(rate), reasons := Counter())
    begin, at, late = 0, 0.0, 0.0
    times = np.arange(sum(length for length, _ in episodes)) / float(rate)
    for length, off in episodes:
        stop = (begin + length + off + summed * late) / float(rate)
        got = frames_of(times, 0, 0, stretches.next("file", at, stop, length))
        assert got == range(begin, begin + length)
        begin, at, late = begin + length, stop, summed * late + off
    assert not (summed and reasons)


def test_episodes_that_do_not_follow_on_one_another_are_found_by_their_stamps():
    stretches = Stretches(10.0, reasons := Counter())
    assert stretches.next("file", 0.0, 1.0, 10) == Boundaries(NUMBERS, 0, 10, stop_included=False)
    assert stretches.next("file", 3.0, 4.0, 10) == Boundaries(
        STAMPS, 3.0, 4.0, stop_included=False
    )  # one was taken out
    assert stretches.next("other", 2.0, 3.0, 10).mean == STAMPS
    assert stretches.next("third", 0.0, 1.2, 10).mean == STAMPS
    assert reasons == {"found only by its seconds: they do not agree with the rows up to it": 3}


@pytest.mark.parametrize(
    "at",
    [
        Boundaries(NUMBERS, 3, 10),
        Boundaries(NUMBERS, 10, 12),
        Boundaries(NUMBERS, 3, 11, stop_included=False),
        Boundaries(STAMPS, 0.3, 0.96),
        Boundaries(STAMPS, 0.3, 1.16, stop_included=False),
        Boundaries(STAMPS, 7.0, 9.0),
        Boundaries(NUMBERS, 1, 6, rate_hz=5.0),
    ],
)
def test_a_frame_beyond_the_end_is_refused_by_name(at):
    with pytest.raises(NoSuchFrame, match="not in the video: its 10 frames are 0 to 9"):
        frames_of(np.arange(10) / 10, 0, 0, at)


def test_numbers_of_frames_that_were_taken_at_another_rate_are_seconds():
    times = np.arange(90) / 30
    assert frames_of(times, 0, 0, Boundaries(NUMBERS, 2, 5, rate_hz=5.0)) == range(12, 31)
    assert frames_of(times, 0, 0, Boundaries(NUMBERS, 2, 5, rate_hz=29.97)) == range(2, 6)


# Real videos


CAMERA = "observation.images.front"


@pytest.mark.parametrize("late_s", [0.0, 4e-6, 12e-3, -9e-3])
def test_a_robots_episodes_are_their_own_frames_however_late_their_seconds_are(late_s, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow, the extra `lerobot`, is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    place, rows = f"videos/{CAMERA}", []
    for file in range(2):
        numbered(tmp_path / f"set/{place}/chunk-000/file-00{file}.mp4", range(60), Fraction(1, 30))
        at = [k * (20 / 30 + late_s) for k in range(4)]
        rows += [
            {"episode_index": 3 * file + k, "tasks": ["open it"], "length": 20, f"{place}/chunk_index": 0,
             f"{place}/file_index": file, f"{place}/from_timestamp": at[k], f"{place}/to_timestamp": at[k + 1]}
            for k in range(3)
        ]  # fmt: skip
    info = {"codebase_version": "v3.0", "fps": 30, "features": {CAMERA: {"dtype": "video", "shape": [32, 128, 3]}},
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"}  # fmt: skip
    dump(tmp_path / "set/meta/info.json", info)
    (tmp_path / "set/meta/episodes/chunk-000").mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "set/meta/episodes/chunk-000/file-000.parquet")
    assert mpr(["find", "--lerobot", str(tmp_path / "set"), "--out", str(tmp_path / "run")]) == 0
    for k, entry in enumerate(read_manifest(tmp_path / "run/manifest.jsonl")):
        frames, _ = stretch_of(Path(entry.video), entry.start_s, entry.stop_s, 0.0, entry.boundaries)
        first = 20 * (k % 3)
        assert [number_of(frames[t]) for t in range(len(frames))] == list(range(first, first + 20))


SPACED = np.cumsum([2, 1, 1, 3, 1, 2, 1, 1, 1, 4] * 4)
HOW = {  # name: file, stamps of 40 frames, time base, sound from 0, options
    "29.97 in 600": ("a.mp4", [round(i * 600 * 1001 / 30000) for i in range(40)], Fraction(1, 600), False, {}),
    "59.94 in 1000": ("a.mkv", [round(i * 1000 * 1001 / 60000) for i in range(40)], Fraction(1, 1000), False, {}),
    "b frames": ("a.mp4", [1001 * i for i in range(40)], Fraction(1, 30000), False, {"bf": "3"}),
    "variable": ("a.mp4", [3000 * int(i) for i in SPACED], Fraction(1, 90000), False, {"bf": "2"}),
    "starts late": ("a.mp4", [500 + i for i in range(40)], Fraction(1, 25), False, {"bf": "2"}),
    "after sound": ("a.mp4", [21 + i for i in range(40)], Fraction(1, 30), True, {"bf": "2"}),
    "after sound, mkv": ("a.mkv", [700 + 40 * i for i in range(40)], Fraction(1, 1000), True, {"bf": "2"}),
    "after sound, ts": ("a.ts", [63000 + 3600 * i for i in range(40)], Fraction(1, 90000), True, {"bf": "2"}),
    "after sound, variable": ("a.mp4", [700 + 40 * int(i) for i in SPACED], Fraction(1, 1000), True, {}),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("fps", [False, True])
def test_a_tables_frames_are_the_frames_that_are_tracked(how, fps, tmp_path):
    name, stamps, base, sound, options = HOW[how]
    times = VideoFrames(numbered(tmp_path / "mine" / name, stamps, base, sound, options)).times
    named = [(0, 39), (0, 1), (38, 39), (7, 23)]
    rate = {"fps": str(Fraction(round(39 / (times[-1] - times[0]) * 1001), 1001))} if fps else {}  # "30000/1001"
    rows = [{"video": name, "start_frame": a, "end_frame": b, "text": f"opens {a} {b}"} | rate for a, b in named]
    dump(tmp_path / "mine/t.json", rows)
    assert mpr(["find", "--folder", str(tmp_path / "mine"), "--out", str(tmp_path / "run")]) == 0
    for entry, (a, b) in zip(read_manifest(tmp_path / "run/manifest.jsonl"), named, strict=True):
        frames, at = stretch_of(Path(entry.video), entry.start_s, entry.stop_s, 0.0, entry.boundaries)
        assert [number_of(frames[t]) for t in range(len(frames))] == list(range(a, b + 1))
        assert np.array_equal(at, times[a : b + 1])  # its own stamps
        inside = (times >= entry.start_s) & (times < entry.stop_s)  # what the seconds alone say
        assert np.flatnonzero(inside).tolist() == list(range(a, b + 1))


@pytest.mark.parametrize("how", [name for name in HOW if "sound" in name])
def test_seconds_count_from_where_the_sound_begins(how, tmp_path):
    name, stamps, base, sound, options = HOW[how]
    path = numbered(tmp_path / name, stamps, base, sound, options)
    video = VideoFrames(path)
    told = np.array(stamps) * float(base)
    shift = (
        0.0 if name == "a.mp4" else video.times[0] - told[0]
    )  # the others' sound begins by its encoder's delay before 0
    assert np.allclose(video.times, told + shift, atol=2e-3) and -1e-9 < shift < 0.2
    assert 0.65 < video.times[0] < 0.9
    info = probe(path)
    assert info is not None and info.seconds is not None and info.seconds > video.times[-1] - 0.1
    row = {"video": name, "start_s": 0.9, "stop_s": 1.5, "narration": "opens it"}
    end = {**row, "start_s": float(video.times[-5]), "stop_s": 1e3}  # beyond where the images would end, from 0 on
    dump(tmp_path / "t.json", [row, end])
    assert mpr(["find", "--folder", str(tmp_path), "--out", str(tmp_path / "run")]) == 0
    entry, last = read_manifest(tmp_path / "run/manifest.jsonl")
    frames, _ = stretch_of(path, entry.start_s, entry.stop_s, 0.0, entry.boundaries)
    expected = np.flatnonzero((video.times >= 0.9) & (video.times < 1.5)).tolist()
    assert [number_of(frames[t]) for t in range(len(frames))] == expected
    assert len(stretch_of(path, last.start_s, last.stop_s, 0.0, last.boundaries)[1]) == 5


def test_a_recorded_video_in_a_cameras_place_begins_when_it_is_entered(tmp_path):
    clock = ToyClock()
    path = numbered(tmp_path / "a.mp4", *HOW["after sound"][1:])
    with VideoCamera(path, clock=clock) as camera:
        assert camera.latest().time == clock.now() and number_of(camera.latest().image) == 0
        clock.advance(0.105)
        assert number_of(camera.latest().image) == 3


def test_frames_that_a_video_has_not_and_single_ones_are_left_out_by_name(tmp_path, capsys):
    name, *how = HOW["29.97 in 600"]
    numbered(tmp_path / "mine" / name, *how)
    rows = [(30, 40), (45, 60), (-1, 5), (7, 7), (9, 5), (5, 9)]
    dump(
        tmp_path / "mine/t.json", [{"video": name, "start_frame": a, "end_frame": b, "text": "opens"} for a, b in rows]
    )
    assert mpr(["find", "--folder", str(tmp_path / "mine"), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    for reason in ("3 left out: frames that the video has not", "1 left out: one frame", "1 left out: empty window"):
        assert f"mine: {reason}" in said or f"folder: {reason}" in said
    (entry,) = read_manifest(tmp_path / "run/manifest.jsonl")
    beyond = replace(entry, boundaries=replace(entry.boundaries, stop=40))
    with pytest.raises(UserError, match="frame 5 to 40 is not in the video: its 40 frames are 0 to 39"):
        stretch_of(Path(beyond.video), beyond.start_s, beyond.stop_s, 0.0, beyond.boundaries)


# Manifests


def test_a_manifest_says_what_its_boundaries_mean_and_one_of_before_means_what_it_meant(tmp_path):
    file = tmp_path / "m.jsonl"
    named = replace(ENTRY, uid="v", boundaries=Boundaries(NUMBERS, 30, 59, rate_hz=29.97))
    write_manifest(file, [ENTRY, named])
    assert read_manifest(file) == [ENTRY, named]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0].pop("boundaries") == {"mean": "seconds"}
    file.write_text(json.dumps(lines[0]) + "\n")
    (old,) = read_manifest(file)
    times = np.arange(90) / 30
    assert old.boundaries.mean == CLOSED and frames_of(times, 1.0, 2.0, old.boundaries) == range(30, 61)
    assert frames_of(times, 1.0, 2.0, ENTRY.boundaries) == range(30, 60)
    write_manifest(file, [old])
    assert json.loads(file.read_text()) == lines[0] and read_manifest(file) == [old]
    how = How(BoxMasks(), "lucas_kanade")
    assert made_of(old, how, b"x") == "8eea7ce6a87d4390b7328a744837c231517d5bfee1ec421969ca17684b7e4614"  # as before
    assert len({made_of(entry, how, b"x") for entry in (old, ENTRY, replace(named, uid="u"))}) == 3


@pytest.mark.parametrize(
    "odd",
    [
        None, "frames", [], {"mean": "days"}, {"mean": None}, {"mean": "seconds", "colour": 1},
        {"mean": NUMBERS, "start": "1"}, {"mean": NUMBERS, "start": 1.5, "stop": 3}, {"mean": NUMBERS, "start": -1},
        {"mean": NUMBERS, "start": 5, "stop": 3}, {"mean": STAMPS, "stop": float("nan")},
        {"mean": NUMBERS, "stop": 2**60},
        {"mean": NUMBERS, "stop": True}, {"mean": NUMBERS, "stop": 3, "stop_included": 1},
        {"mean": NUMBERS, "stop": 3, "rate_hz": -30},
    ],
)  # fmt: skip
def test_boundaries_that_are_none_are_refused_by_line(odd, tmp_path):
    file = tmp_path / "m.jsonl"
    file.write_text(json.dumps({**ENTRY.as_json(), "boundaries": odd}) + "\n")
    with pytest.raises(UserError, match="line 1: boundaries"):
        read_manifest(file)
