"""The benches of tracking: exact tracks score full marks, worse ones less; memory and stages are reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.commands import tracking_accuracy
from mpr.commands.tracking_accuracy import followed, iou, open_recorded_clips, paid
from mpr.core.data.clip import PointTracker, Tracks
from mpr.core.data.clip_folder import load_recording
from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene


class Shaken:
    """Exact tracks, and noise of so many pixels on every point but the queries."""

    def __init__(self, exact: PointTracker, pixels: float) -> None:
        self.exact, self.pixels, self.name = exact, pixels, "shaken"

    def track(self, frames, queries) -> Tracks:
        found = self.exact.track(frames, queries)
        noise = np.random.default_rng(0).normal(0, self.pixels, found.points.shape).astype(np.float32)
        noise[0] = 0
        return replace(found, points=found.points + noise)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "clips"
    assert mpr(["synth", "--clips", "2", "--seed", "51000", "--out", str(out)]) == 0
    return out


def test_exact_tracks_score_full_marks_and_noise_costs(clips: Path) -> None:
    folder = sorted(clips.glob("*/recording.npz"))[0].parent
    with open_recorded_clips(folder) as (clip, scene):
        exact = ExactTracker(scene, clip.crop)
        right = followed(clip, exact, exact) | paid(clip, exact, exact)
        noisy = followed(clip, Shaken(exact, 3), exact) | paid(clip, Shaken(exact, 3), exact)
    for key in ("delta_avg", "occlusion_accuracy", "average_jaccard", "object_average_jaccard"):
        assert right[key] == 1.0, key
    assert right["earned"] == pytest.approx(right["share"], rel=0.02) and right["share"] > 0
    assert noisy["object_delta_avg"] < 0.7
    assert noisy["earned"] < 0.9 * noisy["share"] and noisy["error_median_px"] > 1


def test_motion_invented_where_all_rests_is_counted(clips: Path) -> None:
    """Seen from where the camera stood at first, a scene mostly rests; every point counts as the object's here."""
    folder = sorted(clips.glob("*/recording.npz"))[0].parent
    recording = load_recording(folder)
    assert recording is not None
    camera, length = recording.camera, len(recording)
    still = replace(
        camera,
        positions=np.repeat(camera.positions[:1], length, 0),
        quaternions=np.repeat(camera.quaternions[:1], length, 0),
    )
    with open_recorded_clips(folder) as (clip, _):
        exact = ExactTracker(RecordedScene(replace(recording, camera=still)), clip.crop)
        clip = replace(clip, masks=[np.ones((256, 256), bool)] * length)
        right, noisy = paid(clip, exact, exact), paid(clip, Shaken(exact, 3), exact)
    assert right["resting"] > 1000 and right["invented"] == 0
    assert noisy["invented"] > 0.9 * noisy["resting"]


def test_the_bench_writes_its_table_and_goes_on(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["bench", "tracking", "--recordings", f"[{clips}]", "--out", str(tmp_path / "out")]
    assert mpr(asked) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [row["what"] for row in rows] == ["lucas_kanade", "masks"] * 2
    assert all(0 < row["delta_avg"] <= 1 for row in rows[::2]) and all(row["seconds"] > 0 for row in rows)
    text = (tmp_path / "out" / "table.md").read_text()
    assert "lucas_kanade" in text and "mask IoU" in text
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out" / "metrics.jsonl").write_text("".join(lines[:3]))  # killed before the last masks
    seen = []
    monkeypatch.setattr(tracking_accuracy, "measure_trackers", lambda folder, *_: seen.append(folder.name) or iter(()))
    assert mpr(asked) == 0
    assert seen == [rows[2]["clip"]]


def test_iou() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[:2], b[1:3] = True, True
    assert iou(a, b) == pytest.approx(4 / 12) and iou(a, a) == 1 and np.isnan(iou(a & ~a, a & ~a))


@pytest.mark.parametrize(("more", "words"), [(["--most", "0"], "at least 1"), (["--trackers", "[dowser]"], "dowser")])
def test_wrong_requests_are_named(clips: Path, tmp_path: Path, capsys, more, words) -> None:
    asked = ["bench", "tracking", "--recordings", f"[{clips}]", "--out", str(tmp_path / "out"), *more]
    assert mpr(asked) == 2 and words in capsys.readouterr().err
    assert mpr(["bench", "tracking", "--recordings", f"[{tmp_path}]"]) == 2
    assert "no recordings in" in capsys.readouterr().err


def test_stages_and_memory_of_a_video(tmp_path: Path) -> None:
    asked = ["bench", "video", "--seconds", "[1.0, 2.0]", "--width", "320", "--height", "240"]
    assert mpr([*asked, "--out", str(tmp_path / "out")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [row["what"] for row in rows] == ["stages", "action", "action"] and rows[0]["frames"] == 10
    assert all(rows[0][stage] > 0 for stage in ("decode", "masks", "points", "store", "overlay"))
    assert all(0.05 < row["peak_gb"] < 3 and row["num_clips"] == 1 for row in rows[1:])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert 0.5 < summary["growth"] < 2
