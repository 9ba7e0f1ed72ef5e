"""The kitchen's scene and views: what replays, what cameras see, what rays hit."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")


from rl.environments.kitchen import scene
from rl.environments.kitchen.camera import MIRRORED, VIEWS, camera_path, view_names
from rl.environments.kitchen.tasks import Task, find_task
from tests.rl.kitchen_episodes import TASK_NAMES, episode
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_scene import RecordedScene


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
    """At least 5 % of the image and 60 % of it unhidden, held-out views included, without rendering any."""
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


@pytest.mark.parametrize("task", map(find_task, TASK_NAMES), ids=TASK_NAMES)
def test_cameras_stand_upright_and_look_at_the_object(task: Task) -> None:
    data = mujoco.MjData(scene.build_kitchen())
    mujoco.mj_kinematics(data.model, data)
    handle = data.site(task.handle).xpos.copy()
    for view in VIEWS:
        (pixel, above), depth = camera_path(task, view, 2).project(np.array([handle, handle + np.eye(3)[2] * 0.1]), 1)
        assert depth[0] > 0.5 and (pixel > 0).all() and (pixel < 640).all()
        assert above[1] < pixel[1], "up is down"


def test_the_scene_moves_the_robot_and_leaves_the_kitchen() -> None:
    here, there = scene.build_kitchen(), scene.build_kitchen([0.03, 0.08])
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
    model = scene.build_kitchen()
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
