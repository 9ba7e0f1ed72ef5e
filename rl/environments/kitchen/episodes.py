"""Five kinds of recorded episodes, in real physics: what a reward should like, should not, and should see through.

opening: from shut to open. closing: from open to shut. jiggling: open, shut, open, shut. miss: the whole opening
motion beside the handle; the object stays. partial: opens a part, lets go, draws back. What came of an attempt decides:
one that is not of its kind gives no episode (`NotOfItsKind`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import save_episode
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder
from rl.environments.kitchen.config import CYCLES, EPISODE_KINDS, EpisodesConfig, check_kind
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import Plan, opening_plan
from rl.environments.kitchen.opening import asked_task
from rl.environments.kitchen.rollout import follow_plan
from rl.environments.kitchen.setting import KITCHEN_STEP_LIMIT, NOISE
from rl.environments.kitchen.tasks import Task
from rl.environments.setting import OpeningOptions

KETTLE = slice(23, 26)  # qpos: where the kettle stands; knocked over, an episode shows another story
KETTLE_STILL = 0.03  # metres
_LONGEST = 10 * KITCHEN_STEP_LIMIT  # steps
_MOST_FAILURES = 20  # in a row: then something is wrong, not unlucky


class NotOfItsKind(Exception):
    """What came of an attempt is no episode of the kind that was wanted: a few words say why."""


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
    inwards = np.sign(environment.task.centre[0] - environment.handle[0])
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


_KINDS = (  # in the order of EPISODE_KINDS
    Kind(_opening, lambda task, a: a[0] < task.still and a[-1] >= task.opened, ends_at_success=True),
    Kind(_closing, lambda task, a: a[0] >= 0.6 * task.opened and a[-1] <= 0.1 * task.opened),
    Kind(_jiggling, lambda task, a: reversals(a, 0.3 * task.opened) >= 3),
    Kind(_miss, lambda task, a: bool(np.ptp(a) < task.still)),
    Kind(_partial, lambda task, a: a.max() <= 0.65 * task.opened and a[-1] >= 0.25 * task.opened),
)


def find_kind(name: str) -> Kind:
    """The kind of that name. Raises UserError naming those that exist."""
    check_kind(name)
    return dict(zip(EPISODE_KINDS, _KINDS, strict=True))[name]


@lru_cache(maxsize=6)
def _environment(task: Task, ends_at_success: bool) -> KitchenEnvironment:
    """Kept, because compiling the kitchen takes longer than an episode; `reset` leaves nothing of the last one.

    What comes before an episode's recorded part counts for no limit but this one.
    """
    return KitchenEnvironment(task, threshold=task.opened, terminate=ends_at_success, step_limit=_LONGEST)


def attempt_episode(
    task: str,
    kind: str,
    seed: int,
    view: str,
    options: OpeningOptions = OpeningOptions(),  # noqa: B008  frozen
) -> Episode:
    """One episode. The view changes nothing but the camera. Raises NotOfItsKind where this seed gives none."""
    what, how = asked_task(task, options), find_kind(kind)
    environment = _environment(what, how.ends_at_success)
    rng = np.random.default_rng([seed, EPISODE_KINDS.index(kind)])
    state, _ = environment.reset(seed=seed)
    script = how.script(environment, rng)
    limit = options.step_limit or KITCHEN_STEP_LIMIT
    made = follow_plan(environment, state, script.plan, rng, begin=script.begin, view=view, step_limit=limit)
    assert made.recording is not None
    _check(what, how, made.recording.qpos)
    about = {"kind": kind, "view": view, "noise": NOISE, "opened": what.opened}
    return replace(made, task=task, seed=seed, about=about)


def _check(task: Task, kind: Kind, qpos: NDArray) -> None:
    """Raises NotOfItsKind where joint positions [T+1, 30] are no episode of this kind."""
    travel = task.travel(qpos)
    if not kind.fulfilled(task, travel):
        raise NotOfItsKind(f"travel from {travel[0]:.3f} to {travel[-1]:.3f}, at most {travel.max():.3f}")
    others = [j for j in task.joints if j != task.qpos]
    if others and np.ptp(qpos[:, others], axis=0).max() > task.still:
        raise NotOfItsKind("another door moved too")
    knocked = np.abs(qpos[:, KETTLE] - qpos[0, KETTLE]).max()
    if knocked > KETTLE_STILL:
        raise NotOfItsKind(f"the kettle was knocked {knocked:.2f} m")


def record_episodes(config: EpisodesConfig) -> None:
    """Record seed after seed until there are enough episodes; those there already are kept.

    Raises UserError where too many seeds in a row give none.
    """
    views = CYCLES.get(config.view, (config.view,))
    run = RunFolder(config.out, "episodes", as_dict(config), free=("out", "episodes"))
    tried = {row["seed"]: row["failed"] for row in run.metrics()}
    done = sum(not failed for failed in tried.values())
    seed, failures = config.seed + len(tried), 0
    with tqdm(total=config.episodes, initial=done, desc=f"{config.task} {config.kind}") as bar:
        while done < config.episodes:
            try:
                episode = attempt_episode(config.task, config.kind, seed, views[done % len(views)], config)
            except NotOfItsKind as why:
                failures += 1
                run.log(seed=seed, failed=str(why), steps=0)
                if failures > _MOST_FAILURES:
                    vain = f"{failures} seeds in a row gave no {config.kind} of {config.task}"
                    raise UserError(f"{vain}; the last: {why}") from why
            else:
                save_episode(episode, config.out / f"episode_{seed}")
                run.log(seed=seed, failed="", steps=len(episode))
                done, failures = done + 1, 0
                bar.update()
            seed += 1
    rows = run.metrics()
    steps = [row["steps"] for row in rows if not row["failed"]]
    run.finish({"episodes": done, "seeds_tried": len(rows), "mean_steps": sum(steps) / max(len(steps), 1)})
    print(f"{done} episodes of {len(rows)} seeds in {config.out}")
