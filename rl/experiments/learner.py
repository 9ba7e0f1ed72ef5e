"""`mpr experiment learner`: which changes to the learner are fair to every reward, before rewards are compared.

Each change is made alone, beside the learner of the paper, under rewards that say nothing and a good deal; what helps
together is then asked for as one change, on more tasks and rewards. The figure is success while practising, episodes
1-20, 21-40, ..., minus the base policy's: practice that costs before it pays is below 0 in its first block.

Nothing here is to be reported: base policies are evaluated on starts for choosing, and training seeds begin at 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import parse_config, print_plan, setting_words
from mpr.core.errors import UserError
from mpr.core.processes import check_engine
from mpr.reward.registry import reward_class
from rl.environments.kitchen.tasks import KITCHEN_TASKS
from rl.environments.starts import SEEDS_BY_ROLE, SELECTION
from rl.experiments.practice import EVALUATION_S, PracticeConfig, practice_seconds
from rl.policies.registry import is_named
from rl.residual.config import FinetuneConfig

LEARNER_CHANGES = (
    "backup_entropy=false",
    "ent_coef=auto_0.1 ent_lr=3e-4 target_entropy=-0.5",
    "critic_warmup=2000",
    "normalise_inputs=true",
    "demo_action=executed",
    "signal_share=0.5",
    "shaping=potential",
)
_OF_SIGNALS = ("signal_weight", "signal_share", "shaping")  # settings that a reward without a signal does not take
LEARNER_FREE_KEYS = ("out", "raw", "workers", "engine")  # may differ when an experiment is resumed
_PRESETS: dict[str, dict[str, Any]] = {
    "check": {
        "seeds": 1,
        "practice_episodes": 5,
        "episodes": 5,
        "changes": ["backup_entropy=false", "critic_warmup=100"],
        "settings": "pretrain=100",
    },
    "report": {"seeds": 4, "practice_episodes": 60, "episodes": 100},
    "paper": {"seeds": 8, "practice_episodes": 100, "episodes": 100},
}


@dataclass(frozen=True)
class LearnerConfig:
    """Changes to the learner, beside the paper's, by what they do to success while practising."""

    tasks: list[str] = field(default_factory=lambda: ["microwave"])  # microwave, hinge, slide
    rewards: list[str] = field(default_factory=lambda: ["none", "dense"])  # those of `mpr finetune`
    # settings of `mpr finetune`, each beside the learner as it is; those of a signal are left out where there is none
    changes: list[str] = field(default_factory=lambda: list(LEARNER_CHANGES))
    bases: Path = Path("runs/bases")  # holds one base policy a task, run folders of `mpr bc`; zero: none
    demos: Path = Path("runs/demos")  # holds one folder of demonstrations a task, from `mpr demos`
    num_demos: int = 0  # the first this many, by seed: as many as the base policies learned from; 0: all
    predictors: Path | None = None  # holds one `mpr train` run a task, for reward motion
    seeds: int = 4  # training runs a variant
    first_seed: int = 100  # of the training runs: what is reported begins at 0
    practice_episodes: int = 60  # of each run
    episodes: int = 100  # of the base policy's evaluation
    seed: int = SELECTION  # of its first episode, one to choose by: 500,000 to 699,999
    settings: str = ""  # of `mpr finetune`, for every run: "utd=2"
    workers: int = 2  # runs at a time, one thread each
    engine: str = "local"  # where runs go, or ray: to the cluster of RAY_ADDRESS, which shares these folders
    raw: Path | None = None  # raw numbers of the same experiment elsewhere, as results/learner/raw: not made again
    out: Path = Path("runs/learner")  # run folder

    def __post_init__(self) -> None:
        if min(self.seeds, self.practice_episodes, self.episodes, self.workers) < 1:
            raise UserError("seeds, practice_episodes, episodes and workers are at least 1")
        for name, given in (("tasks", self.tasks), ("rewards", self.rewards), ("changes", self.changes)):
            if not given or len(set(given)) < len(given):
                raise UserError(f"{name} are at least one, each said once")
        if unknown := [task for task in self.tasks if task not in KITCHEN_TASKS.names()]:
            raise UserError(f"tasks: unknown '{unknown[0]}'; there is {', '.join(KITCHEN_TASKS.names())}")
        choosing = SEEDS_BY_ROLE["evaluation"]
        if not (self.seed in choosing and self.seed + self.episodes - 1 in choosing):
            raise UserError(
                f"--seed {self.seed}, {self.episodes} episodes: this chooses, and does so on {choosing.start:,} to "
                f"{choosing.stop - 1:,}: others are practised on or reported"
            )
        check_engine(self.engine)
        for task in self.tasks:
            self.practice(task)  # refuses wrong settings now

    def variants(self) -> list[str]:
        """A reward, then the settings that differ; the learner as it is first, under each reward."""
        found = []
        for reward in self.rewards:
            found.append(reward)
            for change in self.changes:
                words = [word.removeprefix("--") for word in setting_words(change, f"change '{change}'")]
                if reward_class(reward).constant:
                    words = [word for word in words if word.partition("=")[0] not in _OF_SIGNALS]
                if words:
                    found.append(" ".join([reward, *words]))
        return found

    def practice(self, task: str) -> PracticeConfig:
        """The runs of one task, as `mpr experiment practice` knows them."""
        return PracticeConfig(
            task=task,
            base=self.bases if is_named(self.bases) else self.bases / task,
            demos=self.demos / task,
            num_demos=self.num_demos,
            predictor=self.predictors / task if self.predictors else None,
            variants=self.variants(),
            practice_episodes=self.practice_episodes,
            settings=self.settings,
            out=self.out / task,
        )

    def units(self) -> list[FinetuneConfig]:
        """Every run, seed by seed: half-full, the table still has all variants."""
        practice = {task: self.practice(task) for task in self.tasks}
        return [
            practice[task].run_of(variant, seed)
            for seed in range(self.first_seed, self.first_seed + self.seeds)
            for task in self.tasks
            for variant in self.variants()
        ]


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment learner`: practises what is missing, and makes the table."""
    config, dry_run = parse_config(LearnerConfig, argv, "mpr experiment learner", _PRESETS)
    if dry_run:
        units, played = config.units(), len(config.tasks) * config.episodes
        seconds = sum(map(practice_seconds, units)) + played * EVALUATION_S
        facts = {"runs": len(units), "core-hours, about": f"{seconds / 3600:.1f}"}
        inputs = {}
        for task in config.tasks:
            inputs |= {} if is_named(config.bases) else {f"base of {task}": config.bases / task}
            inputs |= {f"demos of {task}": config.demos / task}
            inputs |= {f"predictor of {task}": config.predictors / task} if config.predictors else {}
        inputs |= {"raw": config.raw} if config.raw else {}
        return print_plan(config, inputs, facts, config.out)
    from rl.experiments.learner_runs import measure_learner

    measure_learner(config)
