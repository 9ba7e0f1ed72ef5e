"""`mpr experiment calibration`: is there a goal further than demonstrations show that practice can reach?

Where no stored transition is a success, a preference over steps has something to say that a price on time has not. So
demonstrations and base policy end at `shown_travel`, and each candidate goal beyond it is asked, on selection seeds:

    expert    does the scripted expert reach it at all?                             at least 0.95 of episodes
    limited   does it, held to base + residual?                                     at least 0.8
    base      does the base policy come to what is shown, and hardly any further?   at least 0.5; at most 0.2 of the way
    dense     does practice with the dense reward alone reach it?                   at least 0.5
    none      and practice with a price on time alone does not come far?            at most 0.3 of the way

The last is what makes a setting one that can tell rewards apart: where a price on time finds the goal by itself, no
preference over steps is needed. Cheap questions come first, and a goal that one of them refuses is asked no further.
The furthest goal that serves is chosen; a task without one is left out, and the table says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import Range, check_ranges, parse_config, print_plan, with_settings
from mpr.core.errors import UserError
from rl.environments.kitchen.opening import kitchen_opening
from rl.environments.kitchen.tasks import check_expert
from rl.environments.setting import ZERO, Rules, Setting, rules_of
from rl.environments.starts import SEEDS_BY_ROLE, SELECTION
from rl.experiments.ceiling import CEILING_S
from rl.experiments.practice import EVALUATION_S, practice_seconds
from rl.policies.actor import RESIDUAL_SCALE
from rl.residual.config import FinetuneConfig

PRACTISED = ("dense", "none")  # rewards that are practised with
CALIBRATION_PARTS = ("expert", "limited", "base", *PRACTISED)
CALIBRATION_FREE_KEYS = ("out", "parts", "goals", "goal_travel", "episodes")  # may differ when it is resumed
_PRESETS: dict[str, dict[str, Any]] = {
    "check": {"episodes": 2, "practice_episodes": 2},
    "report": {"episodes": 20, "practice_episodes": 100},
    "paper": {"episodes": 100, "practice_episodes": 300},
}
_TAKEN = ("env", "base", "demos", "num_demos", "reward", "episodes", "residual_scale", "threads", "seed", "out")


@dataclass(frozen=True)
class CalibrationConfig(Rules):
    """Tries goals further than demonstrations show: the expert, held to a residual too, base policy, practice."""

    task: str = "microwave"  # microwave, hinge or slide
    goals: list[float] = field(default_factory=list)  # candidates: rad, slide m; none: --goal_travel alone
    residual_scale: float = RESIDUAL_SCALE  # share of half the action range that a residual reaches
    base: Path = Path("runs/bc")  # run folder of `mpr bc`, of demonstrations cut off at --shown_travel
    demos: Path = Path("runs/demos")  # those, from `mpr demos`: for practice
    num_demos: int = 0  # the first this many, by seed; 0: all
    parts: list[str] = field(default_factory=lambda: list(CALIBRATION_PARTS))  # what is asked, as expert limited
    episodes: int = 20  # of each part and goal
    practice_episodes: int = 100  # of practice with dense, and with none
    settings: str = ""  # of `mpr finetune`, for that practice: "utd=2"
    seed: int = SELECTION  # of the first episode: 500,000 to 699,999, so that no reported one is chosen on
    threads: int = 1  # CPU threads; another number gives other last bits
    out: Path = Path("runs/calibration")  # run folder

    def __post_init__(self) -> None:
        check_expert(self.task)
        check_ranges(self, _RANGES)
        if wrong := [part for part in self.parts if part not in CALIBRATION_PARTS]:
            raise UserError(f"--parts {wrong[0]}: there is {', '.join(CALIBRATION_PARTS)}")
        if self.shown_travel is None:
            raise UserError("--shown_travel is needed: where demonstrations end, short of the goals")
        if not self.candidates:
            raise UserError("--goals (or --goal_travel) is needed: which openings to try as the goal")
        most = SEEDS_BY_ROLE["evaluation"].stop
        if not SELECTION <= self.seed <= most - self.episodes:
            raise UserError(f"--seed {self.seed}: what is chosen is chosen on {SELECTION:,} to {most - 1:,}")
        for goal in self.candidates:  # refuses wrong travels and settings now
            kitchen_opening(self.task, self.setting(goal))
            for reward in PRACTISED:
                self.run_of(goal, reward)

    @property
    def candidates(self) -> tuple[float, ...]:
        """Goals to try, the nearest first."""
        alone = () if self.goal_travel is None else (self.goal_travel,)
        return tuple(sorted({*self.goals, *alone}))

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.episodes)

    def setting(self, goal: float, free: bool = False) -> Setting:
        """The setting of a goal. `free`: without a base policy, a residual of 1 spanning all there is."""
        base, scale = (ZERO, 1.0) if free else (self.base, self.residual_scale)
        rules: dict[str, Any] = {**rules_of(self), "goal_travel": goal}
        return Setting(f"kitchen:{self.task}", base, scale, **rules)

    def run_of(self, goal: float, reward: str) -> FinetuneConfig:
        """Practice towards a goal with a reward. Raises UserError naming a setting that does not exist."""
        run = with_settings(FinetuneConfig, self.settings, "--settings", (*_TAKEN, *rules_of(self)))
        same = {name: getattr(self, name) for name in ("base", "demos", "num_demos", "residual_scale", "threads")}
        mine = {"env": f"kitchen:{self.task}", "reward": reward, "episodes": self.practice_episodes}
        asked = rules_of(self) | {"goal_travel": goal}
        return dataclasses.replace(run, **asked, **same, **mine, out=self.out / reward / f"goal_{goal:g}")


_RANGES = {
    **dict.fromkeys(("episodes", "practice_episodes", "threads"), Range(1)),
    "num_demos": Range(0),
    "residual_scale": Range(0, above=True),
}


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment calibration`: tries the goals and says which serve."""
    config, dry_run = parse_config(CalibrationConfig, argv, "mpr experiment calibration", _PRESETS, {"env": "task"})
    if dry_run:
        return _plan(config)
    from rl.experiments.calibration_runs import calibrate

    calibrate(config)


def _plan(config: CalibrationConfig) -> None:
    prices = dict.fromkeys(CALIBRATION_PARTS, EVALUATION_S) | {"expert": CEILING_S, "limited": CEILING_S}
    episodes = len(config.candidates) * config.episodes
    seconds = episodes * sum(prices[part] for part in config.parts)
    inputs = {"base": config.base} if {*config.parts} - {"expert"} and config.base != ZERO else {}
    if practised := [part for part in PRACTISED if part in config.parts]:
        runs = [config.run_of(goal, reward) for goal in config.candidates for reward in practised]
        seconds += sum(map(practice_seconds, runs))
        inputs["demos"] = config.demos
    facts = {"episodes at most": episodes * len(config.parts), "core-hours at most, about": f"{seconds / 3600:.2g}"}
    print_plan(config, inputs, facts, config.out)
