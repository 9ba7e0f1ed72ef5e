"""What the kitchen's cameras would have seen: joint positions as a SceneRecording, rendered when wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.scene import SceneRecording
from rl.environments.kitchen.camera import camera_path
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.setting import KITCHEN_RATE_HZ
from rl.environments.kitchen.tasks import Task, find_task
from tracking.simulator.mujoco_scene import OPENED_SHARE


def scene_recording(task: Task, base_offset: NDArray, qpos: NDArray, view: str) -> SceneRecording:
    """Joint positions [T+1, 30] with the robot's base at `base_offset` [2] metres, seen from the named view.

    Raises UserError for a view that does not exist.
    """
    times = np.arange(len(qpos)) / KITCHEN_RATE_HZ
    return SceneRecording(
        scene="kitchen",
        arguments={"base_offset": np.asarray(base_offset, float).tolist()},
        qpos=qpos,
        times=times,
        rate_hz=KITCHEN_RATE_HZ,
        camera=camera_path(task, view, len(times)),
        object_bodies=task.object_bodies,
        part_bodies=task.part_bodies,
        extra={"travel": task.travel(qpos).tolist(), OPENED_SHARE: opened_share(task)},
    )


def opened_share(task: Task) -> float:
    """How far it may be asked to open, over what its keyframe calls open: 1, or more for a goal beyond that."""
    return max(1.0, task.opened / find_task(task.name).opened)


def record_kitchen(environment: KitchenEnvironment, view: str = "front") -> SceneRecording:
    """The episode so far, of an environment that was reset; its final frame included."""
    return scene_recording(environment.task, environment.base_offset, np.array(environment.trajectory), view)
