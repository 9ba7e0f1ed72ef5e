"""Franka Kitchen: the task table, the environment's promises, the expert, the five kinds of episodes, the views."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium_robotics")

from gymnasium.utils.env_checker import check_env
from gymnasium_robotics.envs.franka_kitchen import kitchen_env

from mpr.episode import Episode, load_episode
from rl.kitchen import command, scene
from rl.kitchen.arm import Arm
from rl.kitchen.camera import MIRRORED, VIEWS, camera_path, view_names
from rl.kitchen.environment import KitchenEnvironment
from rl.kitchen.episodes import KINDS, attempt_episode, reversals
from rl.kitchen.expert import GRASPS, Follower, Plan, opening_plan
from rl.kitchen.tasks import ARM, STOCK_RADIUS, TASKS, Task, find_task
from tracking.errors import UserError
from tracking.gl import mujoco
from tracking.mujoco_scene import RecordedScene

SEED = 600_000
TASK_NAMES, KIND_NAMES = list(TASKS), list(KINDS)


@lru_cache(maxsize=32)
def episode(task: str, kind: str, seed: int = SEED, view: str = "front") -> Episode:
    made = attempt_episode(task, kind, seed, view)
    assert not isinstance(made, str), made
    return made


def travel_of(made: Episode) -> np.ndarray:
    assert made.recording is not None
    return find_task(made.about["task"]).travel(made.recording.qpos)


def open_to(environment: KitchenEnvironment, travel: float) -> None:
    qpos = environment.data.qpos.copy()
    qpos[environment.task.qpos] = environment.task.sign * travel
    environment.write_qpos(qpos)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS.values(), ids=TASK_NAMES)
def test_index_table_agrees_with_the_compiled_model(task: Task) -> None:
    model = scene.build()
    joint = model.joint(task.joint)
    assert joint.qposadr[0] == task.qpos
    away = joint.range[np.argmax(np.abs(joint.range))]
    assert away == pytest.approx(task.sign * task.limit)
    bodies = {model.body(model.site(task.handle).bodyid[0]).name, model.body(joint.bodyid[0]).name}
    assert bodies <= set(task.part_bodies) <= set(task.object_bodies)
    assert all(model.body(name).id > 0 for name in task.object_bodies)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASK_NAMES)
def test_goals_and_radius_are_the_installed_environments(task: Task) -> None:
    assert kitchen_env.OBS_ELEMENT_INDICES[task.stock_name].tolist() == list(task.joints)
    assert kitchen_env.OBS_ELEMENT_GOALS[task.stock_name].tolist() == list(task.goal)
    assert kitchen_env.BONUS_THRESH == STOCK_RADIUS


# --- the environment --------------------------------------------------------------------------------------------------


def test_environment_passes_gymnasiums_own_check() -> None:
    check_env(KitchenEnvironment("microwave"), skip_render_check=True)


def test_a_state_written_from_outside_survives_the_next_step() -> None:
    environment = KitchenEnvironment("microwave", robot_noise_ratio=0.0)
    environment.reset(seed=1)
    qpos = environment.data.qpos.copy()
    qpos[ARM] += [0.5, 0.3, -0.4, 0.3, 0.4, 0.3, -0.5]
    environment.write_qpos(qpos)
    environment.step(np.zeros(9))
    assert np.abs(environment.data.qpos[ARM] - qpos[ARM]).max() < 0.02


@pytest.mark.parametrize(("task", "travel"), [("microwave", 0.45), ("slide", 0.07)])
def test_success_is_the_first_crossing_of_the_stock_threshold(task: str, travel: float) -> None:
    environment = KitchenEnvironment(task)
    environment.reset(seed=2)
    open_to(environment, travel - 0.01)
    _, reward, terminated, truncated, info = environment.step(np.zeros(9))
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
    open_to(environment, travel + 0.01)
    _, reward, terminated, truncated, info = environment.step(np.zeros(9))
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


def test_hinge_success_needs_the_other_door_shut() -> None:
    task, qpos = find_task("hinge"), np.zeros(30)
    qpos[task.qpos] = 1.3
    assert task.solved(qpos)
    qpos[20] = -0.3
    assert not task.solved(qpos)


def test_time_limit_truncates_and_success_terminates_never_both() -> None:
    environment = KitchenEnvironment("microwave", step_limit=2)
    environment.reset(seed=3)
    assert environment.step(np.zeros(9))[2:4] == (False, False)
    assert environment.step(np.zeros(9))[2:4] == (False, True)
    environment.reset(seed=3)
    environment.step(np.zeros(9))
    open_to(environment, 0.6)
    assert environment.step(np.zeros(9))[2:4] == (True, False), "success on the last step is no time-out"


def test_the_final_frame_is_kept() -> None:
    environment = KitchenEnvironment("microwave")
    environment.reset(seed=4)
    open_to(environment, 0.6)
    observation, _, terminated, _, _ = environment.step(np.zeros(9))
    assert terminated and len(environment.trajectory) == 2
    assert environment.task.travel(environment.trajectory[-1]) > 0.45
    np.testing.assert_array_equal(environment.trajectory[-1], environment.data.qpos)
    np.testing.assert_allclose(observation[ARM], environment.data.qpos[ARM], atol=0.01)


def test_reset_places_robot_arm_and_door_by_seed() -> None:
    environment = KitchenEnvironment("hinge", ajar=True, object_noise_ratio=0.0)
    starts = [(environment.reset(seed=s)[0], environment.base_offset, environment.travel) for s in (5, 6, 5)]
    np.testing.assert_array_equal(starts[0][0], starts[2][0])
    assert np.abs(starts[0][0][ARM] - starts[1][0][ARM]).max() > 0.01
    for observation, base, travel in starts:
        assert (base >= 0).all() and (base <= 0.08).all() and 0 <= travel <= 0.35
        assert observation.shape == (62,)
    assert starts[0][2] != starts[1][2]


def test_the_state_ends_with_handle_minus_gripper() -> None:
    environment = KitchenEnvironment("slide")
    observation, _ = environment.reset(seed=7)
    np.testing.assert_allclose(observation[-3:], environment.handle - environment.gripper)
    before = environment.handle
    open_to(environment, 0.2)
    np.testing.assert_allclose(environment.handle - before, [0.2, 0, 0], atol=1e-3)


# --- arm and expert ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def arm_of_the_kitchen() -> Arm:
    return Arm(scene.build())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=7, max_size=7))
def test_inverse_kinematics_finds_reachable_poses(turn: list[float]) -> None:
    arm = arm_of_the_kitchen()
    posture = np.array(GRASPS["slide"].posture)
    position, orientation = arm.pose(np.clip(posture + turn, arm.low, arm.high))
    q, error = arm.solve(position, orientation, posture, posture, iterations=300)
    assert error < 2e-3 and (q >= arm.low).all() and (q <= arm.high).all()
    np.testing.assert_allclose(arm.pose(q)[1], orientation, atol=0.02)


def test_plans_respect_the_motors_and_the_shift() -> None:
    environment = KitchenEnvironment("hinge")
    environment.reset(seed=8)
    shift = np.array([0.05, -0.15, 0.02])
    here, beside = Plan(environment).reach(), Plan(environment, shift).reach()
    grip, miss = here.arm.pose(here.q)[0], beside.arm.pose(beside.q)[0]
    np.testing.assert_allclose(miss - grip, shift, atol=5e-3)
    assert np.abs(np.diff(here.swing(1.2, 3).joints, axis=0)).max() < 0.1, "3 steps are too few for the arm"


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_expert_opens_ajar_doors_too_and_its_labels_carry_no_noise(task: str) -> None:
    environment, rng = KitchenEnvironment(task, ajar=True), np.random.default_rng(9)
    environment.reset(seed=9)
    follower, terminated, truncated = Follower(opening_plan(environment, rng)), False, False
    while not (terminated or truncated):
        before = environment.data.qpos.copy()
        label = follower.act(environment.data)
        np.testing.assert_array_equal(before, environment.data.qpos)
        terminated, truncated = environment.step(label)[2:4]
    assert terminated


# --- the kinds of episodes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_each_kind_is_what_it_says(task: str, kind: str) -> None:
    made, t = episode(task, kind), find_task(task)
    travel, opened = travel_of(made), t.opened
    assert made.success == made.terminated == (kind == "opening") and made.truncated == (kind != "opening")
    assert 15 <= len(made) <= 150
    if kind == "opening":
        assert travel[0] < t.still and travel[-1] >= opened > travel[-2]
        moving = int((travel > 0.05 * opened).sum())
        assert 10 <= moving <= 55
    elif kind == "closing":
        assert travel[0] > 0.6 * opened and travel[-1] < 0.1 * opened
        assert np.diff(travel).max() < 0.05 * opened, "a door that is being closed does not open"
    elif kind == "jiggling":
        assert reversals(travel, 0.3 * opened) >= 3
    elif kind == "miss":
        assert np.ptp(travel) < t.still
        assert np.linalg.norm(made.states[:, -3:], axis=1).min() > 0.1, "the gripper came to the handle"
    else:
        assert 0.25 * opened < travel[-1] <= travel.max() < 0.65 * opened
        assert np.linalg.norm(made.states[-1, -3:]) > 0.1, "the hand has not drawn back"


@pytest.mark.parametrize("task", TASK_NAMES)
def test_only_the_gripper_moves_the_door(task: str) -> None:
    for kind in ("opening", "closing", "jiggling"):
        made = episode(task, kind)
        moved = np.abs(np.diff(travel_of(made))) > 0.02 * find_task(task).opened
        far = np.linalg.norm(made.states[1:, -3:], axis=1) > 0.08
        assert moved.any() and not (moved & far).any()


def test_execution_is_noisy_and_labels_are_not() -> None:
    made = episode("microwave", "opening")
    noise = (made.executed_actions - made.base_actions)[:, ARM]
    free = np.abs(made.base_actions[:, ARM]) < 0.8  # where clipping cannot touch it
    assert 0.04 < noise[free].std() < 0.06 and abs(noise[free].mean()) < 0.01
    assert np.abs(made.executed_actions).max() <= 1.0 and not made.residual_actions.any()


def test_the_view_changes_the_camera_and_nothing_else() -> None:
    front, left = episode("slide", "miss"), episode("slide", "miss", view="left")
    assert front.recording is not None and left.recording is not None
    np.testing.assert_array_equal(front.recording.qpos, left.recording.qpos)
    np.testing.assert_array_equal(front.states, left.states)
    assert not np.allclose(front.recording.camera.positions, left.recording.camera.positions)


def test_an_episode_depends_on_its_seed_alone_not_on_what_ran_before() -> None:
    first = attempt_episode("microwave", "partial", SEED + 1, "front")
    attempt_episode("microwave", "miss", SEED + 2, "front")
    again = attempt_episode("microwave", "partial", SEED + 1, "front")
    assert isinstance(first, Episode) and isinstance(again, Episode)
    assert first.recording is not None and again.recording is not None
    assert first.recording.to_bytes() == again.recording.to_bytes()


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 3))
def test_reversals_counts_turns_and_ignores_jitter(jitter: list[float], turns: int) -> None:
    corners = [float(i % 2) for i in range(turns + 2)]
    zigzag = np.concatenate([np.linspace(a, b, 20) for a, b in itertools.pairwise(corners)])
    noise = 0.1 * np.resize(jitter, len(zigzag))
    assert reversals(zigzag + noise, 0.5) == turns
    assert reversals(0.2 * np.array(jitter), 0.5) == 0


# --- scene and views --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_recording_replays_and_rays_see_the_object(task: str) -> None:
    made = episode(task, "opening")
    assert made.recording is not None
    replay, t = RecordedScene(made.recording), find_task(task)
    assert replay.model.ncam > 0
    for frame in (0, len(made)):
        replay.pose(frame)
        gap = replay.data.site(t.handle).xpos - replay.data.site("end_effector").xpos
        np.testing.assert_allclose(gap, made.states[frame, -3:], atol=2e-4)  # physics' positions are 2 ms old
    grid = np.stack(np.meshgrid(np.arange(0, 640, 16), np.arange(0, 640, 16)), -1).reshape(-1, 2).astype(float)
    whole, part = replay.object_pixels(grid, 0), replay.object_pixels(grid, 0, part=True)
    assert whole.mean() > 0.05 and 0 < part.sum() < whole.sum() and not (part & ~whole).any()


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_view_shows_the_object_by_rays_alone(task: str) -> None:
    """At least 5 % of the picture and 60 % of it unhidden, held-out views included, without rendering any."""
    made = episode(task, "opening")
    assert made.recording is not None
    grid = np.stack(np.meshgrid(np.arange(0, 640, 20), np.arange(0, 640, 20)), -1).reshape(-1, 2).astype(float)
    for view in VIEWS:
        recording = replace(made.recording, camera=camera_path(find_task(task), view, len(made.recording)))
        seen, alone = RecordedScene(recording), RecordedScene(recording)
        alone.model = copy.copy(alone.model)
        alone.model.geom_group[~alone.object_geoms] = 5  # rays pass through everything else
        for frame in (0, len(made) // 2, len(made)):
            shown, there = seen.object_pixels(grid, frame).sum(), alone.object_pixels(grid, frame).sum()
            assert shown / len(grid) >= 0.05, view
            assert shown / there >= 0.6, view


def test_the_mirrored_view_flips_the_projection() -> None:
    assert len(view_names(held_out=False)) >= 5 and len(view_names()) == len(view_names(held_out=False)) + 2
    task = find_task("hinge")
    mirrored = camera_path(task, MIRRORED[0], 3)
    assert mirrored.mirrored and not camera_path(task, "front", 3).mirrored
    point = np.array([[-0.3, 0.6, 2.5]])
    (x, y), (flipped_x, flipped_y) = (
        replace(mirrored, mirrored=False).project(point, 0)[0][0],
        mirrored.project(point, 0)[0][0],
    )
    assert flipped_x == pytest.approx(639 - x) and flipped_y == pytest.approx(y) and abs(x - 319.5) > 10


@pytest.mark.parametrize("task", TASKS.values(), ids=TASK_NAMES)
def test_cameras_stand_upright_and_look_at_the_object(task: Task) -> None:
    data = mujoco.MjData(scene.build())
    mujoco.mj_kinematics(data.model, data)
    handle = data.site(task.handle).xpos.copy()
    for view in VIEWS:
        (pixel, above), depth = camera_path(task, view, 2).project(np.array([handle, handle + np.eye(3)[2] * 0.1]), 1)
        assert depth[0] > 0.5 and (pixel > 0).all() and (pixel < 640).all()
        assert above[1] < pixel[1], "up is down"


def test_the_scene_moves_the_robot_and_leaves_the_kitchen() -> None:
    here, there = scene.build(), scene.build([0.03, 0.08])
    for name, moved in (("panda0_link0", [0.03, 0.08, 0.0]), ("microdoorroot", [0.0, 0.0, 0.0])):
        places = []
        for model in (here, there):
            data = mujoco.MjData(model)
            mujoco.mj_kinematics(model, data)
            places.append(data.body(name).xpos.copy())
        np.testing.assert_allclose(places[1] - places[0], moved, atol=1e-12)


def test_simplified_meshes_stay_where_the_arm_is() -> None:
    stock = mujoco.MjModel.from_xml_path(str(scene.model_path()))
    vertices, faces = scene._mesh(stock, "link5_viz")
    fewer, kept = scene._simplified(vertices, faces)
    assert len(kept) < 0.2 * len(faces) and kept.max() < len(fewer)
    assert (np.diff(np.sort(kept, axis=1), axis=1) > 0).all(), "a face lost a corner"
    np.testing.assert_allclose([fewer.min(0), fewer.max(0)], [vertices.min(0), vertices.max(0)], atol=scene.CELL)
    model = scene.build()
    for name in ("link5_viz", "hand_viz"):  # compiling re-centres meshes: the geom must follow
        corners = []
        for m in (stock, model):
            data = mujoco.MjData(m)
            mujoco.mj_kinematics(m, data)
            mesh = m.mesh(name).id
            geom = int(np.flatnonzero(m.geom_dataid == mesh)[0])
            first = m.mesh_vertadr[mesh]
            points = m.mesh_vert[first : first + m.mesh_vertnum[mesh]]
            world = points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
            corners.append([world.min(0), world.max(0)])
        np.testing.assert_allclose(corners[0], corners[1], atol=scene.CELL)


# --- the command ------------------------------------------------------------------------------------------------------


def test_command_records_resumes_and_counts_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = attempt_episode, []

    def sometimes(task: str, kind: str, seed: int, view: str) -> Episode | str:
        asked.append((seed, view))
        return "unlucky" if seed == SEED else real(task, kind, seed, view)

    monkeypatch.setattr(command, "attempt_episode", sometimes)
    arguments = ["--task", "slide", "--kind", "miss", "--seed", str(SEED), "--out", str(tmp_path / "run")]
    command.main([*arguments, "--episodes", "1"])
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"seed": 600')  # killed while writing
    command.main([*arguments, "--episodes", "2"])
    assert asked == [(SEED, "front"), (SEED + 1, "front"), (SEED + 2, "left")]
    loaded = load_episode(tmp_path / "run" / f"episode_{SEED + 2}")
    assert loaded.about["view"] == "left" and loaded.recording is not None
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(row["seed"], row["failed"]) for row in rows] == [(SEED, "unlucky"), (SEED + 1, ""), (SEED + 2, "")]


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        ("--task", "fridge", "microwave, hinge, slide"),
        ("--kind", "slamming", "jiggling"),
        ("--view", "behind", "front"),
    ],
)
def test_command_names_what_exists(argument: str, value: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        command.main([argument, value])


def test_dry_run_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--dry-run", "--out", str(tmp_path / "run")])
    assert "views: front, left" in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_command_gives_up_where_nothing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "attempt_episode", lambda *_: "the door is locked")
    with pytest.raises(UserError, match="in a row gave no opening of microwave; the last: the door is locked"):
        command.main(["--out", str(tmp_path / "run")])
