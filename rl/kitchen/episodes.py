"""Five kinds of recorded episodes, in real physics: what a reward should like, should not, and should see through.

opening: from shut to open. closing: from open to shut. jiggling: open, shut, open, shut. miss: the whole opening
motion beside the handle; the object stays. partial: opens a part, lets go, draws back. What came of an attempt decides:
one that is not of its kind gives no episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from rl.kitchen.camera import camera_path
from rl.kitchen.environment import RATE_HZ, STEP_LIMIT, KitchenEnvironment
from rl.kitchen.expert import Follower, Plan, opening
from rl.kitchen.tasks import ARM, Task, find_task
from tracking.errors import UserError
from tracking.scene import SceneRecording

NOISE = 0.05  # standard deviation of the noise on executed arm actions, in action units
KETTLE = slice(23, 26)  # qpos: where the kettle stands; knocked over, an episode shows another story
KETTLE_STILL = 0.03  # metres


@dataclass(frozen=True)
class Attempt:
    """What one run of a plan gave, from the frame on which recording begins."""

    states: NDArray[np.float64]  # [T+1, 62]
    qpos: NDArray[np.float64]  # [T+1, 30]
    labels: NDArray[np.float64]  # [T, 9] the expert's noise-free actions
    actions: NDArray[np.float64]  # [T, 9] what was executed
    terminated: bool
    success: bool


def run(environment: KitchenEnvironment, follower: Follower, rng: np.random.Generator, begin: int = 0) -> Attempt:
    """Follow a plan, with noise on what is executed, to success (where it ends the episode) or to the plan's end.

    `begin`: the step of the plan from which the attempt is recorded; before it, it only happens.
    """
    states, labels, actions = [environment._observe()], [], []
    terminated, first = False, 0
    while not (terminated or follower.done) and len(actions) - first < STEP_LIMIT:
        if follower.at < begin:
            first = len(actions)
        label = follower.act(environment.data)
        action = label.copy()
        action[ARM] += rng.normal(0.0, NOISE, 7)
        action = np.clip(action, -1.0, 1.0)
        state, _, terminated, _, _ = environment.step(action)
        states.append(state)
        labels.append(label)
        actions.append(action)
    return Attempt(
        states=np.array(states[first:]),
        qpos=np.array(environment.trajectory[first:]),
        labels=np.array(labels[first:]),
        actions=np.array(actions[first:]),
        terminated=terminated,
        success=environment.success,
    )


def _opening(environment: KitchenEnvironment, rng: np.random.Generator) -> Attempt:
    return run(environment, opening(environment, rng), rng)


def _closing(environment: KitchenEnvironment, rng: np.random.Generator) -> Attempt:
    """The door is opened first, unrecorded; then the gripper, still at the handle, carries it back."""
    plan = _gripping(environment, rng)
    plan.swing(environment.task.opened * rng.uniform(0.85, 1.1), int(rng.integers(25, 40))).wait(6)
    begin = len(plan)
    plan.wait(int(rng.integers(1, 8))).swing(0.0, int(rng.integers(20, 46))).wait(8)
    return run(environment, Follower(plan), rng, begin)


def _jiggling(environment: KitchenEnvironment, rng: np.random.Generator) -> Attempt:
    plan = _gripping(environment, rng)
    for _ in range(2):
        plan.swing(environment.task.opened * rng.uniform(0.45, 0.75), int(rng.integers(12, 20)))
        plan.swing(environment.task.opened * rng.uniform(0.0, 0.08), int(rng.integers(12, 20)))
    return run(environment, Follower(plan), rng)


def _miss(environment: KitchenEnvironment, rng: np.random.Generator) -> Attempt:
    """The opening, beside the handle: nearer to the robot, and a little to some side."""
    shift = np.array([rng.uniform(-0.05, 0.05), -rng.uniform(0.12, 0.18), rng.uniform(-0.06, 0.06)])
    plan = _gripping(environment, rng, shift)
    plan.swing(environment.task.opened * rng.uniform(1.0, 1.2), int(rng.integers(20, 46)))
    return run(environment, Follower(plan), rng)


def _partial(environment: KitchenEnvironment, rng: np.random.Generator) -> Attempt:
    plan = _gripping(environment, rng)
    plan.swing(environment.task.opened * rng.uniform(0.38, 0.55), int(rng.integers(14, 30))).wait(3).let_go()
    return run(environment, Follower(plan), rng)


def _gripping(environment: KitchenEnvironment, rng: np.random.Generator, shift: NDArray | None = None) -> Plan:
    return Plan(environment, shift, speed=rng.uniform(0.85, 1.2)).reach().grip()


@dataclass(frozen=True)
class Kind:
    """How an episode of this kind is attempted, and whether an attempt's travel [T+1] is of this kind."""

    attempt: Callable[[KitchenEnvironment, np.random.Generator], Attempt]
    fulfilled: Callable[[Task, NDArray[np.float64]], bool]
    ends_at_success: bool = False


def reversals(travel: NDArray, size: float) -> int:
    """How often the direction of travel [T] turned, motions smaller than `size` not counted."""
    turns, direction, extreme = 0, 0, travel[0]
    for value in travel:
        if direction == 0 and abs(value - extreme) >= size:
            direction, extreme = int(np.sign(value - extreme)), value
        elif direction and (value - extreme) * direction > 0:
            extreme = value
        elif direction and abs(value - extreme) >= size:
            turns, direction, extreme = turns + 1, -direction, value
    return turns


KINDS = {
    "opening": Kind(_opening, lambda task, a: a[0] < task.still and a[-1] >= task.opened, ends_at_success=True),
    "closing": Kind(_closing, lambda task, a: a[0] >= 0.6 * task.opened and a[-1] <= 0.1 * task.opened),
    "jiggling": Kind(_jiggling, lambda task, a: reversals(a, 0.3 * task.opened) >= 2),
    "miss": Kind(_miss, lambda task, a: bool(np.ptp(a) < task.still)),
    "partial": Kind(
        _partial,
        lambda task, a: a.max() <= 0.65 * task.opened and 0.25 * task.opened <= a[-1],
    ),
}


def find_kind(name: str) -> Kind:
    """The kind of that name. Raises UserError naming those that exist."""
    if name not in KINDS:
        raise UserError(f"no kind of episode '{name}'; there is {', '.join(KINDS)}")
    return KINDS[name]


def attempt_episode(task: str, kind: str, seed: int, view: str) -> Episode | str:
    """One episode, or in a few words why this seed gives none of that kind. The view changes nothing but the camera."""
    what, how = find_task(task), find_kind(kind)
    environment = KitchenEnvironment(
        what, threshold=what.opened, terminate=how.ends_at_success, step_limit=10 * STEP_LIMIT
    )
    environment.reset(seed=seed)
    attempt = how.attempt(environment, np.random.default_rng([seed, list(KINDS).index(kind)]))
    environment.close()
    travel = what.travel(attempt.qpos)
    if not how.fulfilled(what, travel):
        return f"travel from {travel[0]:.3f} to {travel[-1]:.3f}, at most {travel.max():.3f}"
    knocked = np.abs(attempt.qpos[:, KETTLE] - attempt.qpos[0, KETTLE]).max()
    if knocked > KETTLE_STILL:
        return f"the kettle was knocked {knocked:.2f} m"
    return _episode(what, kind, seed, view, environment.base_offset, attempt)


def _episode(task: Task, kind: str, seed: int, view: str, base: NDArray, attempt: Attempt) -> Episode:
    times = np.arange(len(attempt.qpos)) / RATE_HZ
    recording = SceneRecording(
        scene="kitchen",
        arguments={"base_offset": base.tolist()},
        qpos=attempt.qpos,
        times=times,
        rate_hz=RATE_HZ,
        camera=camera_path(task, view, len(times)),
        object_bodies=task.object_bodies,
        part_bodies=task.part_bodies,
        extra={"travel": task.travel(attempt.qpos).tolist()},
    )
    return Episode(
        frames={},
        states=attempt.states,
        times=times,
        base_actions=attempt.labels,
        residual_actions=np.zeros_like(attempt.labels),
        executed_actions=attempt.actions,
        terminated=attempt.terminated,
        truncated=not attempt.terminated,
        success=attempt.success and attempt.terminated,
        recording=recording,
        about={"task": task.name, "kind": kind, "seed": seed, "view": view, "noise": NOISE},
    )
