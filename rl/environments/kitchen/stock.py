"""FrankaKitchen-v1's own episodes (D4RL's, as Minari keeps them) as demonstrations of one of our tasks.

Their observation has 59 numbers and their robot stands where the stock kitchen has it. They do four tasks in a row;
what we take of one is its beginning, up to the first success at the task asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from rl.environments.kitchen.demonstrate import RECORDED_VIEW
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.scene import build_kitchen
from rl.environments.kitchen.tasks import END_EFFECTOR, Task
from tracking.simulator.gl import mujoco

ROBOT, OBJECTS = slice(0, 9), slice(18, 39)  # of the observation: joint positions; velocities follow each


def joint_positions(observations: NDArray) -> NDArray[np.float64]:
    """qpos [T+1, 30] from observations [T+1, 59]."""
    return np.concatenate([observations[:, ROBOT], observations[:, OBJECTS]], axis=1).astype(float)


def rebuilt_states(task: Task, observations: NDArray) -> NDArray[np.float32]:
    """Our states [T+1, 62] from observations [T+1, 59]: handle minus gripper by kinematics."""
    data = mujoco.MjData(build_kitchen())
    gaps = np.zeros((len(observations), 3))
    for t, qpos in enumerate(joint_positions(observations)):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(data.model, data)
        gaps[t] = data.site(task.handle).xpos - data.site(END_EFFECTOR).xpos
    return np.concatenate([observations, gaps], axis=1).astype(np.float32)


def stock_demonstration(task: Task, observations: NDArray, actions: NDArray, seed: int) -> Episode | None:
    """Observations [T+1, 59] and actions [T, 9] up to the first success; None without one, or where it began solved."""
    qpos = joint_positions(observations)
    end = next((t for t, q in enumerate(qpos) if task.solved(q)), 0)
    if end == 0:
        return None
    recording = scene_recording(task, np.zeros(2), qpos[: end + 1], RECORDED_VIEW)
    return Episode(
        states=rebuilt_states(task, observations[: end + 1]),
        times=recording.times,
        executed_actions=actions[:end].astype(np.float32),
        terminated=True,
        truncated=False,
        success=True,
        recording=recording,
        seed=seed,
        rate_hz=recording.rate_hz,
    )
