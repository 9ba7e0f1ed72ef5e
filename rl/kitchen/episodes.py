"""Five kinds of recorded episodes, in real physics: what a reward should like, should not, and should see through.

opening: from shut to open. closing: from open to shut. jiggling: open, shut, open, shut. miss: the whole opening
motion beside the handle; the object stays. partial: opens a part, lets go, draws back. What came of an attempt decides:
one that is not of its kind gives no episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from rl.kitchen.camera import CENTRES, camera_path
from rl.kitchen.environment import RATE_HZ, STEP_LIMIT, KitchenEnvironment
from rl.kitchen.expert import Follower, Plan, opening_plan
from rl.kitchen.tasks import ARM, Task, find_task
from tracking.errors import UserError
from tracking.scene import SceneRecording

NOISE = 0.05  # standard deviation of the noise on executed arm actions, in action units
KETTLE = slice(23, 26)  # qpos: where the kettle stands; knocked over, an episode shows another story
KETTLE_STILL = 0.03  # metres


@dataclass(frozen=True)
class Script:
    """A plan, and the step of it from which the episode is recorded; what comes before only happens."""

    plan: Plan
    begin: int = 0


def _opening(environment: KitchenEnvironment, rng: np.random.Generator) -> Script:
    return Script(opening_plan(environment, rng))


def _closing(environment: KitchenEnvironment, rng: np.random.Generator) -> Script:
    """The door is opened first, unrecorded; then the gripper, still at the handle, carries it back."""
    plan = _gripping(environment, rng)
    plan.swing(environment.task.opened * rng.uniform(0.85, 1.1), int(rng.integers(25, 40))).wait(6)
    begin = len(plan)
    plan.wait(int(rng.integers(1, 8))).swing(0.0, int(rng.integers(20, 46))).wait(8)
    return Script(plan, begin)


def _jiggling(environment: KitchenEnvironment, rng: np.random.Generator) -> Script:
    """Recorded from shortly before the grip: the way there would take half of the steps there are."""
    plan = _gripping(environment, rng)
    begin = len(plan) - 16
    for _ in range(2):
        plan.swing(environment.task.opened * rng.uniform(0.5, 0.8), int(rng.integers(12, 20)))
        plan.swing(environment.task.opened * rng.uniform(0.0, 0.08), int(rng.integers(12, 20)))
    return Script(plan, begin)


def _miss(environment: KitchenEnvironment, rng: np.random.Generator) -> Script:
    """The opening, beside the handle: before it, and off towards the middle and top of the object, so that the arm
    passes in front of it."""
    inwards = np.sign(CENTRES[environment.task.name][0] - environment.handle[0])
    shift = np.array([inwards * rng.uniform(0.0, 0.12), -rng.uniform(0.12, 0.18), rng.uniform(-0.02, 0.1)])
    plan = _gripping(environment, rng, shift)
    return Script(plan.swing(environment.task.opened * rng.uniform(1.0, 1.2), int(rng.integers(20, 46))))


def _partial(environment: KitchenEnvironment, rng: np.random.Generator) -> Script:
    plan = _gripping(environment, rng)
    plan.swing(environment.task.opened * rng.uniform(0.38, 0.55), int(rng.integers(14, 30))).wait(3)
    return Script(plan.let_go())


def _gripping(environment: KitchenEnvironment, rng: np.random.Generator, shift: NDArray | None = None) -> Plan:
    return Plan(environment, shift, speed=rng.uniform(0.85, 1.2)).reach().grip()


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


@dataclass(frozen=True)
class Kind:
    """How an episode of this kind is attempted, and whether the travel [T+1] that came of it is of this kind."""

    script: Callable[[KitchenEnvironment, np.random.Generator], Script]
    fulfilled: Callable[[Task, NDArray[np.float64]], bool]
    ends_at_success: bool = False


KINDS = {
    "opening": Kind(_opening, lambda task, a: a[0] < task.still and a[-1] >= task.opened, ends_at_success=True),
    "closing": Kind(_closing, lambda task, a: a[0] >= 0.6 * task.opened and a[-1] <= 0.1 * task.opened),
    "jiggling": Kind(_jiggling, lambda task, a: reversals(a, 0.3 * task.opened) >= 3),
    "miss": Kind(_miss, lambda task, a: bool(np.ptp(a) < task.still)),
    "partial": Kind(_partial, lambda task, a: a.max() <= 0.65 * task.opened and a[-1] >= 0.25 * task.opened),
}


def find_kind(name: str) -> Kind:
    """The kind of that name. Raises UserError naming those that exist."""
    if name not in KINDS:
        raise UserError(f"no kind of episode '{name}'; there is {', '.join(KINDS)}")
    return KINDS[name]


@lru_cache(maxsize=6)
def _environment(task: str, ends_at_success: bool) -> KitchenEnvironment:
    """Kept, because compiling the kitchen takes longer than an episode; `reset` leaves nothing of the last one."""
    threshold = find_task(task).opened
    return KitchenEnvironment(task, threshold=threshold, terminate=ends_at_success, step_limit=10 * STEP_LIMIT)


def attempt_episode(task: str, kind: str, seed: int, view: str) -> Episode | str:
    """One episode, or in a few words why this seed gives none of that kind. The view changes nothing but the camera."""
    what, how = find_task(task), find_kind(kind)
    environment = _environment(task, how.ends_at_success)
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    state, _ = environment.reset(seed=seed)
    attempt = _run(environment, state, how.script(environment, rng), rng)
    refused = _refused(what, how, attempt.qpos)
    if refused:
        return refused
    about = {"task": task, "kind": kind, "seed": seed, "view": view, "noise": NOISE, "opened": what.opened}
    return _episode(what, about, environment.base_offset, attempt)


def _refused(task: Task, kind: Kind, qpos: NDArray) -> str:
    """Why joint positions [T+1, 30] are no episode of this kind; empty where they are."""
    travel = task.travel(qpos)
    if not kind.fulfilled(task, travel):
        return f"travel from {travel[0]:.3f} to {travel[-1]:.3f}, at most {travel.max():.3f}"
    others = [j for j in task.joints if j != task.qpos]
    if others and np.ptp(qpos[:, others], axis=0).max() > task.still:
        return "another door moved too"
    knocked = np.abs(qpos[:, KETTLE] - qpos[0, KETTLE]).max()
    return f"the kettle was knocked {knocked:.2f} m" if knocked > KETTLE_STILL else ""


@dataclass(frozen=True)
class _Attempt:
    """What one run of a script gave, from the frame on which recording begins."""

    states: NDArray[np.float64]  # [T+1, 62]
    qpos: NDArray[np.float64]  # [T+1, 30]
    labels: NDArray[np.float64]  # [T, 9] the expert's noise-free actions
    actions: NDArray[np.float64]  # [T, 9] what was executed
    terminated: bool


def _run(environment: KitchenEnvironment, state: NDArray, script: Script, rng: np.random.Generator) -> _Attempt:
    """Follow a script from the state just reset to, with noise on what is executed: to success, where that ends the
    episode, to the plan's end or to the step limit."""
    follower, states, labels, actions = Follower(script.plan), [state], [], []
    terminated, first = False, 0
    while not (terminated or follower.done) and len(actions) - first < STEP_LIMIT:
        if follower.at < script.begin:
            first = len(actions)
        label = follower.act(environment.data)
        action = label.copy()
        action[ARM] += rng.normal(0.0, NOISE, 7)
        action = np.clip(action, -1.0, 1.0)
        state, _, terminated, _, _ = environment.step(action)
        states.append(state)
        labels.append(label)
        actions.append(action)
    frames = environment.trajectory[first:]
    return _Attempt(
        np.array(states[first:]), np.array(frames), np.array(labels[first:]), np.array(actions[first:]), terminated
    )


def _episode(task: Task, about: dict, base_offset: NDArray, attempt: _Attempt) -> Episode:
    times = np.arange(len(attempt.qpos)) / RATE_HZ
    recording = SceneRecording(
        scene="kitchen",
        arguments={"base_offset": base_offset.tolist()},
        qpos=attempt.qpos,
        times=times,
        rate_hz=RATE_HZ,
        camera=camera_path(task, about["view"], len(times)),
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
        success=attempt.terminated,
        recording=recording,
        about=about,
    )
