"""A recorded scene: projection, exact tracks by rays, frames and masks cut by the frustum. A toy door, hand-made."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpr.core.data.clip import CROP_SIZE, FrameWindow, Square
from mpr.core.data.crop import cut_square
from mpr.core.data.scene import CameraPath, SceneRecording
from mpr.core.errors import BadClip, UserError
from tracking.motion.segments import track_segments
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_render import RayMasks, RenderedFrames, RenderedMasks, SceneRenderer
from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene, build_model

DOOR = """
<mujoco><worldbody>
  <light pos="0 -2 3"/><camera name="any"/>
  <geom name="wall" type="plane" size="3 3 .1" pos="0 1 0" euler="90 0 0" rgba=".8 .8 .7 1"/>
  <body name="box" pos="0 .3 1"><geom type="box" size=".3 .2 .2" rgba=".2 .3 .6 1"/></body>
  <body name="door" pos="-.3 .08 1">
    <joint name="hinge" axis="0 0 1"/>
    <geom type="box" size=".3 .01 .2" pos=".3 0 0" rgba=".7 .2 .2 1"/>
    <geom type="capsule" fromto=".55 -.05 -.1 .55 -.05 .1" size=".015" rgba=".9 .9 .9 1"/>
  </body>
  <body name="arm" pos="0 -.5 1"><joint name="pass" type="slide" axis="1 0 0"/>
    <geom type="box" size=".08 .02 .5" rgba=".1 .8 .1 1"/></body>
</worldbody></mujoco>
"""


def record(length: int = 6, mirrored: bool = False, arm: float = 5.0, moving_camera: bool = True) -> SceneRecording:
    step = np.arange(length)
    qpos = np.stack([-0.1 * step, np.full(length, arm)], 1)
    look = Rotation.from_euler("x", np.pi / 2)  # level, along +y
    turn = Rotation.from_euler("z", (0.02 * step * moving_camera)[:, None]) * look
    positions = np.stack([0.03 * step * moving_camera, np.full(length, -1.2), np.full(length, 1.1)], 1)
    camera = CameraPath(positions, turn.as_quat(), np.deg2rad(50), 320, 240, mirrored)
    return SceneRecording("toy", {}, qpos, step / 12.5, 12.5, camera, ("box", "door"), ("door",))


def scene(**options) -> RecordedScene:
    return RecordedScene(record(**options), mujoco.MjModel.from_xml_string(DOOR))


def test_rays_and_projection_are_inverse_also_mirrored_and_on_a_non_square_image():
    pixels = np.array([[0.0, 0], [319, 239], [12.5, 200], [250, 17]])
    for mirrored in (False, True):
        camera = record(mirrored=mirrored).camera
        for t in (0, 5):
            points = camera.positions[t] + 1.7 * camera.rays(pixels, t)
            back, depth = camera.project(points, t)
            np.testing.assert_allclose(back, pixels, atol=1e-9)
            assert (depth > 0).all()


def test_axes_x_right_y_down_and_mirror_flips_x_alone():
    camera = record(moving_camera=False).camera
    up_and_right = np.array([[0.2, 0.0, 1.3]])  # the camera stands at y = -1.2, looks along +y, at height 1.1
    (x, y), mirrored = camera.project(up_and_right, 0)[0][0], record(mirrored=True, moving_camera=False).camera
    assert x > 159.5 and y < 119.5
    np.testing.assert_allclose(mirrored.project(up_and_right, 0)[0][0], (319 - x, y))


def test_recording_survives_its_bytes_and_refuses_others():
    recording = record()
    assert recording.to_bytes() == record().to_bytes()
    again = SceneRecording.from_bytes(recording.to_bytes())
    np.testing.assert_array_equal(again.qpos, recording.qpos)
    assert again.object_bodies == ("box", "door") and again.camera.width == 320
    with pytest.raises(BadClip, match="not a whole scene recording"):
        SceneRecording.from_bytes(recording.to_bytes()[:200])
    with pytest.raises(UserError, match="no scene 'toy'"):
        build_model(recording)


def test_exact_tracks_follow_the_surface():
    """A door point's track is the projection of the turned point; a wall point's moves with the camera alone."""
    s = scene()
    crop = Square(-0.5, -0.5, 256.0)  # one crop pixel = one source pixel
    door, wall = np.array([[0.2, -0.012 + 0.08, 1.05]]), np.array([[0.7, 1.0, 1.3]])
    camera = s.recording.camera
    queries = np.array([np.r_[0, camera.project(p, 0)[0][0]] for p in (door, wall)], np.float32)
    tracks = ExactTracker(s, crop).track(RenderedFramesStandIn(len(s.recording)), queries)
    for t in range(len(s.recording)):
        turn = Rotation.from_euler("z", -0.1 * t).as_matrix()
        hinge = np.array([-0.3, 0.08, 1.0])
        surface = np.array([[0.2, 0.07, 1.05]])
        moved = (surface - hinge) @ turn.T + hinge
        np.testing.assert_allclose(tracks.points[t, 0], camera.project(moved, t)[0][0], atol=1.0)
        np.testing.assert_allclose(tracks.points[t, 1], camera.project(wall, t)[0][0], atol=0.2)
    assert tracks.visible[:, 0].all()


class RenderedFramesStandIn:
    """Exact tracks never read a pixel."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, t: int, /):
        raise AssertionError("exact tracks must not read frames")


def test_a_window_of_frames_is_tracked_from_its_own_start():
    s = scene()
    crop = s.crop()
    whole = RenderedFramesStandIn(6)
    grid = np.array([[0.0, 128, 128], [0, 90, 140]], np.float32)
    window = ExactTracker(s, crop).track(FrameWindow(whole, 2, 6), grid)
    later = grid + np.array([2.0, 0, 0], np.float32)
    full = ExactTracker(s, crop).track(whole, later)
    np.testing.assert_allclose(window.points, full.points[2:], atol=1e-4)
    np.testing.assert_array_equal(window.visible, full.visible[2:])


def test_a_point_behind_a_passing_arm_is_hidden_and_comes_back_in_its_own_place():
    qpos = np.array([[0.0, 5.0], [0.0, 0.0], [0.0, 5.0]])
    base = record(length=3, moving_camera=False)
    s = RecordedScene(
        SceneRecording("toy", {}, qpos, base.times, 12.5, base.camera, ("box", "door"), ("door",)),
        mujoco.MjModel.from_xml_string(DOOR),
    )
    at = s.recording.camera.project(np.array([[0.0, 0.07, 1.0]]), 0)[0][0]
    queries = np.array([np.r_[0, at]], np.float32)
    tracks = ExactTracker(s, Square(-0.5, -0.5, 256.0)).track(RenderedFramesStandIn(3), queries)
    assert tracks.visible[:, 0].tolist() == [True, False, True]
    np.testing.assert_allclose(tracks.points[2, 0], tracks.points[0, 0], atol=1e-3)


def test_segments_of_exact_tracks_tile_the_recording():
    s = scene(length=8)
    crop = s.crop()
    masks = RayMasks(s, crop, size=CROP_SIZE)
    segments = track_segments(ExactTracker(s, crop), RenderedFramesStandIn(8), masks, grid=12)
    assert segments[0].start == 0 and segments[-1].stop == 7
    assert all(a.stop == b.start for a, b in pairwise(segments))


def test_the_crop_holds_the_object_in_every_frame():
    for mirrored in (False, True):
        s = scene(mirrored=mirrored)
        crop = s.crop(stride=2)
        grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).reshape(-1, 2).astype(float)
        for t in range(6):
            seen = crop.to_crop(grid[s.object_pixels(grid, t)])
            assert (seen > -0.5).all() and (seen < CROP_SIZE - 0.5).all()


def test_the_camera_that_never_sees_the_object_is_refused():
    s = scene()
    s.object_geoms[:] = False
    with pytest.raises(UserError, match="never sees"):
        s.crop()


@pytest.mark.gl
def test_a_process_that_renders_can_still_make_an_optimizer():
    """Was a segmentation fault: software GL's LLVM before triton's."""
    code = (
        "import tests.core.test_scene as t; from tracking.simulator.mujoco_render import SceneRenderer\n"
        "s = t.scene()\n"
        "with SceneRenderer(s, s.crop()) as renderer: renderer.frame(0)\n"
        "import torch; torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.gl
@pytest.mark.parametrize("mirrored", [False, True])
def test_rendered_masks_are_the_rays_masks_and_frames_are_the_crop(mirrored):
    s = scene(mirrored=mirrored)
    crop = s.crop()
    with SceneRenderer(s, crop) as renderer:
        masks, frames, rays = RenderedMasks(renderer), RenderedFrames(renderer), RayMasks(s, crop)
        for t in (0, 5):
            assert (masks[t] != rays[t]).mean() < 0.003  # outlines may differ by the rasteriser's rounding
        part = RayMasks(s, crop, part=True)[5]
        assert 0 < part.sum() < rays[5].sum()
        cropped = frames[3].astype(int)
    with SceneRenderer(s, Square(-0.5, -0.5, 320.0), size=1280) as renderer:  # the whole source, four times finer
        whole = renderer.frame(3)
    reference = cut_square(
        whole, Square((crop.left + 0.5) * 4 - 0.5, (crop.top + 0.5) * 4 - 0.5, crop.size * 4)
    ).astype(int)
    assert np.abs(reference - cropped).mean() < 2.0
