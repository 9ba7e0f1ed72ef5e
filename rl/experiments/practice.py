"""`mpr experiment practice`: which reward, and which parts of the method, make an hour's practice pay.

All runs share base policy, demonstrations, seeds and every setting but the ones a variant names. A variant is a reward,
and settings of `mpr finetune` that differ: "dense", "dense layer_norm=false". Each run is a folder of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import parse_config, print_plan, with_settings
from mpr.core.errors import UserError
from mpr.core.processes import check_engine
from rl.environments.setting import ZERO, Rules, names
from rl.environments.starts import SELECTION
from rl.residual.config import NO_DEMONSTRATIONS, FinetuneConfig

SHARED = ("base", "demos", "num_demos", "predictor", "representation", "view", *names(Rules))  # by all runs
PRACTICE_FREE_KEYS = ("out", "workers", "engine", "videos")  # may differ when an experiment is resumed
PRACTICE_PRESETS: dict[str, dict[str, Any]] = {
    "check": {"seeds": 1, "practice_episodes": 5, "episodes": 5, "videos": 0},
    "report": {"seeds": 3, "practice_episodes": 100, "episodes": 100},
    "paper": {
        "seeds": 8,
        "practice_episodes": 1000,
        "episodes": 100,
    },  # half of the paper's steps
    # the paper's simulation: 300,000 steps, an update each, the best policy so far and the last
    "paper_simulation": {
        "seeds": 8,
        "num_demos": 20,
        "practice_episodes": 8000,
        "episodes": 20,
        "variants": ["motion", "none"],
        "against": "none",
        "settings": "total_steps=300000 evaluate_every=50000 evaluate_episodes=20 utd=1",
    },
}
PRACTICE_S, EVALUATION_S = 3.3, 0.7  # core-seconds an episode
STEPS_AN_EPISODE = 90  # of those; where nothing shown is a success, all that an episode may have
SEEING = 1.35  # times as long with a reward that tracks what a camera saw
ROLLOUT_SHARE = 0.35  # of that time; the rest is updates, four a step


@dataclass(frozen=True)
class PracticeConfig(Rules):
    """Arms of residual practice beside the base policy: training seeds, final policies, all on the same starts."""

    task: str = "microwave"  # microwave, hinge or slide
    base: Path = Path("runs/bc")  # run folder of `mpr bc`
    demos: Path = Path("runs/demos")  # demonstrations, from `mpr demos`
    num_demos: int = 0  # the first this many, by seed: as many as the base policy learned from; 0: all
    # reward, then settings that differ
    variants: list[str] = field(default_factory=lambda: ["none", "paper_sparse", "dense"])
    against: str = ""  # a variant that the others are compared with too
    predictor: Path | None = None  # run folder of `mpr train`, for reward motion
    representation: Path | None = None  # run folder of `mpr pretrain`, for vip, vip_difference or time_rewarder
    view: str = "front"  # camera of rewards that see
    residual_scale: float | None = None  # of variants that name no other; null: that of `mpr finetune`
    seeds: int = 3  # training runs a variant: seeds 0, 1, ..
    practice_episodes: int = 100  # of each run
    episodes: int = 100  # of evaluation, each final policy and the base
    seed: int = SELECTION  # of the first evaluation episode: 500,000 and up to choose anything, 700,000 to report, once
    settings: str = ""  # of `mpr finetune`, for every variant: "utd=2 demos=none"
    videos: int = 2  # evaluation episodes filmed
    workers: int = 2  # runs at a time, one thread each
    engine: str = "local"  # where runs go, or ray: to the cluster of RAY_ADDRESS, which shares these folders
    out: Path = Path("runs/practice")  # run folder

    def __post_init__(self) -> None:
        if min(self.seeds, self.practice_episodes, self.episodes, self.workers) < 1:
            raise UserError("seeds, practice_episodes, episodes and workers are at least 1")
        runs = [
            dataclasses.replace(self.run_of(variant, 0), out=Path()) for variant in self.variants
        ]  # refuses wrong settings now
        if not runs or any(run in runs[:k] for k, run in enumerate(runs)):
            raise UserError("variants are at least one, and no two mean the same")
        check_engine(self.engine)
        if self.against and self.against not in self.variants:
            raise UserError(f"--against {self.against}: it is one of the variants, {', '.join(self.variants)}")

    def folder(self, variant: str, seed: int) -> Path:
        return self.out / "runs" / f"{variant_words(variant)}_seed_{seed}"

    def run_of(self, variant: str, seed: int) -> FinetuneConfig:
        """The finetuning run of a variant and training seed. Raises UserError naming a setting that does not exist."""
        reward, _, changes = variant.partition(" ")
        mine: dict[str, Any] = {name: getattr(self, name) for name in SHARED} | {"env": f"kitchen:{self.task}"}
        mine |= {"out": self.folder(variant, seed), "reward": reward, "episodes": self.practice_episodes, "seed": seed}
        what = f"variant '{variant}' with --settings"
        scale = "" if self.residual_scale is None else f"residual_scale={self.residual_scale}"
        settings = f"{scale} {self.settings} {changes}".strip()  # the later of two wins
        run = with_settings(FinetuneConfig, settings, what, mine.keys() - {"demos"})
        if not run.demonstrated:
            mine["demos"] = NO_DEMONSTRATIONS
        elif run.demos != FinetuneConfig.demos:
            raise UserError(f"{what}: demos is decided by the experiment, but for demos=none")
        return dataclasses.replace(run, **mine)


def practice_seconds(run: FinetuneConfig) -> float:
    """Core-seconds that a run of practice takes, about: rollouts, rewards and updates, and evaluations in between."""
    steps = run.episodes * (STEPS_AN_EPISODE if run.shown_travel is None else run.kind.step_limit(run.asked) or 0)
    steps = steps if run.total_steps is None else min(steps, run.total_steps)
    evaluations = steps // run.evaluate_every if run.evaluate_every else 0
    step_s = PRACTICE_S / STEPS_AN_EPISODE * (ROLLOUT_SHARE + (1 - ROLLOUT_SHARE) * run.utd / FinetuneConfig.utd)
    step_s *= SEEING if run.sees else 1
    return steps * step_s + evaluations * run.evaluate_episodes * EVALUATION_S


def variant_words(variant: str) -> str:
    """A variant as names of folders and files have it."""
    return re.sub("[^a-z0-9_.=-]+", ",", variant)


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment practice`: practises, evaluates and reports what is missing."""
    config, dry_run = parse_config(PracticeConfig, argv, "mpr experiment practice", PRACTICE_PRESETS, {"env": "task"})
    units = [config.run_of(variant, seed) for seed in range(config.seeds) for variant in config.variants]
    if dry_run:
        seconds = sum(map(practice_seconds, units)) + (1 + len(units)) * config.episodes * EVALUATION_S
        facts = {"runs": len(units), "evaluated policies": 1 + len(units), "core-hours, about": f"{seconds / 3600:.1f}"}
        inputs = {"base": config.base} if config.base != ZERO else {}
        inputs |= {"demos": config.demos} if any(unit.demonstrated for unit in units) else {}
        given = {"predictor": config.predictor, "representation": config.representation}
        inputs |= {name: path for name, path in given.items() if path}
        return print_plan(config, inputs, facts, config.out)
    from rl.experiments.practice_runs import practise

    practise(config, units)
