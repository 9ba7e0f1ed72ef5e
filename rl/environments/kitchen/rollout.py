"""A plan carried out in the kitchen: noise on what is executed, none on the expert's labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl.kitchen.environment import STEP_LIMIT, KitchenEnvironment
from rl.kitchen.expert import Follower, Plan
from rl.kitchen.tasks import ARM

NOISE = 0.05  # standard deviation of the noise on executed arm actions, in action units


@dataclass(frozen=True)
class Rollout:
    """What one run of a plan gave: T actions, T+1 of everything seen."""

    states: NDArray[np.float64]  # [T+1, 62]
    qpos: NDArray[np.float64]  # [T+1, 30]
    labels: NDArray[np.float64]  # [T, 9] the expert's noise-free actions
    actions: NDArray[np.float64]  # [T, 9] what was executed
    terminated: bool


def follow(
    environment: KitchenEnvironment,
    state: NDArray,
    plan: Plan,
    rng: np.random.Generator,
    noise: float = NOISE,
    begin: int = 0,
) -> Rollout:
    """Follow a plan from the state just reset to: to success, where that ends the episode, to the plan's end or to the
    step limit. What comes before step `begin` of the plan happens and is not kept."""
    follower, states, labels, actions = Follower(plan), [state], [], []
    terminated, first = False, 0
    while not (terminated or follower.done) and len(actions) - first < STEP_LIMIT:
        if follower.at < begin:
            first = len(actions)
        label = follower.act(environment.data)
        action = label.copy()
        action[ARM] += rng.normal(0.0, noise, 7)
        action = np.clip(action, -1.0, 1.0)
        state, _, terminated, _, _ = environment.step(action)
        states.append(state)
        labels.append(label)
        actions.append(action)
    qpos = environment.trajectory[first:]
    return Rollout(
        np.array(states[first:]), np.array(qpos), np.array(labels[first:]), np.array(actions[first:]), terminated
    )
