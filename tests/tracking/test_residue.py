"""What compensation leaves on clips whose camera is known: the truth itself, by hand, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.clip import CROP_SIZE, ClipSource, TrackedClip
from mpr.core.data.clip_folder import load_clip, save_clip
from tests.core.test_scene import record, scene
from tracking.motion.compensation import MOTIONS, camera_motion
from tracking.motion.points import Transition
from tracking.motion.segments import grid_points, track_segments
from tracking.simulator.mujoco_scene import ExactTracker
from tracking.synth import residue


def toy_clip(toy, length: int) -> TrackedClip:
    crop = toy.crop(stride=16)
    at = crop.to_source(grid_points(CROP_SIZE, 64).astype(float))
    masks = [np.kron(toy.object_pixels(at, t).reshape(64, 64), np.ones((4, 4))).astype(bool) for t in range(length)]
    frames = np.zeros((length, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    segments = track_segments(ExactTracker(toy, crop), frames, masks, grid=16)  # type: ignore[arg-type]
    source = ClipSource("test", "toy", 0.0, 1.0, "", "none", "rays", ExactTracker.name)
    times = toy.recording.times
    return TrackedClip(frames, masks, segments, times, 12.5, crop, source)  # type: ignore[arg-type]


def test_the_truth_is_how_a_thing_at_rest_moves_in_the_image_and_no_motion_of_its_own():
    """The box stands still: its tracks are the camera's motion. The door opens: its are not."""
    toy = scene(length=3)
    crop = toy.crop(stride=16)
    points = grid_points(CROP_SIZE, 24)
    tracks = ExactTracker(toy, crop).track(np.zeros((3, 1, 1, 3)), np.insert(points, 0, 1, 1))  # type: ignore[arg-type]
    geom, _ = toy.cast(crop.to_source(points.astype(float)), 1)
    names = np.array(["wall", "box", "door", "handle", "arm", "nothing"])[geom]
    delta, seen = tracks.points[2] - points, tracks.visible[1] & tracks.visible[2]
    off = np.linalg.norm(delta - residue.camera_truth(toy, crop, points, 1), axis=1)
    still, moving = seen & np.isin(names, ["wall", "box"]), seen & (names == "door")
    assert still.sum() > 20 and moving.sum() > 20
    assert off[still].max() < 1e-3 and np.median(off[moving]) > 1 and np.linalg.norm(delta[still], axis=1).min() > 1


def test_a_camera_at_rest_has_no_motion():
    toy = scene(length=3, moving_camera=False)
    truth = residue.camera_truth(toy, toy.crop(stride=16), grid_points(CROP_SIZE, 8), 0)
    assert np.abs(truth[np.isfinite(truth).all(1)]).max() < 1e-6


@pytest.fixture
def folder(tmp_path, monkeypatch):
    toy = scene(length=6)
    monkeypatch.setattr(residue, "RecordedScene", lambda recording: scene(length=6))
    save_clip(toy_clip(toy, 6), tmp_path / "clips" / "toy", record(length=6))
    return tmp_path / "clips"


def test_the_command_writes_what_each_way_leaves(folder, tmp_path, capsys):
    out = tmp_path / "run"
    for _ in range(2):  # a second time gives the same
        assert mpr(["bench", "camera", "--clips", str(folder), "--every", "2", "--out", str(out)]) == 0
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert [row["t"] for row in rows] == [0, 2, 4]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["transitions"] == 3 and set(summary["mean"]) == set(MOTIONS)
    assert summary["mean"]["none"] == pytest.approx(np.mean([row["none"] for row in rows]), abs=1e-3)
    clip = load_clip(folder / "toy")
    first = Transition.of(clip, 0)
    truth = residue.camera_truth(scene(length=6), clip.crop, first.before[first.object], 0)
    assert rows[0]["none"] == pytest.approx(np.linalg.norm(truth, axis=1).mean(), abs=1e-4)
    left = camera_motion(first, "homography")[first.object] - truth
    assert rows[0]["homography"] == pytest.approx(np.linalg.norm(left, axis=1).mean(), abs=1e-4)
    assert "homography" in capsys.readouterr().out


def test_what_it_cannot_measure_is_one_line(folder, tmp_path, capsys):
    (folder / "toy" / "recording.npz").unlink()
    about = json.loads((folder / "toy" / "clip.json").read_text())
    del about["sha256"]["recording.npz"]
    (folder / "toy" / "clip.json").write_text(json.dumps(about))
    assert mpr(["bench", "camera", "--clips", str(folder), "--out", str(tmp_path / "run")]) == 2
    assert "toy holds no scene recording" in capsys.readouterr().err
    assert mpr(["bench", "camera", "--clips", str(tmp_path / "none")]) == 2
    assert mpr(["bench", "camera", "--every", "0"]) == 2
