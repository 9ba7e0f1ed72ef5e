"""The rate that an exported LeRobot data set counts by is the one at which its episodes were recorded."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from robot.recording.lerobot import nominal_rate
from robot.recording.recorder import Recorder
from tests.toy_robot_episodes import robot_episode
from tracking.sources.manifest import read_manifest

TOLERANCE_S = 1e-4  # lerobot's, 0.6.1


def recorded(rate: float, steps: int, late: float = 0.0, seed: int = 0, cameras=(), **more):
    """An episode whose periods are up to `late` of one longer or shorter."""
    rng = np.random.default_rng(seed)
    times = 1000 + (np.arange(steps + 1) + late * rng.uniform(-0.5, 0.5, steps + 1)) / rate
    return robot_episode(seed, steps, cameras, times=times, task=f"open door {seed}", **more)


@settings(deadline=None)
@given(st.sampled_from([1, 2.5, 5, 6.25, 7.5, 10, 12.5, 15, 20, 25, 30, 50, 60, 100]), st.integers(0, 99))
def test_a_rate_is_found_among_late_and_early_beats(rate, seed):
    for late in (0.0, 0.01):
        assert nominal_rate([recorded(rate, 40, late, seed)]) == rate
    told = [recorded(rate, 6, 0.05, seed, rate_hz=float(rate)) for _ in range(2)]
    assert nominal_rate(told) == rate and isinstance(nominal_rate(told), int) == float(rate).is_integer()


def test_what_was_asked_for_is_not_what_was_done():
    assert nominal_rate([recorded(8, 40, rate_hz=10.0)]) == 8
    assert nominal_rate([recorded(30000 / 1001, 40)]) == 30


@pytest.mark.parametrize("rate", [12.5, 6.25, 10, 30])
def test_every_row_finds_its_own_image_as_lerobot_looks_for_it(rate, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, the extra `lerobot`, is not installed")
    recorder = Recorder(tmp_path / "session")
    for seed, steps in enumerate((9, 14, 5)):
        recorder.save(recorded(rate, steps, 0.02, seed, ("world",)))
    out, camera = tmp_path / "run", "observation.images.world"
    assert mpr(["robot", "export", "--episodes", str(recorder.root), "--out", str(out)]) == 0
    root = out / "episodes"
    info = json.loads((root / "meta/info.json").read_text())
    assert info["fps"] == rate == info["features"][camera]["info"]["video.fps"]
    assert isinstance(info["fps"], int) == float(rate).is_integer()
    rows = parquet.read_table(root / "data/chunk-000/file-000.parquet").to_pylist()
    listed = parquet.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    with av.open(str(root / f"videos/{camera}/chunk-000/file-000.mp4")) as file:
        stamps = np.array([float(frame.time or 0) for frame in file.decode(video=0)])
        average = Fraction(file.streams.video[0].average_rate or 0)
    assert average == Fraction(rate).limit_denominator(100)
    for row in rows:
        wanted = listed[row["episode_index"]][f"videos/{camera}/from_timestamp"] + row["timestamp"]
        assert round(wanted * float(average)) == row["index"] == np.abs(stamps - wanted).argmin()
        assert abs(stamps[row["index"]] - wanted) < TOLERANCE_S
    seconds = np.array([row["observation.time"] for row in rows]) - [row["timestamp"] for row in rows]
    assert np.abs(seconds).max() < 0.03 / rate, "nominal seconds drift from the measured ones"
    found = ["find", "--lerobot", str(root), "--camera", camera, "--sheet", "0", "--out", str(tmp_path / "found")]
    assert mpr(found) == 0
    entries = read_manifest(tmp_path / "found/manifest.jsonl")
    assert [e.narration for e in entries] == [f"open door {n}" for n in range(3)]
    assert [(e.boundaries.start, e.boundaries.stop) for e in entries] == [(0, 9), (9, 23), (23, 28)]
