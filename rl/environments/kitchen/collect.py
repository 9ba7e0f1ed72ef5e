"""`mpr demos`: demonstrations of a kitchen task into a folder that can be resumed, by the expert or out of Minari."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from tqdm import tqdm

from rl.demonstrations import (
    BadDemonstration,
    Demonstration,
    demonstration_folder,
    demonstration_folders,
    load_demonstration,
    save_demonstration,
)
from rl.kitchen.camera import camera_path
from rl.kitchen.demonstrate import demonstrate
from rl.kitchen.environment import STEP_LIMIT, KitchenEnvironment
from rl.kitchen.pictures import KitchenPictures, with_pictures
from rl.kitchen.rollout import NOISE
from rl.kitchen.tasks import find_task, goal
from rl.minari_data import read_minari, save_minari
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder

SEEDS = 10_000  # demonstrations have seeds below it; training, selection and evaluation those above
OF_THE_EXPERT = ("seed", "noise", "ajar")  # settings that a data set does not heed
MOST_FAILURES = 20  # in a row: then something is wrong, not unlucky


@dataclass(frozen=True)
class DemosConfig:
    """Demonstrations of a Franka Kitchen task: by a scripted expert from random starts, or read from Minari."""

    task: str = "microwave"  # microwave, hinge or slide
    count: int = 20  # demonstrations to keep; attempts that fail are counted and not kept
    seed: int = 0  # first seed; demonstrations have 0 to 9,999
    noise: float = NOISE  # action units: standard deviation of the noise on executed arm actions; labels have none
    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    fully: bool = False  # end where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m
    views: tuple[str, ...] = ()  # cameras whose pictures are kept, as [front, left]; none: states alone
    size: int = 128  # pixels: side of the pictures
    source: str = ""  # a Minari data set (name or folder) to read instead of running the expert
    minari: bool = False  # also write a Minari data set: kitchen/TASK-v0 in OUT/minari
    out: Path = Path("runs/demos")  # folder: one folder a demonstration, metrics.jsonl, summary.json

    def __post_init__(self) -> None:
        task = find_task(self.task)
        for view in self.views:
            camera_path(task, view, 1)
        if self.count < 1:
            raise UserError(f"count must be at least 1, got {self.count}")
        if not 0 <= self.seed <= SEEDS - self.count:
            raise UserError(
                f"{self.count} demonstrations from seed {self.seed}: demonstrations have seeds 0 to {SEEDS - 1:,}, "
                "the ones above are for training, selection and evaluation"
            )
        if not 0 <= self.noise <= 1:
            raise UserError(f"noise must lie in 0 to 1 (action units), got {self.noise}")
        if not 16 <= self.size <= 640:
            raise UserError(f"size must be 16 to 640 pixels, got {self.size}")
        for one in fields(self):
            if self.source and one.name in OF_THE_EXPERT and getattr(self, one.name) != one.default:
                raise UserError(f"--{one.name} is the expert's, a data set has its own: leave it out beside --source")


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(DemosConfig, argv, prog="mpr demos")
    if dry_run:
        pictures = config.count * (STEP_LIMIT + 1) * len(config.views) * config.size**2 * 3
        most = (config.count * 0.2e6 + pictures) * (2 if config.minari else 1)
        facts = {"from": config.source or "the scripted expert", "size": f"at most {most / 1e6:.0f} MB"}
        print_plan(config, inputs={}, facts=facts, out=config.out)
        return
    run = RunFolder(config.out, "demos", as_dict(config), free=("out", "count", "minari"))
    record(config, run)
    if config.minari:
        _save_minari(config)
    rows = run.metrics()
    steps = [row["steps"] for row in rows if row["success"]]
    run.finish({"demonstrations": len(steps), "tried": len(rows), "mean_steps": sum(steps) / len(steps)})
    print(f"{len(steps)} demonstrations of {len(rows)} attempts in {config.out}")


def record(config: DemosConfig, run: RunFolder) -> None:
    """Attempt after attempt, each kept if it succeeds and logged when it is kept, until there are enough."""
    tried = run.metrics()
    done, failures = sum(row["success"] for row in tried), 0
    attempts = _read if config.source else _by_the_expert
    with (
        KitchenPictures(find_task(config.task), config.views, config.size) as pictures,
        tqdm(total=config.count, initial=done, desc=f"{config.task} demonstrations") as bar,
    ):
        for attempt in attempts(config, len(tried)) if done < config.count else ():
            if attempt.success:
                kept = replace(with_pictures(attempt, pictures), shows=goal(config.task, config.fully))
                save_demonstration(kept, demonstration_folder(config.out, attempt.seed))
                done, failures = done + 1, 0
                bar.update()
            else:
                failures += 1
            run.log(seed=attempt.seed, success=bool(attempt.success), steps=len(attempt))
            if failures >= MOST_FAILURES:
                raise UserError(
                    f"{failures} seeds in a row failed at {config.task}: try less --noise than {config.noise}"
                )
            if done >= config.count:
                return
    if done == 0 or (not config.source and done < config.count):
        raise BadDemonstration(f"{config.source or 'the expert'} gave {done} demonstrations of {config.task}")


def _by_the_expert(config: DemosConfig, tried: int) -> Iterator[Demonstration]:
    """The expert's attempts, one a seed, but for those tried before."""
    threshold = find_task(config.task).opened if config.fully else None
    environment = KitchenEnvironment(config.task, ajar=config.ajar, threshold=threshold)
    for seed in range(config.seed + tried, SEEDS):
        yield demonstrate(environment, seed, config.noise)


def _read(config: DemosConfig, tried: int) -> Iterator[Demonstration]:
    """A Minari data set's demonstrations, but for those read before.

    Ours are stored under their seeds, FrankaKitchen-v1's are numbered. Raises BadDemonstration for a seed that is not a
    demonstration's, or that another one has: folders and episodes of practice are told apart by it.
    """
    met: set[int] = set()
    for number, one in enumerate(read_minari(config.source, config.task, config.fully)):
        if one.seed in met or not 0 <= one.seed < SEEDS:
            raise BadDemonstration(
                f"demonstration {number + 1} of {config.source} has seed {one.seed}: seeds are 0 to {SEEDS - 1:,}, and "
                "no two alike"
            )
        met.add(one.seed)
        if number >= tried:
            yield one


def _save_minari(config: DemosConfig) -> None:
    demonstrations = (load_demonstration(folder) for folder in demonstration_folders(config.out))
    what = f"Franka Kitchen, {config.task}, from {config.source or 'a scripted expert'}; learn from infos['label']"
    save_minari(demonstrations, config.out / "minari", f"kitchen/{config.task}-v0", what)
