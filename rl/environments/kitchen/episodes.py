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
from rl.kitchen.camera import CENTRES
from rl.kitchen.environment import STEP_LIMIT, KitchenEnvironment
from rl.kitchen.expert import Plan, opening_plan
from rl.kitchen.recording import scene_recording
from rl.kitchen.rollout import NOISE, Rollout, follow
from rl.kitchen.tasks import Task, find_task
from tracking.errors import UserError
from tracking.scene import SceneRecording

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
    script = how.script(environment, rng)
    rollout = follow(environment, state, script.plan, rng, begin=script.begin)
    refused = _refused(what, how, rollout.qpos)
    if refused:
        return refused
    about = {"task": task, "kind": kind, "seed": seed, "view": view, "noise": NOISE, "opened": what.opened}
    return _episode(rollout, scene_recording(what, environment.base_offset, rollout.qpos, view), about)


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


def _episode(rollout: Rollout, recording: SceneRecording, about: dict) -> Episode:
    return Episode(
        frames={},
        states=rollout.states,
        times=recording.times,
        base_actions=rollout.labels,
        residual_actions=np.zeros_like(rollout.labels),
        executed_actions=rollout.actions,
        terminated=rollout.terminated,
        truncated=not rollout.terminated,
        success=rollout.terminated,
        recording=recording,
        about=about,
    )
