"""Toy scenes with a truth: a wide body that stands still and a small door that slides, under a camera that passes by.

The wall is far behind, so that what any compensation makes of the background does not fit the body.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpr.core.data.clip import CROP_SIZE, ClipSource, TrackedClip
from mpr.core.data.scene import CameraPath, SceneRecording
from tracking.motion import known_camera, true_motion
from tracking.motion.segments import grid_points, track_segments
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene

CABINET = mujoco.MjModel.from_xml_string("""
<mujoco><worldbody>
  <geom name="wall" type="plane" size="9 9 .1" pos="0 4 0" euler="90 0 0"/>
  <body name="box" pos="0 .3 1"><geom type="box" size=".5 .2 .4"/></body>
  <body name="door" pos="0 .06 1"><joint name="slide" type="slide" axis="1 0 0"/>
    <geom type="box" size=".2 .02 .2"/></body>
</worldbody></mujoco>
""")


def record(length: int = 6, speed: float = 0.02, camera: float = 0.01, start: int = 0, mirrored: bool = False):
    """The door slides by `speed` metres a frame from frame `start` on, the camera by `camera` and up a little."""
    step = np.arange(length)
    look = Rotation.from_euler("x", np.pi / 2).as_quat()  # level, along +y
    positions = np.stack([camera * step, np.full(length, -1.2), 1.1 + 0.3 * camera * step], 1)
    path = CameraPath(positions, np.tile(look, (length, 1)), np.deg2rad(60), 320, 240, mirrored)
    qpos = (speed * np.maximum(step - start, 0) - 0.15)[:, None]
    return SceneRecording("toy", {}, qpos, step / 12.5, 12.5, path, ("box", "door"), ("door",))


def scene(recording: SceneRecording) -> RecordedScene:
    return RecordedScene(recording, CABINET)


def scene_clip(recording: SceneRecording, name: str = "toy") -> TrackedClip:
    """Exact tracks of a recording. Its images are grey, the door brighter."""
    shown, length = scene(recording), len(recording)
    crop = shown.crop(stride=8)
    at = crop.to_source(grid_points(CROP_SIZE, 64).astype(float))

    def image(t: int, part: bool) -> np.ndarray:
        return np.kron(shown.object_pixels(at, t, part).reshape(64, 64), np.ones((4, 4))).astype(bool)

    masks = [image(t, False) for t in range(length)]
    doors = [image(t, True) for t in range(length)]
    frames = np.stack([np.where(door[..., None], 200, 90).astype(np.uint8).repeat(3, 2) for door in doors])
    segments = track_segments(ExactTracker(shown, crop), frames, masks, grid=16)  # type: ignore[arg-type]
    source = ClipSource("test", name, 0.0, 1.0, "", "none", "rays", ExactTracker.name, group=name)
    return TrackedClip(frames, masks, segments, recording.times, 12.5, crop, source)  # type: ignore[arg-type]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings of toy scenes are posed in their model, which no entry point names."""
    for module in (true_motion, known_camera):
        monkeypatch.setattr(module, "RecordedScene", scene)
