"""What each compensation leaves of a camera's motion, on synthetic clips, where it is known.

The truth: every surface point stands still from frame t to t+1 and only the camera moves on. What a compensation
leaves is its mean distance in crop pixels from that, over a transition's object points, where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import Square
from mpr.core.data.clip_folder import load_clip, load_recording
from mpr.core.errors import UserError
from tracking.motion.compensation import MOTIONS, camera_motion
from tracking.motion.points import transitions
from tracking.simulator.mujoco_scene import RecordedScene


def residues(folder: Path, every: int = 1) -> Iterator[dict[str, float | str | int]]:
    """Of each looked-at transition that has object and background points: what each compensation leaves, in pixels.

    Raises UserError for a clip without a recording of its scene.
    """
    clip, recording = load_clip(folder), load_recording(folder)
    if recording is None:
        raise UserError(f"clip folder {folder} holds no scene recording: its camera is not known")
    scene = RecordedScene(recording)
    for transition in transitions(clip, every):
        if transition.object.any() and transition.background.any():
            truth = camera_truth(scene, clip.crop, transition.before[transition.object], transition.t)
            off = {how: camera_motion(transition, how)[transition.object] - truth for how in MOTIONS}
            yield {
                "clip": folder.name,
                "t": transition.t,
                **{how: round(float(np.linalg.norm(off[how], axis=1).mean()), 4) for how in MOTIONS},
            }


def camera_truth(scene: RecordedScene, crop: Square, points: NDArray, t: int) -> NDArray[np.float64]:
    """What the camera alone moves crop points [N, 2] by from frame t to t+1, in crop pixels [N, 2].

    The surface that is seen at a point stands still meanwhile. Means nothing where none is seen.
    """
    source, camera = crop.to_source(points.astype(np.float64)), scene.recording.camera
    _, distance = scene.cast(source, t)
    world = camera.positions[t] + camera.rays(source, t) * distance[:, None]
    return crop.to_crop(camera.project(world, t + 1)[0]) - points
