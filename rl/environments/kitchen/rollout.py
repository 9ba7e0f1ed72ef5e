"""A plan carried out in the kitchen: noise on what is executed, none on the expert's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import Follower, Plan
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.setting import KITCHEN_RATE_HZ, KITCHEN_STEP_LIMIT, NOISE
from rl.environments.kitchen.tasks import ARM


def follow_plan(
    environment: KitchenEnvironment,
    state: NDArray,
    plan: Plan,
    rng: np.random.Generator,
    noise: float = NOISE,
    begin: int = 0,
    view: str = "front",
    step_limit: int = KITCHEN_STEP_LIMIT,
    rest: int = 0,
) -> Episode:
    """Follow a plan from the state just reset to, until it succeeds, is over, or has been kept for `step_limit` steps.

    After a success the arm is held where it is for `rest` steps more.

    Success counts where it ends the episode. `state` [62] is the observation of that reset. What comes before step
    `begin` of the plan happens and is not kept. `teacher_actions` [T, 9] are the plan's before `noise` (standard
    deviation, action units, only the arm) was added; states are [T+1, 62], the recording's camera is the named view.
    """
    follower, states, labels, actions = Follower(plan), [state], [], []
    terminated, first, rested = False, 0, 0
    while rested < rest if terminated else not follower.done and len(actions) - first < step_limit:
        if follower.at < begin:
            first = len(actions)
        if terminated and not rested:
            follower.stay(environment.data)
        label, rested = follower.act(environment.data), rested + terminated
        action = label.copy()
        action[ARM] += rng.normal(0.0, noise, 7)
        action = np.clip(action, -1.0, 1.0)
        state, _, reached, _, _ = environment.step(action)
        terminated = terminated or reached
        states.append(state)
        labels.append(label)
        actions.append(action)
    qpos = np.array(environment.trajectory[first:])
    recording = scene_recording(environment.task, environment.base_offset, qpos, view)
    return Episode(
        states=np.array(states[first:]),
        times=recording.times,
        executed_actions=np.array(actions[first:]),
        teacher_actions=np.array(labels[first:]),
        terminated=terminated,
        truncated=not terminated,
        success=terminated,
        recording=recording,
        rate_hz=KITCHEN_RATE_HZ,
    )
