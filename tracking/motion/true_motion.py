"""How a clip's object points truly move, the camera held still: known where a recording of the scene was kept.

Compensation takes the camera out of *tracks*, and leaves some of it on things that stand still. Here nothing is left:
the surface seen at a point is moved as the scene moved, and looked at by the camera of the point's own frame. So a
still body's true motion is 0. (What the camera alone does is `tracking.synth.residue.camera_truth`.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from tracking.simulator.mujoco_scene import RecordedScene

SAME_S = 1e-4  # seconds by which a clip's frame may miss the recorded one that it shows


class TrueMotion:
    """The scene of one clip, posed frame by frame. Frames are the clip's: it may hold some of the recorded ones."""

    def __init__(self, clip: TrackedClip, recording: SceneRecording) -> None:
        """Raises UserError where the scene cannot be built here, or where it is not what the clip shows."""
        self.crop = clip.crop
        self.scene = RecordedScene(recording)
        if recording.qpos.shape[1] != self.scene.model.nq:
            joints = (
                f"{recording.qpos.shape[1]} joint positions, its scene '{recording.scene}' has {self.scene.model.nq}"
            )
            raise UserError(f"clip {clip.source.uid}: its recording holds {joints}; make it again")
        self.frames = recorded_frames(clip, recording)

    def __call__(self, points: NDArray, t: int, *others: int) -> NDArray[np.float64]:
        """How the surface seen at crop points [N, 2] of frame t is displaced in each of the other frames.

        Crop pixels [len(others), N, 2], seen by the camera as it stood at t. NaN where no surface of the object is hit:
        at its rim, or where a hand is before it.
        """
        scene, camera, at = self.scene, self.scene.recording.camera, int(self.frames[t])
        points = np.asarray(points, np.float64)
        geom, local = scene.anchor(self.crop.to_source(points), at)
        hit = (geom >= 0) & scene.object_geoms[geom]
        out = np.full((len(others), len(points), 2), np.nan)
        for row, other in zip(out, others, strict=True):
            scene.pose(int(self.frames[other]))
            turned = scene.data.geom_xmat[geom].reshape(-1, 3, 3)
            world = np.einsum("nij,nj->ni", turned, local) + scene.data.geom_xpos[geom]
            row[hit] = (self.crop.to_crop(camera.project(world, at)[0]) - points)[hit]
        return out


def recorded_frames(clip: TrackedClip, recording: SceneRecording) -> NDArray[np.intp]:
    """Which recorded frame each of the clip's shows [T], told by time: a clip may be re-timed, or a part of it.

    Raises UserError where a frame has no recorded one.
    """
    later = np.searchsorted(recording.times, clip.times).clip(1, len(recording) - 1)
    nearer = clip.times - recording.times[later - 1] <= recording.times[later] - clip.times
    frames = np.where(nearer, later - 1, later)
    off = np.abs(recording.times[frames] - clip.times)
    if off.max() > SAME_S:
        raise UserError(f"clip {clip.source.uid}: its frame at {clip.times[off.argmax()]:.3f} s was not recorded")
    return frames
