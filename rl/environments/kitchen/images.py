"""Images of the kitchen for policies that see: the same renderer, size and light for data and for evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import Square
from mpr.core.data.episode import Episode
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from rl.data.demonstrations import FrameSize
from rl.environments.kitchen.camera import RENDERED_PX, camera_path
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.scene import build_kitchen, move_base
from rl.environments.kitchen.tasks import Task
from tracking.simulator.mujoco_render import SceneRenderer
from tracking.simulator.mujoco_scene import RecordedScene

WHOLE = Square(-0.5, -0.5, RENDERED_PX)  # of a view's image


class KitchenImages:
    """One OpenGL renderer for all views and episodes. A context manager. Raises NoGL where nothing can be rendered."""

    def __init__(self, task: Task, views: Sequence[str], size: int = 128) -> None:
        self.task, self.views, self.size = task, tuple(views), size
        self._renderer: SceneRenderer | None = None

    def __enter__(self) -> KitchenImages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()

    def open(self) -> None:
        """Open the renderer before an image is wanted, so that NoGL is raised now and not hours later."""
        if self.views:
            self.look(scene_recording(self.task, np.zeros(2), build_kitchen().qpos0[None], self.views[0]))

    def now(self, environment: KitchenEnvironment) -> dict[str, NDArray[np.uint8]]:
        """What the views show of the environment's present state: view -> uint8 RGB [size, size, 3]."""
        qpos = environment.trajectory[-1:]
        recording = scene_recording(self.task, environment.base_offset, np.array(qpos), self.views[0])
        return {view: frames[0] for view, frames in self.of(recording).items()}

    def of(self, recording: SceneRecording) -> dict[str, NDArray[np.uint8]]:
        """All frames of a recording: view -> uint8 RGB [T+1, size, size, 3]."""
        shown = {}
        for view in self.views:
            renderer = self.look(replace(recording, camera=camera_path(self.task, view, len(recording))))
            shown[view] = np.stack([renderer.frame(t) for t in range(len(recording))])
        return shown

    def look(self, recording: SceneRecording) -> SceneRenderer:
        """The renderer, turned to this recording: opening one takes longer than an image."""
        if self._renderer is None:
            self._renderer = SceneRenderer(RecordedScene(recording, model=build_kitchen()), WHOLE, self.size)
        scene = self._renderer.scene
        move_base(scene.model, recording.arguments["base_offset"])
        scene.recording, scene._at = recording, -1
        return self._renderer


def images_for(cameras: Mapping[str, FrameSize], task: Task) -> KitchenImages:
    """The images, opened, for a policy that learned from these cameras' frames; without cameras there are none.

    Raises UserError for a camera that is no view of the kitchen and for frames that are not made here, and NoGL.
    """
    for camera in cameras:
        camera_path(task, camera, 1)
    sides = {side for size in cameras.values() for side in size}
    if len(sides) > 1:
        sizes = ", ".join(f"{camera} {height} x {width}" for camera, (height, width) in cameras.items())
        raise UserError(f"frames of {sizes} pixels: the kitchen's images are squares, all of one size")
    images = KitchenImages(task, tuple(cameras), *sides)
    images.open()
    return images


def with_images(demonstration: Episode, images: KitchenImages) -> Episode:
    """The demonstration and what it looked like. One without a recording is returned as it is."""
    if demonstration.recording is None or not images.views:
        return demonstration
    return replace(demonstration, frames=images.of(demonstration.recording))
