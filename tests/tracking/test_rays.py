"""Rays end where OpenGL draws, and where `mj_ray`, which culls nothing, says: what makes exact tracks exact."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.scene import CameraPath, SceneRecording
from tests.core.test_scene import scene as toy
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_render import RayMasks, SceneRenderer
from tracking.simulator.mujoco_scene import VISIBLE_GROUPS, RecordedScene, build_model
from tracking.synth.clip import record_synthetic
from tracking.synth.names import SYNTH_TASKS as SYNTHETIC

KITCHEN = ("microwave", "hinge", "slide")
VIEWS = ("front", "left", "right", "high", "low", "mirrored", "held_out_1", "held_out_2")
HARD = {"microwave": "right", "hinge": "held_out_2", "slide": "held_out_2"}  # where most rays used to go astray
OPEN = (0.0, 0.5, 1.0)  # of what a joint travels
needs_kitchen = pytest.mark.skipif(not importlib.util.find_spec("gymnasium_robotics"), reason="no gymnasium_robotics")

TOY_WITH = """
<mujoco><asset><material name="opaque" rgba="0 1 0 1"/><material name="clear" rgba="0 1 0 0"/></asset><worldbody>
  <camera name="any"/><light pos="0 -2 3"/>
  <body name="box" pos="0 .3 0"><geom type="box" size=".3 .2 .2"/></body>
  <body name="door" pos="0 -.3 0"><joint type="slide"/><geom type="box" size=".1 .02 .1" {}/></body>
</worldbody></mujoco>
"""


def kitchen(task_name: str, view: str) -> RecordedScene:
    """A task's object shut, half open and open, the robot where it waits."""
    from rl.environments.kitchen.recording import scene_recording
    from rl.environments.kitchen.scene import build_kitchen
    from rl.environments.kitchen.tasks import find_task

    task = find_task(task_name)
    qpos = np.repeat(build_kitchen().qpos0[None], len(OPEN), 0)
    qpos[:, task.qpos] = task.sign * task.limit * np.array(OPEN)
    return RecordedScene(scene_recording(task, np.zeros(2), qpos, view))


def synthetic(task: str, seed: int) -> RecordedScene:
    return RecordedScene(record_synthetic(task, "open", seed))


def random_pixels(scene: RecordedScene, count: int) -> np.ndarray:
    camera = scene.recording.camera
    return np.random.default_rng(0).uniform(0, (camera.width - 1, camera.height - 1), (count, 2))


def one_by_one(scene: RecordedScene, model, pixels: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
    """What `mj_ray` finds in a model as it was built."""
    data = mujoco.MjData(model)
    data.qpos[:] = scene.recording.qpos[t]
    mujoco.mj_kinematics(model, data)
    origin, one = scene.recording.camera.positions[t], np.zeros(1, np.int32)
    found = []
    for ray in scene.recording.camera.rays(pixels, t):
        distance = mujoco.mj_ray(model, data, origin, ray, VISIBLE_GROUPS, 1, -1, one, None)
        found.append((one[0], distance))
    geom, distance = np.array(found).T
    return geom.astype(int), distance


def assert_rays_are_single_rays(scene: RecordedScene, model, frames, count: int) -> None:
    pixels = random_pixels(scene, count)
    for t in frames:
        many, single = scene.cast(pixels, t), one_by_one(scene, model, pixels, t)
        np.testing.assert_array_equal(many[0], single[0])
        np.testing.assert_array_equal(many[1], single[1])


def overlap_within(rays: np.ndarray, drawn: np.ndarray) -> float:
    """IoU of two masks, the pixels beside an edge of the drawn one left out."""
    image, three = drawn.astype(np.uint8), np.ones((3, 3), np.uint8)
    within = cv2.erode(image, three) == cv2.dilate(image, three)
    return (rays & drawn)[within].sum() / (rays | drawn)[within].sum()


def assert_rays_are_what_is_drawn(scene: RecordedScene, frames) -> None:
    crop = scene.crop()
    rays = RayMasks(scene, crop)
    with SceneRenderer(scene, crop) as renderer:
        for t in frames:
            assert overlap_within(rays[t], renderer.mask(t)) >= 0.999, t


# --- rays are mj_ray's ------------------------------------------------------------------------------------------------


numbers = st.floats(-1, 1).map(lambda x: round(x, 3))
geoms = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["box", "sphere", "capsule", "cylinder", "ellipsoid"]),
        "size": st.tuples(*[st.floats(0.03, 0.4).map(lambda x: round(x, 3))] * 3),
        "pos": st.tuples(numbers, numbers, numbers),
        "euler": st.tuples(*[st.integers(0, 180)] * 3),
        "contype": st.integers(0, 1),
        "conaffinity": st.integers(0, 1),
    }
)
bodies = st.lists(st.tuples(numbers, st.integers(0, 180), st.lists(geoms, min_size=1, max_size=4)), max_size=4)


def xml(one: dict) -> str:
    words = (
        f'{key}="{value if not isinstance(value, tuple) else " ".join(map(str, value))}"' for key, value in one.items()
    )
    return f"<geom {' '.join(words)}/>"


@settings(max_examples=40, deadline=None)
@given(bodies, st.tuples(numbers, numbers, numbers), st.lists(geoms, max_size=3))
def test_no_ray_misses_whatever_collides_and_however_bodies_are_made(parts, eye, still):
    within = "".join(
        f'<body name="b{i}" pos="{x} 0 0" euler="0 {turn} {turn}"><freejoint/>{"".join(map(xml, own))}</body>'
        for i, (x, turn, own) in enumerate(parts)
    )
    around = '<geom type="plane" size="3 3 .1" pos="0 0 -1.5"/>' + "".join(map(xml, still))
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{around}{within}</worldbody></mujoco>")
    camera = CameraPath(np.array([eye]) * 2, np.array([[0.5, 0.5, 0.5, 0.5]]), np.deg2rad(120), 64, 64)
    names = tuple(f"b{i}" for i in range(len(parts)))
    recording = SceneRecording("toy", {}, model.qpos0[None], np.zeros(1), 12.5, camera, names, names)
    assert_rays_are_single_rays(RecordedScene(recording, model), model, [0], 60)


@needs_kitchen
@pytest.mark.parametrize("task", KITCHEN)
def test_kitchen_rays_are_single_rays(task):
    for view in VIEWS:
        scene = kitchen(task, view)
        assert_rays_are_single_rays(scene, build_model(scene.recording), [2], 300)


@pytest.mark.parametrize("task", SYNTHETIC)
def test_synthetic_rays_are_single_rays(task):
    for seed in (10_002, 10_007, 10_015):
        scene = synthetic(task, seed)
        assert_rays_are_single_rays(scene, build_model(scene.recording), [0, len(scene.recording) - 1], 400)


# --- the model that is looked at --------------------------------------------------------------------------------------


def test_the_model_that_is_looked_at_is_a_copy_and_the_one_it_was_made_of_stays_as_it_was():
    made = mujoco.MjModel.from_xml_string(TOY_WITH.format('material="clear" rgba="1 0 0 1"'))
    fields = ("body_bvhadr", "geom_group", "mat_rgba", "bvh_aabb")
    before, flags = {name: getattr(made, name).copy() for name in fields}, made.opt.disableflags
    looked_at = RecordedScene(before_the_box(), made).model
    assert (looked_at.body_bvhadr != made.body_bvhadr).any() and (looked_at.mat_rgba != made.mat_rgba).any()
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(made, name), value)
    assert made.opt.disableflags == flags != looked_at.opt.disableflags


def before_the_box() -> SceneRecording:
    """From 2 m before it, looking at it."""
    camera = CameraPath(
        np.array([[0.03, -2.0, 0.02]]), np.array([[0.7071068, 0, 0, 0.7071068]]), np.deg2rad(30), 64, 64
    )
    return SceneRecording("toy", {}, np.zeros((1, 1)), np.zeros(1), 12.5, camera, ("box",), ("box",))


@needs_kitchen
def test_physics_collides_in_its_own_model():
    from rl.environments.kitchen.environment import KitchenEnvironment

    environment = KitchenEnvironment("slide")
    environment.reset(seed=600_000)
    kitchen("slide", "front").crop()
    model, nothing_collides = environment.data.model, int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    assert (model.body_bvhadr >= 0).any() and not model.opt.disableflags & nothing_collides


# --- rays, masks and tracks agree -------------------------------------------------------------------------------------


def scenes() -> Iterator[RecordedScene]:
    yield toy()
    for task in SYNTHETIC:
        yield synthetic(task, 10_007)
    if importlib.util.find_spec("gymnasium_robotics"):
        for task, view in HARD.items():
            yield kitchen(task, view)


def test_what_a_ray_hits_is_seen_in_its_own_frame_and_on_the_object_where_the_mask_is():
    for scene in scenes():
        pixels = random_pixels(scene, 2000)
        for t in (0, len(scene.recording) - 1):
            geom, local = scene.anchor(pixels, t)
            back, visible = scene.follow(geom, local, t)
            hit = geom >= 0
            np.testing.assert_array_equal(visible, hit)
            np.testing.assert_allclose(back[hit], pixels[hit], atol=1e-6)
            np.testing.assert_array_equal(scene.object_pixels(pixels, t), hit & scene.object_geoms[geom])


def test_tracks_that_are_seen_one_frame_on_are_on_the_object_where_that_frames_rays_are():
    for scene in scenes():
        geom, local = scene.anchor(random_pixels(scene, 2000), 0)
        ahead, visible = scene.follow(geom, local, 1)
        there, _ = scene.cast(ahead[visible], 1)
        assert (there == geom[visible]).mean() > 0.99  # another geom may lie within the tolerance


# --- rays are what is drawn -------------------------------------------------------------------------------------------


@pytest.mark.gl
@pytest.mark.parametrize(
    "colour",
    [
        'rgba="1 0 0 0"',
        'rgba="1 0 0 .3"',
        'material="opaque" rgba="1 0 0 0"',
        'material="opaque" rgba=".5 .5 .5 0"',
        'material="clear"',
        'material="clear" rgba="1 0 0 1"',
        'material="clear" rgba="1 0 0 .4"',
        'group="3"',
    ],
)
def test_what_is_not_drawn_hides_nothing_and_what_is_drawn_does(colour):
    scene = RecordedScene(before_the_box(), mujoco.MjModel.from_xml_string(TOY_WITH.format(colour)))
    assert_rays_are_what_is_drawn(scene, [0])


@needs_kitchen
@pytest.mark.gl
@pytest.mark.parametrize("task", KITCHEN)
def test_kitchen_masks_by_rays_are_those_drawn(task):
    assert_rays_are_what_is_drawn(kitchen(task, HARD[task]), range(len(OPEN)))


@pytest.mark.gl
@pytest.mark.parametrize(("task", "seed"), list(zip(SYNTHETIC, (10_015, 10_007, 10_002), strict=True)))
def test_synthetic_masks_by_rays_are_those_drawn(task, seed):
    scene = synthetic(task, seed)
    assert_rays_are_what_is_drawn(scene, [0, len(scene.recording) // 2, len(scene.recording) - 1])


@needs_kitchen
@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("task", KITCHEN)
def test_kitchen_masks_by_rays_are_those_drawn_in_every_view(task, view):
    assert_rays_are_what_is_drawn(kitchen(task, view), range(len(OPEN)))


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("task", SYNTHETIC)
def test_synthetic_masks_by_rays_are_those_drawn_whatever_the_appliance(task):
    for seed in range(20_000, 20_030):
        scene = synthetic(task, seed)
        assert_rays_are_what_is_drawn(scene, [0, len(scene.recording) // 2, len(scene.recording) - 1])


@needs_kitchen
@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("task", KITCHEN)
def test_kitchen_masks_by_rays_are_those_drawn_behind_the_arm_too(task):
    from rl.environments.kitchen.episodes import attempt_episode

    made = attempt_episode(task, "opening", 600_000, HARD[task])
    assert made.recording is not None
    assert_rays_are_what_is_drawn(RecordedScene(made.recording), range(0, len(made), 12))


@needs_kitchen
def test_the_views_named_here_are_all_there_are():
    from rl.environments.kitchen import camera

    assert tuple(camera.VIEWS) == VIEWS
