"""`mpr experiment practice`: which reward, and which parts of the method, make an hour's practice pay.

All runs share base policy, demonstrations, seeds and every setting but the ones an arm names. An arm is a reward, and
settings of `mpr finetune` that differ: "dense", "dense layer_norm=false". Each run is a folder of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mpr.page import shown, write_page
from rl.curves import draw_curves, practised_successes
from rl.evaluate import EvaluateConfig, evaluate
from rl.kitchen.with_base import ZERO, base_digest, kitchen_with_base
from rl.outcomes import BASE, compare, contrast_lines, table
from rl.residual.environment import SELECTION
from rl.residual.rewards import find_reward
from rl.residual.train import FinetuneConfig, find_demonstrations, finetune
from tracking.config import as_dict, parse, print_plan, with_settings
from tracking.errors import UserError
from tracking.processes import check_engine, mapped
from tracking.runs import RunFolder, write_atomic

SHARED = ("task", "base", "demos", "count", "predictor", "view", "ddim_steps", "ajar", "fully")  # by all runs
FREE = ("out", "workers", "engine", "videos")  # may differ when an experiment is resumed
EVALUATED = ("task", "base", "ddim_steps", "ajar", "fully")  # of these, what evaluation needs too


@dataclass(frozen=True)
class PracticeConfig:
    """Arms of residual practice beside the base policy: training seeds, final policies, evaluation on paired seeds."""

    task: str = "microwave"  # microwave, hinge or slide
    base: Path = Path("runs/bc")  # run folder of `mpr bc`
    demos: Path = Path("runs/demos")  # demonstrations, from `mpr demos`
    count: int = 0  # the first this many, by seed: as many as the base policy learned from; 0: all
    arms: list[str] = field(default_factory=lambda: ["none", "sparse", "dense"])  # reward, then settings that differ
    against: str = ""  # an arm that the others are compared with too, training seed by training seed
    predictor: Path | None = None  # run folder of `mpr train`, for reward motion
    view: str = "front"  # camera of rewards that see
    seeds: int = 3  # training runs an arm: seeds 0, 1, ..
    practice_episodes: int = 100  # of each run
    episodes: int = 100  # of evaluation, each final policy and the base
    seed: int = SELECTION  # of the first evaluation episode: 500,000 and up to choose anything, 700,000 to report, once
    ddim_steps: int = 10  # network evaluations for one chunk of the base policy
    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    fully: bool = False  # an episode ends where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m
    settings: str = ""  # of `mpr finetune`, for every arm: "ratio=2 half=false pretrain=0"
    videos: int = 2  # evaluation episodes filmed
    workers: int = 2  # runs at a time, one thread each
    engine: str = "local"  # where runs go, or ray: to the cluster of RAY_ADDRESS, which shares these folders
    out: Path = Path("runs/practice")  # run folder

    def __post_init__(self) -> None:
        if min(self.seeds, self.practice_episodes, self.episodes, self.workers) < 1:
            raise UserError("seeds, practice_episodes, episodes and workers are at least 1")
        runs = [dataclasses.replace(self.run_of(arm, 0), out=Path()) for arm in self.arms]  # refuses wrong settings now
        if not runs or any(run in runs[:k] for k, run in enumerate(runs)):
            raise UserError("arms are at least one, and no two mean the same")
        check_engine(self.engine)
        if self.against and self.against not in self.arms:
            raise UserError(f"--against {self.against}: it is one of the arms, {', '.join(self.arms)}")

    def folder(self, arm: str, seed: int) -> Path:
        return self.out / "runs" / f"{re.sub('[^a-z0-9_.=-]+', ',', arm)}_seed_{seed}"

    def run_of(self, arm: str, seed: int) -> FinetuneConfig:
        """The finetuning run of an arm and training seed. Raises UserError naming a setting that does not exist."""
        reward, _, changes = arm.partition(" ")
        mine: dict[str, Any] = {name: getattr(self, name) for name in SHARED}
        mine |= {"out": self.folder(arm, seed), "reward": reward, "episodes": self.practice_episodes, "seed": seed}
        run = with_settings(FinetuneConfig, f"{self.settings} {changes}", f"arm '{arm}' with --settings", mine)
        return dataclasses.replace(run, **mine)


def main(argv: Sequence[str]) -> None:
    experiment(*parse(PracticeConfig, argv, "mpr experiment practice"), "practice")


def experiment(config: PracticeConfig, dry_run: bool, name: str) -> None:
    """Practise, evaluate and report what is missing of the experiment of that name."""
    units = [config.run_of(arm, seed) for seed in range(config.seeds) for arm in config.arms]
    if dry_run:
        facts = {"runs": len(config.arms) * config.seeds, "evaluated policies": 1 + len(config.arms) * config.seeds}
        inputs = {"base": config.base} if config.base != ZERO else {}
        inputs |= {"demos": config.demos} if any(unit.half for unit in units) else {}
        inputs |= {"predictor": config.predictor} if config.predictor else {}
        return print_plan(config, inputs, facts, config.out)
    with kitchen_with_base(units[0].setting) as environment:  # refused now, not after the folder is made
        for unit in units[: len(config.arms)]:  # one of each arm
            find_demonstrations(unit, environment)
            find_reward(unit.reward, unit.task, unit.seeing)
    made_of = {"base_weights": base_digest(config.base)}
    run = RunFolder(config.out, f"experiment {name}", as_dict(config) | made_of, FREE)
    practising = mapped(finetune, units, config.workers, engine=config.engine)
    for _ in tqdm(practising, total=len(units), desc=name, unit="run"):
        pass
    evaluated = evaluate(evaluation(config))
    report(config, run, evaluated)


def evaluation(config: PracticeConfig) -> EvaluateConfig:
    """Every final policy and the base, on the same seeds."""
    runs = tuple(config.folder(arm, seed) for arm in config.arms for seed in range(config.seeds))
    where = {name: getattr(config, name) for name in (*EVALUATED, "episodes", "seed", "videos", "workers")}
    return EvaluateConfig(**where, residuals=runs, out=config.out / "evaluation")


def report(config: PracticeConfig, run: RunFolder, evaluated: RunFolder) -> None:
    """table.md, curves.png, page.html and summary.json out of the runs' own files."""
    rows = evaluated.metrics()
    arms = {arm: [config.folder(arm, seed).name for seed in range(config.seeds)] for arm in config.arms}
    lines = table(rows, arms)
    title = f"# {config.task}: {config.practice_episodes} episodes of practice, {config.seeds} training seeds"
    under = f"{config.episodes} evaluation episodes from seed {config.seed:,}, the same for all; final policies."
    contrasts = contrast_lines(rows, arms, config.against)
    text = "\n".join([title, "", under, "", *lines, *contrasts]) + "\n"
    write_atomic(run.path / "table.md", text)
    base = compare(rows, [BASE])
    seeds = range(config.seeds)
    curves = {arm: [practised_successes(config.folder(arm, seed)) for seed in seeds] for arm in config.arms}
    curves_file = run.path / "curves.png"
    draw_curves(curves_file, curves, base.success, config.task)
    films = sorted((evaluated.path / "films").glob("*.mp4"))
    write_page(run.path / "page.html", text + "\n" + shown(*(p.relative_to(run.path) for p in (curves_file, *films))))
    compared = {arm: dataclasses.asdict(compare(rows, names)) for arm, names in arms.items()}
    run.finish({BASE: dataclasses.asdict(base), "arms": compared})
    print("\n".join([*lines, *contrasts]))
