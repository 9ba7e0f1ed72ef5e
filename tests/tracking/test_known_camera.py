"""A known camera taken out of tracks: the law against the true motion, other tracks, picked frames, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpr.core.data.clip import TrackedClip, TrackSegment
from mpr.core.data.clip_folder import save_clip
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from mpr.predictor.inputs import compensated_targets
from mpr.predictor.samples import picked, strided
from tests.toy_scenes import built, record, scene, scene_clip  # noqa: F401
from tracking.motion.compensation import KNOWN_CAMERA, camera_motion, object_motion
from tracking.motion.known_camera import known_recordings, with_known_camera
from tracking.motion.points import Transition
from tracking.motion.true_motion import TrueMotion

pytestmark = pytest.mark.usefixtures("built")
FLOAT_PX = 1e-4  # of 256: a tracked place is a float32


def known(recording: SceneRecording) -> TrackedClip:
    return with_known_camera(scene_clip(recording), recording)


def geoms(recording: SceneRecording, clip: TrackedClip, x: Transition, frame: int) -> np.ndarray:
    """What each object point of a transition lies on: 1 the body, 2 the door."""
    return scene(recording).cast(clip.crop.to_source(x.before[x.object].astype(float)), frame)[0]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_still_body_is_labelled_still_and_a_door_with_its_true_motion(mirrored: bool) -> None:
    recording = record(mirrored=mirrored)
    clip = known(recording)
    for t in range(len(recording) - 1):
        x = Transition.of(clip, t)
        on = geoms(recording, clip, x, t)
        label = object_motion(x, KNOWN_CAMERA)
        assert (on == 1).sum() > 50 and (on == 2).sum() > 20
        assert np.linalg.norm(x.delta[x.object][on == 1], axis=1).min() > 1  # the camera moves it that far
        assert np.abs(label[on == 1]).max() < FLOAT_PX
        (true,) = TrueMotion(clip, recording)(x.before[x.object], t, t + 1)
        assert np.linalg.norm(true[on == 2], axis=1).min() > 2
        np.testing.assert_allclose(label, true, atol=FLOAT_PX)
        np.testing.assert_allclose((compensated_targets(x, KNOWN_CAMERA) - x.before)[x.object], label, atol=FLOAT_PX)


def test_of_other_tracks_only_their_own_errors_are_left() -> None:
    """Each point tracked a pixel too far to the right: so much is left of a still body, and nothing of the camera."""
    recording = record()
    exact = scene_clip(recording)
    first = exact.segments[0]
    off = first.points + np.arange(len(first.points), dtype=np.float32)[:, None, None] * np.float32([1, 0])
    clip = dataclasses.replace(exact, segments=(TrackSegment(0, off, first.visible), *exact.segments[1:]))
    x = Transition.of(with_known_camera(clip, recording), 0)
    on = geoms(recording, clip, x, 0)
    inner = scene(recording).cast(clip.crop.to_source(x.after[x.object].astype(float)), 1)[0] == on
    label = object_motion(x, KNOWN_CAMERA)[(on == 1) & inner]
    assert len(label) > 50 and np.abs(label - (1, 0)).max() < 0.02


def test_frames_that_were_picked_keep_the_camera_of_their_own_steps() -> None:
    recording = record(9)
    clip = known(recording)
    for some, step in ((picked(clip, [1, 4, 8], 4.0), 3), (strided(clip, 2)[1], 2)):
        x = Transition.of(some, 0)
        (true,) = TrueMotion(some, recording)(x.before[x.object], 0, 1)
        assert np.linalg.norm(true, axis=1).max() > 2 * step
        np.testing.assert_allclose(object_motion(x, KNOWN_CAMERA), true, atol=FLOAT_PX)


def test_hidden_points_have_no_camera_motion_and_a_void_only_turns() -> None:
    recording = record()
    clip = known(recording)
    hidden = np.array(clip.segments[0].visible)
    hidden[1, :5] = False
    points = np.array(clip.segments[0].points)
    points[1, :5] = np.nan
    segments = (TrackSegment(0, points, hidden), *clip.segments[1:])
    moved = camera_motion(
        Transition.of(with_known_camera(dataclasses.replace(clip, segments=segments), recording), 0), KNOWN_CAMERA
    )
    assert (moved[:5] == 0).all() and np.isfinite(moved).all()
    up = dataclasses.replace(recording.camera, positions=np.add(recording.camera.positions, (0, 0, 50)))  # sky
    away = dataclasses.replace(recording, camera=up)
    sky = camera_motion(Transition.of(with_known_camera(scene_clip(recording), away), 0), KNOWN_CAMERA)
    assert np.abs(sky).max() < 0.2  # far away: a camera that only shifts moves nothing


def test_who_knows_no_camera_is_refused_in_one_line(tmp_path) -> None:
    recording = record()
    clip = scene_clip(recording)
    with pytest.raises(UserError, match="how this clip's camera moved is not known"):
        camera_motion(Transition.of(clip, 0), KNOWN_CAMERA)
    with pytest.raises(UserError, match="was not recorded"):
        with_known_camera(clip, record(4))
    save_clip(clip, tmp_path / "with", recording)
    save_clip(clip, tmp_path / "without")
    assert len(known_recordings([tmp_path / "with"])) == 1
    with pytest.raises(UserError, match=r"1 of 2 clips hold no scene recording \(without\)"):
        known_recordings([tmp_path / "with", tmp_path / "without"])
