"""Synthetic clips: laws of motion and geometry, exactness against the compiled model, same seed same bytes, resume."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import load_clip
from mpr.core.errors import UserError
from tracking.commands.synth import folder_of
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_render import RayMasks
from tracking.simulator.mujoco_scene import RecordedScene
from tracking.synth.appliance import DOOR
from tracking.synth.clip import record_synthetic, synthesise
from tracking.synth.datacard import degrees_per_second, known_recording, measure_clip, summarise
from tracking.synth.hand import GRASPS, NQ, SynthHand, hand_qpos
from tracking.synth.head import HEAD_CAMERA_PX, aim, looking
from tracking.synth.names import SYNTH_TASKS
from tracking.synth.scene import build_appliance, make

tasks = st.sampled_from(SYNTH_TASKS)
seeds = st.integers(0, 10**6)
few = settings(max_examples=12, deadline=None)


def posed(recording, t):
    scene = RecordedScene(recording)
    scene.pose(t)
    return scene.model, scene.data


def files_of(root: Path) -> dict[str, str]:
    """Checksums of all files of all clip folders below root."""
    found = sorted(f for f in root.glob("*/*") if f.is_file())
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in found}


@pytest.mark.parametrize("task", SYNTH_TASKS)
def test_the_same_seed_builds_the_same_model_and_another_seed_another(task):
    a, b, c = build_appliance(task, 7), build_appliance(task, 7), build_appliance(task, 8)
    for name in ("geom_pos", "geom_size", "mat_rgba", "tex_data", "light_diffuse", "geom_quat"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert a.ngeom != c.ngeom or not np.array_equal(a.geom_pos, c.geom_pos)


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(UserError, match=r"open_fridge.*open_microwave"):
        build_appliance("open_fridge", 1)


@few
@given(tasks, seeds)
def test_a_handle_sits_away_from_the_hinge_and_a_panel_slides_away_from_its_handle(task, seed):
    _, a, _ = make(task, seed)
    x = a.handle.position[0]
    if a.slides:
        assert x * a.side < 0 and abs(x) > 0.25 * a.door_size[0]
    else:
        assert x * a.side > 0.6 * a.door_size[0]


@few
@given(tasks, seeds)
def test_an_opening_only_opens_within_the_ranges(task, seed):
    recording = record_synthetic(task, "open", seed)
    door = np.array(recording.extra["door"])
    _, a, _ = make(task, seed)
    assert (np.diff(door) >= 0).all()
    if a.slides:
        assert 0.4 * a.door_size[0] - 1e-4 <= door[-1] <= 0.95 * a.door_size[0] + 1e-4
        assert door[0] <= 0.15 * a.door_size[0]
    else:
        assert np.deg2rad(35) - 1e-4 <= door[-1] <= np.deg2rad(110) + 1e-4
        assert door[0] <= np.deg2rad(25) + 1e-4
    assert 0.72 <= recording.times[-1] <= 3.98
    first = recording.extra["first_motion_frame"]
    assert 0.2 * (len(door) - 1) - 1 <= first <= 0.7 * (len(door) - 1) + 1


@few
@given(tasks, seeds, st.sampled_from(["open", "close"]))
def test_phases_tile_the_clip_and_the_door_stands_still_outside_moves(task, seed, kind):
    recording = record_synthetic(task, kind, seed)
    phases = recording.extra["phases"]
    assert phases[0]["start"] == 0 and phases[-1]["stop"] == len(recording)
    assert all(a["stop"] == b["start"] for a, b in itertools.pairwise(phases))
    door = np.array(recording.extra["door"])
    for phase in phases:
        if phase["name"] != "move":
            inside = door[phase["start"] : phase["stop"]]
            assert np.ptp(inside) < 1e-4 if len(inside) else True


@few
@given(tasks, seeds)
def test_the_recorded_door_is_the_models_door(task, seed):
    recording = record_synthetic(task, "open", seed)
    _, a, _ = make(task, seed)
    t = len(recording) - 1
    model, data = posed(recording, t)
    q = recording.qpos[t, :1]
    door = data.body(DOOR)
    for local in (np.zeros(3), a.handle.position, np.array([a.edge, 0, 0.1])):
        assert np.allclose(door.xpos + door.xmat.reshape(3, 3) @ local, a.door_point(q, local)[0], atol=1e-9)
    assert model.nq == 1 + NQ == recording.qpos.shape[1]


@few
@given(tasks, seeds)
def test_the_hand_holds_the_handle_while_the_door_first_moves(task, seed):
    recording = record_synthetic(task, "open", seed)
    _, a, hand = make(task, seed)
    move = next(p for p in recording.extra["phases"] if p["name"] == "move")
    distances = []
    for t in range(recording.extra["contact_frame"], move["stop"]):
        _, data = posed(recording, t)
        handle = a.door_point(recording.qpos[t, :1], a.handle.position)[0]
        distances.append(np.linalg.norm(data.body("hand").xpos - handle))
    assert np.ptp(distances) < 1e-6
    assert max(distances) < 0.14 * hand.size


@few
@given(tasks, seeds)
def test_the_whole_object_stays_in_the_source_image(task, seed):
    recording = record_synthetic(task, "open", seed)
    _, a, _ = make(task, seed)
    for t, q in enumerate(recording.qpos[:, 0]):
        pixels, depth = recording.camera.project(a.corners(float(q)), t)
        assert (depth > 0).all() and (pixels > -0.5).all() and (pixels < np.array(HEAD_CAMERA_PX)).all()


@pytest.mark.parametrize("task", SYNTH_TASKS)
def test_closing_is_the_opening_backwards(task):
    opening, closing = record_synthetic(task, "open", 11), record_synthetic(task, "close", 11)
    assert np.array_equal(opening.qpos[::-1, 0], closing.qpos[:, 0])
    assert closing.extra["kind"] == "close" and closing.extra["door"][0] > closing.extra["door"][-1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("task", SYNTH_TASKS)
def test_a_miss_moves_the_hand_but_touches_and_moves_nothing(task, seed):
    recording = record_synthetic(task, "miss", seed)
    assert np.ptp(recording.qpos[:, 0]) == 0
    assert recording.extra["first_motion_frame"] is None and recording.extra["contact_frame"] is None
    assert np.linalg.norm(np.ptp(recording.qpos[:, 1:4], axis=0)) > 0.15  # the palm travels
    scene = RecordedScene(recording)
    fingers = [g for g in range(scene.model.ngeom) if is_hand(scene.model, g)]
    for t in range(len(recording)):
        scene.pose(t)
        for g in np.flatnonzero(scene.part_geoms):
            for f in fingers:
                assert mujoco.mj_geomDistance(scene.model, scene.data, f, int(g), 0.02, None) > 0.005


def is_hand(model, geom: int) -> bool:
    body = model.geom_bodyid[geom]
    name = model.body(int(body)).name
    return model.body(int(model.body_rootid[body])).name == "hand" and name not in ("forearm", "upper_arm")


def test_looking_puts_the_target_in_the_middle_of_the_image():
    position, target = np.array([[0.4, -1.2, 0.5]]), np.array([[-0.1, 0.2, 0.0]])
    yaw, pitch = aim(target - position)
    pixels, depth = looking(position, yaw, pitch, np.array([0.3]), 1.0).project(target, 0)
    assert np.allclose(pixels, [[(HEAD_CAMERA_PX[0] - 1) / 2, (HEAD_CAMERA_PX[1] - 1) / 2]]) and depth[0] > 0


@given(st.booleans(), st.floats(0.9, 1.1), st.sampled_from(sorted(GRASPS)), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_grasp_touches_the_point_it_was_asked_to(right, size, grasp, seed):
    rng = np.random.default_rng(seed)
    hand, point = SynthHand(right, size), rng.normal(size=3)
    approach = rng.normal(size=3)
    thumb = np.cross(approach, rng.normal(size=3))
    position, turn = hand.palm(point, approach, thumb, GRASPS[grasp])
    assert np.allclose(position + turn.apply(hand.local(GRASPS[grasp].grip) * size), point)
    mirror = 1 if right else -1
    assert turn.apply([0.0, mirror, 0]) @ thumb > 0  # the thumb is where it was asked to be
    assert np.isclose(np.linalg.det(turn.as_matrix()), 1)


def test_the_arm_points_to_the_shoulder():
    spec, _, hand = make("open_microwave", 3)
    model = spec.compile()
    data = mujoco.MjData(model)
    shoulder = np.array([[0.3, -1.4, 0.1]])
    turn = Rotation.from_euler("xyz", [[0.3, -0.2, 1.1]])
    fingers, thumb = np.zeros((1, 4, 3)), np.array([[1.0, 0.4, 0, 0.1]])
    data.qpos[:] = np.concatenate([[[0.0]], hand_qpos(hand, np.zeros((1, 3)), turn, fingers, thumb, shoulder)], 1)[0]
    mujoco.mj_kinematics(model, data)
    upper = data.body("upper_arm")
    along = upper.xmat.reshape(3, 3) @ [-1.0, 0, 0]
    wanted = shoulder[0] - upper.xpos
    assert np.allclose(along, wanted / np.linalg.norm(wanted), atol=1e-9)


@pytest.mark.gl
def test_masks_show_the_whole_object_without_the_hand():
    clip, recording = synthesise("open_microwave", "open", 4)
    scene = RecordedScene(recording)
    rays = RayMasks(scene, clip.crop)
    for t in (0, len(recording) // 2, len(recording) - 1):
        assert (rays[t] == clip.masks[t]).mean() > 0.99
        geom, _ = scene.cast(rays.pixels, t)
        roots = scene.model.body_rootid[scene.model.geom_bodyid[np.maximum(geom, 0)]]
        on_hand = (geom >= 0) & (roots == scene.model.body("hand").id)
        assert not rays[t].ravel()[on_hand].any()


@pytest.mark.gl
def test_the_same_seed_gives_the_same_bytes_over_runs_and_worker_counts(tmp_path):
    for workers in (1, 2):
        command = ["synth", "--task", "open_slide_cabinet", "--clips", "2", "--seed", "3", "--workers", str(workers)]
        assert mpr([*command, "--out", str(tmp_path / str(workers))]) == 0
    clips = files_of(tmp_path / "1")
    assert len(clips) == 2 * 5  # clip.json, frames, masks, tracks, recording
    assert clips == files_of(tmp_path / "2")


@pytest.mark.gl
def test_a_run_keeps_finished_clips_makes_the_missing_and_can_be_continued(tmp_path, capsys):
    out = tmp_path / "run"
    command = ["synth", "--task", "open_hinge_cabinet", "--seed", "3", "--out", str(out)]
    assert mpr([*command, "--clips", "2"]) == 0
    before = files_of(out)
    kept = folder_of(out, "open_hinge_cabinet", "open", 3)
    lost = folder_of(out, "open_hinge_cabinet", "open", 4)
    stamp = (kept / "clip.json").stat().st_mtime_ns
    (lost / "clip.json").unlink()  # half-written, as a kill would never leave it
    assert mpr([*command, "--clips", "3"]) == 0
    after = files_of(out)
    assert before.items() <= after.items() and len(after) == 15
    assert (kept / "clip.json").stat().st_mtime_ns == stamp
    assert json.loads((out / "summary.json").read_text())["clips"] == 3
    assert mpr([*command, "--clips", "3", "--rate_hz", "10"]) == 2
    assert "rate_hz" in capsys.readouterr().err
    clip = load_clip(kept, verify=True)
    assert clip.source.dataset == "synth" and clip.source.tracker == "exact, privileged"
    row = measure_clip(clip, known_recording(kept))
    assert "use" not in clip.source.extra
    assert 0 <= row["occluded_share"] < 1 and 0.02 < row["area_share"] < 1
    assert summarise([row])["share of transitions in which the object moves"] == round(float(np.mean(row["moves"])), 3)


@pytest.mark.gl
def test_closing_and_missing_clips_say_that_they_are_for_tests_only():
    for kind in ("close", "miss"):
        clip, _ = synthesise("open_microwave", kind, 1)
        assert clip.source.extra["kind"] == kind and "never training" in clip.source.extra["use"]


def test_dry_run_touches_nothing_and_bad_values_are_refused(tmp_path, capsys):
    out = tmp_path / "run"
    assert mpr(["synth", "--clips", "5", "--out", str(out), "--dry-run"]) == 0
    assert not out.exists() and "clips to make: 5" in capsys.readouterr().out
    for bad in (["--task", "open_fridge"], ["--kind", "shake"], ["--clips", "0"], ["--workers", "0"]):
        assert mpr(["synth", *bad, "--out", str(out)]) == 2
        assert bad[0][2:] in capsys.readouterr().err
    assert not out.exists()


def test_camera_speed_of_a_steady_turn():
    turns = Rotation.from_euler("y", np.arange(5)[:, None] * 2.0, degrees=True)
    assert np.allclose(degrees_per_second(turns.as_quat(), 12.5), 25.0)
