"""A simulator's camera, taken out of tracks exactly: the compensation `known`, of clips whose scene was recorded.

Where a point is at frame t+1 a ray says which surface is seen there; the camera as it stood at t looks at that surface.
What lies between the two places is the camera's doing. So a still body's compensated motion is 0 and a moving one's,
exactly tracked, is its true motion (`true_motion.py`); of other tracks only their own errors are left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CameraMotion, TrackedClip
from mpr.core.data.clip_folder import load_recording
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from tracking.motion.true_motion import recorded_frames
from tracking.simulator.mujoco_scene import RecordedScene

FAR_M = 1e6  # metres: how far away something is that no ray meets


class KnownCamera(CameraMotion):
    """The recorded camera of one clip. All its transitions are worked out when the first is asked for, and kept."""

    def __init__(self, clip: TrackedClip, recording: SceneRecording) -> None:
        """Raises UserError for another clip's recording."""
        self.clip, self.recording = clip, recording
        self.frames = recorded_frames(clip, recording)

    def of(self, clip: TrackedClip, /) -> KnownCamera:
        return KnownCamera(clip, self.recording)

    def __call__(self, t: int, /) -> NDArray[np.float32]:
        return self._moved[t]

    @cached_property
    def _moved(self) -> list[NDArray[np.float32]]:
        """What the camera moved each point by, [N, 2] for each transition. Raises BadClip where there is no scene."""
        scene, moved = RecordedScene(self.recording), []  # let go afterwards: a model is larger than all of this
        for segment in self.clip.segments:
            for k in range(len(segment.points) - 1):
                here, there = self.frames[segment.start + k : segment.start + k + 2]
                seen = segment.visible[k] & segment.visible[k + 1]
                after = segment.points[k + 1][seen].astype(np.float64)
                by = np.zeros(segment.points[k].shape, np.float32)
                by[seen] = after - self._looked_at(scene, after, int(there), int(here))
                moved.append(by)
        return moved

    def _looked_at(self, scene: RecordedScene, points: NDArray, t: int, other: int) -> NDArray[np.float64]:
        """Where the surface seen at crop points [N, 2] of frame t is seen by the camera of frame `other`, [N, 2]."""
        crop, camera = self.clip.crop, self.recording.camera
        source = crop.to_source(points)
        _, distance = scene.cast(source, t)
        distance = np.where(distance < 0, FAR_M, distance)
        world = camera.positions[t] + camera.rays(source, t) * distance[:, None]
        return crop.to_crop(camera.project(world, other)[0])


def with_known_camera(clip: TrackedClip, recording: SceneRecording) -> TrackedClip:
    """The clip, its camera known from the recording of its scene. Raises UserError for another clip's."""
    return dataclasses.replace(clip, camera=KnownCamera(clip, recording))


def known_recordings(folders: Sequence[Path]) -> list[SceneRecording]:
    """The scene recordings of clip folders. Raises UserError, in one line, where one has none; BadClip for a damaged
    one."""
    found = [load_recording(folder) for folder in folders]
    unknown = [folder.name for folder, recording in zip(folders, found, strict=True) if recording is None]
    if unknown:
        raise UserError(
            f"--compensate known: {len(unknown)} of {len(folders)} clips hold no scene recording ({unknown[0]}), so "
            "how their cameras moved is not known: take affine, or clips of `mpr synth`"
        )
    return [recording for recording in found if recording is not None]
