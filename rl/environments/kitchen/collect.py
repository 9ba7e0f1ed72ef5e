"""Demonstrations of a kitchen task into a folder that can be resumed, by the expert or out of Minari."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder
from rl.data.demonstrations import (
    BadDemonstration,
    cut_off,
    demonstration_folder,
    demonstration_folders,
    load_demonstration,
    save_demonstration,
    seed_of,
)
from rl.environments.kitchen.config import DEMO_SEEDS_END, KitchenDemosConfig
from rl.environments.kitchen.demonstrate import demonstrate
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.images import KitchenImages, with_images
from rl.environments.kitchen.minari_data import read_minari, save_minari
from rl.environments.kitchen.opening import REST_STEPS, kitchen_opening
from rl.environments.kitchen.recording import opened_share
from rl.environments.kitchen.tasks import Task, find_task
from tracking.simulator.mujoco_scene import OPENED_SHARE

_MOST_FAILURES = 20  # in a row: then something is wrong, not unlucky


def collect_kitchen_demos(config: KitchenDemosConfig) -> None:
    """What is missing of the folder that `config` describes, and its summary."""
    run = RunFolder(config.out, "demos", as_dict(config), free=("out", "num_demos", "count", "minari"))
    _record(config, run)
    if config.minari:
        _save_minari(config)
    rows = run.metrics()
    steps = [row["steps"] for row in rows if row["success"]]
    run.finish({"demonstrations": len(steps), "tried": len(rows), "mean_steps": sum(steps) / len(steps)})
    print(f"{len(steps)} demonstrations of {len(rows)} attempts in {config.out}")


def _record(config: KitchenDemosConfig, run: RunFolder) -> None:
    """Attempt after attempt, each kept if it succeeds and logged when it is kept, until there are enough.

    Where only a part of the way is shown, that part is what an attempt is to succeed at.
    """
    opening = kitchen_opening(config.task, config)
    tried = run.metrics()
    done, failures = sum(row["success"] for row in tried), 0
    attempts = _read if config.source else _by_the_expert
    with (
        KitchenImages(find_task(config.task), config.views, config.size) as images,
        tqdm(total=config.num_demos, initial=done, desc=f"{config.task} demonstrations") as bar,
    ):
        for attempt in attempts(config, len(tried)) if done < config.num_demos else ():
            if attempt.success:
                kept = replace(with_images(_towards(attempt, opening.task), images), task=opening.words)
                kept = kept if opening.shown is None else cut_off(kept)
                save_demonstration(kept, demonstration_folder(config.out, seed_of(attempt)))
                done, failures = done + 1, 0
                bar.update()
            else:
                failures += 1
            run.log(seed=attempt.seed, success=bool(attempt.success), steps=len(attempt))
            if failures >= _MOST_FAILURES:
                raise UserError(
                    f"{failures} seeds in a row failed at {opening.words}: try less --noise than {config.noise}, a "
                    f"nearer goal than {opening.demonstrated.goal:g} {opening.task.unit}, or more steps than "
                    f"{opening.step_limit}"
                )
            if done >= config.num_demos:
                return
    if done == 0 or (not config.source and done < config.num_demos):
        raise BadDemonstration(f"{config.source or 'the expert'} gave {done} demonstrations of {config.task}")


def _towards(attempt: Episode, task: Task) -> Episode:
    """The attempt, seen in the square of the task that is asked for: what is shown may end short of its goal."""
    if (seen := attempt.recording) is None:
        return attempt
    return replace(attempt, recording=replace(seen, extra={**seen.extra, OPENED_SHARE: opened_share(task)}))


def _by_the_expert(config: KitchenDemosConfig, tried: int) -> Iterator[Episode]:
    """The expert's attempts, one a seed, but for those tried before."""
    o = kitchen_opening(config.task, config).demonstrated
    asked = {"ajar": config.ajar, "start": config.start or "", "threshold": o.threshold, "step_limit": o.step_limit}
    environment, rest = KitchenEnvironment(o.task, **asked), 0 if config.shown_travel is None else REST_STEPS
    for seed in range(config.seed + tried, DEMO_SEEDS_END):
        yield demonstrate(environment, seed, config.noise, rest)


def _read(config: KitchenDemosConfig, tried: int) -> Iterator[Episode]:
    """A Minari data set's demonstrations, but for those read before.

    Ours are stored under their seeds, FrankaKitchen-v1's are numbered. Raises BadDemonstration for a seed that is not a
    demonstration's, or that another one has: folders and episodes of practice are told apart by it.
    """
    met: set[int] = set()
    for number, one in enumerate(read_minari(config.source, config.task, config.full_open)):
        if one.seed is None or one.seed in met or not 0 <= one.seed < DEMO_SEEDS_END:
            raise BadDemonstration(
                f"demonstration {number + 1} of {config.source} has seed {one.seed}: seeds are "
                f"0 to {DEMO_SEEDS_END - 1:,}, and no two alike"
            )
        met.add(one.seed)
        if number >= tried:
            yield one


def _save_minari(config: KitchenDemosConfig) -> None:
    demonstrations = (load_demonstration(folder) for folder in demonstration_folders(config.out))
    what = f"Franka Kitchen, {config.task}, from {config.source or 'a scripted expert'}; learn from infos['label']"
    save_minari(demonstrations, config.out / "minari", f"kitchen/{config.task}-v0", what)
