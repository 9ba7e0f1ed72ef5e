"""`mpr experiment reach`, second edition: does the motion reward teach a robot what nobody showed it?

    setting     one a task of the claim, "further than shown": no stored transition is a success; and controls
    seed        demonstrations and a base policy of its own, in every setting
    run         a reward practises on them: all else is the same

The figure is how far an episode came of the way from what was shown to the goal, mean of a run's last 40 episodes. One
contrast is the claim, `motion` minus `none`, pooled over the tasks, looked at twice (rl.experiments.reach_claim): all
else is secondary. Which settings, seeds and rewards is said in a file that is committed before its first run:
configs/reach.yaml.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import Range, check_ranges, parse_config, print_plan, with_settings
from mpr.core.errors import UserError
from mpr.core.processes import check_engine
from mpr.reward.registry import reward_class
from rl.environments.kitchen.config import SAID_TO_PRACTICE, KitchenDemosConfig
from rl.environments.starts import SEEDS_BY_ROLE
from rl.experiments.base import STEP_S
from rl.experiments.practice import EVALUATION_S, PracticeConfig, practice_seconds
from rl.policies.diffusion.config import BcConfig
from rl.residual.config import MOST_RUNS

CLAIM = ("motion", "none")  # the variants of the primary contrast
REACH_FREE_KEYS = ("out", "workers", "engine", "seeds", "control_seeds")  # may differ when it is resumed
FEWEST_SEEDS = 4  # of the second look: the first needs two
DEMO_SEEDS_A_RUN = 100  # starts of demonstrations that a training seed has for itself
_PRESETS: dict[str, dict[str, Any]] = {
    "check": {
        "seeds": 1,
        "control_seeds": 1,
        "num_demos": 2,
        "practice_episodes": 2,
        "last": 1,
        "episodes": 2,
        "base_settings": "size=tiny steps=50",
        "settings": "pretrain=100",
    },
    "report": {"seeds": 5, "control_seeds": 5},
    "paper": {"seeds": 10, "control_seeds": 10},
}
DEMONSTRATION_S = 1.5  # core-seconds a demonstration


@dataclass(frozen=True)
class ReachSetting:
    """One setting of the experiment."""

    file: Path
    practice: PracticeConfig  # what its file says
    demos: KitchenDemosConfig
    variants: tuple[str, ...]
    seeds: range  # of training, as many as are asked for now
    claims: bool  # whether it is one of the claim's

    @property
    def name(self) -> str:
        return self.file.stem.removeprefix("setting_")


@dataclass(frozen=True)
class ReachConfig:
    """Motion beside no reward and its null models, where what is asked for is further than what was shown."""

    further: list[Path] = field(default_factory=list)  # setting files of the claim, one a task
    # reward, then settings that differ: in each of them
    variants: list[str] = field(default_factory=lambda: ["none", "motion", "any_motion", "wrong_direction", "dense"])
    once: list[str] = field(default_factory=list)  # variants of the first alone, as "motion tracker=lucas_kanade"
    controls: list[Path] = field(default_factory=list)  # setting files where nothing is claimed but no harm
    control_variants: list[str] = field(default_factory=lambda: list(reversed(CLAIM)))  # in each of those
    predictors: Path | None = None  # holds one `mpr train` run a task
    representations: Path | None = None  # holds one `mpr pretrain` run a task, for vip, vip_difference, time_rewarder
    num_demos: int = 20  # demonstrations of each seed
    base_settings: str = "size=tiny lr=5e-4"  # of `mpr bc`, for every base policy
    settings: str = ""  # of `mpr finetune`, for every run: "utd=2"
    seeds: int = 5  # training seeds, as many as are run now: more later is the same experiment
    control_seeds: int = 5  # in the controls
    most_seeds: int = 10  # of the second look; the first is at half of them
    first_seed: int = 3  # of training: the pilots had 0 to 2
    practice_episodes: int = 100  # of each run
    last: int = 40  # of them, whose mean is the figure
    episodes: int = 50  # of evaluation, each final policy and base policy
    seed: int = SEEDS_BY_ROLE["report"].start + 1_000  # of the first of them; each training seed has starts of its own
    workers: int = 2  # runs at a time, one thread each
    engine: str = "local"  # where runs go, or ray: to the cluster of RAY_ADDRESS, which shares these folders
    report: Path | None = None  # folder of raw numbers: only print its table again
    out: Path = Path("runs/reach")  # run folder

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if self.report:
            return
        if not self.further:
            raise UserError("--further is needed: the setting files of the claim, as configs/reach.yaml has them")
        if self.last > self.practice_episodes:
            raise UserError(f"--last {self.last}: there are {self.practice_episodes} episodes of practice")
        if self.num_demos > DEMO_SEEDS_A_RUN // 2:
            raise UserError(f"--num_demos {self.num_demos}: {DEMO_SEEDS_A_RUN // 2} at most, a seed has its own starts")
        if missing := [name for name in CLAIM if name not in self.variants]:
            raise UserError(f"--variants has no {missing[0]}: the claim is {CLAIM[0]} minus {CLAIM[1]}")
        most = min(SEEDS_BY_ROLE["demonstration"].stop // DEMO_SEEDS_A_RUN, MOST_RUNS)
        if self.first_seed + max(self.seeds, self.control_seeds, self.most_seeds) > most:
            raise UserError(f"--first_seed {self.first_seed}: training seeds lie in 0 to {most - 1}")
        last = self.seed + self.episodes * max(self.most_seeds, self.control_seeds) - 1
        if not {self.seed, last} <= set(reported := SEEDS_BY_ROLE["report"]):
            raise UserError(f"--seed {self.seed}: what is reported is evaluated on {reported.start:,} and up")
        if self.seeds > self.most_seeds:
            raise UserError(f"--seeds {self.seeds}: the second look is at --most_seeds {self.most_seeds}, none follows")
        check_engine(self.engine)
        found = self.asked
        if len({one.name for one in found}) < len(found):
            raise UserError(f"settings are told apart by their files' names: {', '.join(one.name for one in found)}")
        for one in found:
            self.base(one, self.first_seed)
            practice = self.practice(one, self.first_seed)  # refuses wrong settings now
            for variant in one.variants:
                if practice.run_of(variant, self.first_seed).total_steps is not None:
                    raise UserError(
                        "--settings total_steps: runs have --practice_episodes each, and are compared by them"
                    )

    @property
    def asked(self) -> list[ReachSetting]:
        """The settings, those of the claim first. Raises UserError for a file that is none."""
        some = range(self.first_seed, self.first_seed + self.seeds)
        few = range(self.first_seed, self.first_seed + self.control_seeds)
        found = [
            _setting(file, (*self.variants, *(self.once if k == 0 else ())), some, True)
            for k, file in enumerate(self.further)
        ]
        if wrong := [one.name for one in found if one.practice.shown_travel is None]:
            raise UserError(f"--further {wrong[0]}: without shown_travel nothing in it is further than shown")
        return [*found, *(_setting(file, tuple(self.control_variants), few, False) for file in self.controls)]

    def folder(self, setting: ReachSetting, seed: int) -> Path:
        """What one training seed has in a setting: demos, base, runs, evaluation."""
        return self.out / setting.name / f"seed_{seed}"

    def demos(self, setting: ReachSetting, seed: int) -> KitchenDemosConfig:
        """The demonstrations of a training seed, from starts of its own."""
        out = self.folder(setting, seed) / "demos"
        return dataclasses.replace(setting.demos, num_demos=self.num_demos, seed=DEMO_SEEDS_A_RUN * seed, out=out)

    def base(self, setting: ReachSetting, seed: int) -> BcConfig:
        """The base policy cloned from them. Raises UserError naming a setting that does not exist."""
        mine = ("demos", "num_demos", "seed", "out")
        found = with_settings(BcConfig, self.base_settings, "--base_settings", mine)
        folder = self.folder(setting, seed)
        return dataclasses.replace(found, demos=folder / "demos", num_demos=0, seed=seed, out=folder / "base")

    def practice(self, setting: ReachSetting, seed: int) -> PracticeConfig:
        """The runs of a training seed, as `mpr experiment practice` knows them: `run_of(variant, seed)`."""
        task, folder = setting.practice.task, self.folder(setting, seed)
        return dataclasses.replace(
            setting.practice,
            base=folder / "base",
            demos=folder / "demos",
            variants=list(setting.variants),
            predictor=self.predictors / task if self.predictors else None,
            representation=self.representations / task if self.representations else None,
            settings=self.settings,
            practice_episodes=self.practice_episodes,
            episodes=self.episodes,
            seed=self.seed + self.episodes * (seed - self.first_seed),
            out=folder,
        )


_RANGES = {
    **dict.fromkeys(("seeds", "practice_episodes", "last", "episodes", "workers", "num_demos"), Range(1)),
    **dict.fromkeys(("control_seeds", "first_seed"), Range(0)),
    "most_seeds": Range(FEWEST_SEEDS),
}


def _setting(file: Path, variants: tuple[str, ...], seeds: range, claims: bool) -> ReachSetting:
    words = ["--config", str(file)]
    practice, _ = parse_config(PracticeConfig, words, "mpr experiment reach", others={"env": "task"})
    demos, _ = parse_config(KitchenDemosConfig, words, "mpr experiment reach", others=SAID_TO_PRACTICE)
    return ReachSetting(file, practice, demos, variants, seeds, claims)


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment reach`: practises, evaluates and reports what is missing; --report: only the table."""
    config, dry_run = parse_config(ReachConfig, argv, "mpr experiment reach", _PRESETS)
    if dry_run:
        return _plan(config)
    if config.report:
        from rl.experiments.reach_table import reach_report

        return print("\n".join(reach_report(config.report)[0]))
    from rl.experiments.reach_runs import practise_seeds

    practise_seeds(config)


def _plan(config: ReachConfig) -> None:
    if config.report:
        return print_plan(config, {"report": config.report}, {}, config.report)
    seconds, runs = 0.0, 0
    for one in config.asked:
        policy, count = config.base(one, config.first_seed), len(one.variants)
        runs_of = config.practice(one, config.first_seed)
        practice = sum(practice_seconds(runs_of.run_of(variant, config.first_seed)) for variant in one.variants)
        practice += (1 + count) * config.episodes * EVALUATION_S
        made = config.num_demos * DEMONSTRATION_S + policy.resolved_size.steps * STEP_S[policy.size]
        seconds, runs = seconds + len(one.seeds) * (made + practice), runs + len(one.seeds) * count
    inputs = reach_inputs(config)
    facts = {"runs": runs, "core-hours, about": f"{seconds / 3600:.1f}"}
    print_plan(config, inputs, facts, config.out)


def reach_inputs(config: ReachConfig) -> dict[str, Path]:
    """What the rewards are made of, runs of `mpr train` and `mpr pretrain`, by what each is."""
    return {name: path for one in config.asked for name, path in _inputs(config, one)}


def _inputs(config: ReachConfig, setting: ReachSetting) -> Iterator[tuple[str, Path]]:
    practice = config.practice(setting, config.first_seed)
    for variant in setting.variants:
        run = practice.run_of(variant, config.first_seed)
        of, task = reward_class(run.reward), practice.task
        if of.predicts and run.predictor:
            yield f"predictor of {task}", run.predictor
        if of.objective and run.representation:
            yield f"representation of {task}", run.representation
