"""How object points truly move: a law against exact tracks, still bodies, re-timed clips, other clips' recordings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpr.core.errors import UserError
from mpr.predictor.samples import picked
from tests.toy_scenes import built, record, scene, scene_clip  # noqa: F401
from tracking.motion.points import Transition
from tracking.motion.true_motion import TrueMotion, recorded_frames
from tracking.synth.residue import camera_truth

pytestmark = pytest.mark.usefixtures("built")


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_still_body_does_not_move_and_a_door_moves_as_it_is_tracked_without_the_camera(mirrored: bool) -> None:
    """The door slides to the right by 0.02 m a step, 1.3 m away, through a lens of 208 source pixels a unit."""
    recording = record(mirrored=mirrored)
    clip = scene_clip(recording)
    x = Transition.of(clip, 2)
    points = x.before[x.object]
    geom, _ = scene(recording).cast(clip.crop.to_source(points.astype(float)), 2)
    (true,) = TrueMotion(clip, recording)(points, 2, 3)
    door, body = geom == 2, geom == 1
    assert door.sum() > 20 and body.sum() > 50
    assert np.abs(true[body]).max() < 1e-6
    right = (-1 if mirrored else 1) * 0.02 / 1.24 * recording.camera.focal * 256 / clip.crop.size
    np.testing.assert_allclose(true[door], np.tile([right, 0], (door.sum(), 1)), atol=1e-3)
    tracked = x.delta[x.object] - camera_truth(scene(recording), clip.crop, points, 2)
    np.testing.assert_allclose(true, tracked, atol=0.02)
    assert np.linalg.norm(x.delta[x.object][body], axis=1).min() > 1  # the camera alone does that


def test_several_frames_at_once_back_and_forth_and_points_that_hit_nothing_of_the_object() -> None:
    recording = record()
    clip = scene_clip(recording)
    points = np.array([[128.0, 128.0], [128.0, 3.0], [-500.0, 3.0]], np.float32)  # door, wall beyond the box, nothing
    before, here, after = TrueMotion(clip, recording)(points, 2, 1, 2, 4)
    assert np.isnan([before[1:], here[1:], after[1:]]).all() and np.abs(here[0]).max() < 1e-9
    np.testing.assert_allclose(after[0], -2 * before[0], atol=1e-6)


def test_a_re_timed_clip_shows_the_recorded_frames_of_its_times() -> None:
    recording = record(9)
    clip = picked(scene_clip(recording), [1, 4, 8], 4.0)
    assert recorded_frames(clip, recording).tolist() == [1, 4, 8]
    x = Transition.of(scene_clip(recording), 1)
    points = x.before[x.object]
    np.testing.assert_array_equal(
        TrueMotion(clip, recording)(points, 0, 1), TrueMotion(scene_clip(recording), recording)(points, 1, 4)
    )


def test_another_clips_recording_is_refused() -> None:
    recording = record(6)
    clip = scene_clip(recording)
    late = dataclasses.replace(recording, times=recording.times + 0.02)
    with pytest.raises(UserError, match=r"clip toy: its frame at 0\.\d+ s was not recorded"):
        TrueMotion(clip, late)
    with pytest.raises(UserError, match="was not recorded"):
        TrueMotion(clip, record(4))
    with pytest.raises(UserError, match="holds 2 joint positions, its scene 'toy' has 1"):
        TrueMotion(clip, dataclasses.replace(recording, qpos=np.zeros((6, 2))))
