"""`mpr experiment base`: how many demonstrations make a base policy worth improving.

The rule: of 20, 10, 5, 4, 3, 2 demonstrations, the first whose policy (training seed 0, fixed steps) succeeds in 30 to
60 % of selection episodes. Written down before any reinforcement learning; two more training seeds are shown beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mpr.intervals import Interval, success_rate
from rl.demonstrations import check_shown, frame_sizes, load_demonstrations
from rl.diffusion.train import BcConfig, Training
from rl.evaluate import EvaluateConfig, evaluate
from rl.kitchen.pictures import pictures_for
from rl.kitchen.tasks import find_task, goal
from rl.outcomes import BASE, successes
from rl.residual.environment import SELECTION
from tracking.config import as_dict, parse, print_plan, with_settings
from tracking.errors import UserError
from tracking.runs import RunFolder, write_atomic

OTHER_SEEDS = (1, 2)  # of training, shown at the chosen count


@dataclass(frozen=True)
class BaseConfig:
    """Trains base policies on fewer and fewer demonstrations until one is neither hopeless nor finished."""

    task: str = "microwave"  # microwave, hinge or slide
    demos: Path = Path("runs/demos")  # demonstrations, from `mpr demos`; each policy takes the first so many
    counts: list[int] = field(default_factory=lambda: [20, 10, 5, 4, 3, 2])  # of demonstrations, tried in turn
    low: float = 0.3  # least share of successes of the policy chosen
    high: float = 0.6  # most
    settings: str = "size=tiny"  # of `mpr bc`, for every policy, as "size=small steps=8000"
    episodes: int = 100  # of evaluation, each policy
    seed: int = SELECTION  # of the first episode
    ddim_steps: int = 10  # network evaluations for one chunk
    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    fully: bool = False  # an episode ends where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m
    threads: int = 1  # CPU threads; another number gives other last bits
    out: Path = Path("runs/base_rule")  # run folder

    def __post_init__(self) -> None:
        if not self.counts or min(*self.counts, self.episodes) < 1:
            raise UserError("counts and episodes are at least 1")
        if not 0 <= self.low < self.high <= 1:
            raise UserError(f"low {self.low} and high {self.high}: shares of successes, low below high")
        self.policy(self.counts[0], 0)  # a wrong name or value is refused now

    def policy(self, count: int, seed: int) -> BcConfig:
        """The training run of one policy. Raises UserError naming a setting that does not exist."""
        folder = self.out / f"{count:02d}_demonstrations_seed_{seed}"
        config = with_settings(BcConfig, self.settings, "--settings", ("demos", "count", "seed", "threads", "out"))
        if config.training_steps % self.ddim_steps:
            raise UserError("--settings: ddim_steps divides training_steps")
        return dataclasses.replace(config, demos=self.demos, count=count, seed=seed, threads=self.threads, out=folder)


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(BaseConfig, argv, "mpr experiment base")
    task = find_task(config.task)
    if dry_run:
        return print_plan(config, {"demos": config.demos}, {"policies at most": len(config.counts) + 2}, config.out)
    torch.set_num_threads(config.threads)
    found = load_demonstrations(config.demos, max(config.counts))  # refused now, not after hours
    check_shown(found, goal(config.task, config.fully))
    cameras = frame_sizes(found, config.policy(len(found), 0).cameras)
    pictures_for(cameras, task).close()
    run = RunFolder(config.out, "experiment base", as_dict(config))
    tried = list(first_in_band(config))
    count, chosen = tried[-1][0], config.low <= tried[-1][2].value <= config.high
    if chosen:
        tried += [(count, seed, rate_of(config, count, seed)) for seed in OTHER_SEEDS]
    write_atomic(run.path / "table.md", "\n".join(table(config, tried, chosen)) + "\n")
    rates: list[dict[str, Any]] = [{"count": c, "seed": s, **dataclasses.asdict(r)} for c, s, r in tried]
    choice = {"chosen": str(config.policy(count, 0).out), "count": count} if chosen else {"chosen": None}
    run.finish({**choice, "tried": rates})
    print("\n".join(table(config, tried, chosen)))


def first_in_band(config: BaseConfig) -> Iterator[tuple[int, int, Interval]]:
    """(demonstrations, training seed, success) of policies in turn, up to the first within the band."""
    for count in config.counts:
        rate = rate_of(config, count, 0)
        yield count, 0, rate
        if config.low <= rate.value <= config.high:
            return


def rate_of(config: BaseConfig, count: int, seed: int) -> Interval:
    """Train one policy and evaluate it; what is there already is kept."""
    policy = config.policy(count, seed)
    Training(policy).run()
    shared = {name: getattr(config, name) for name in ("task", "ddim_steps", "ajar", "fully", "threads")}
    asked = EvaluateConfig(
        **shared, base=policy.out, episodes=config.episodes, seed=config.seed, videos=0, out=policy.out / "evaluation"
    )
    return success_rate(successes(evaluate(asked).metrics(), BASE, asked.seeds))


def table(config: BaseConfig, tried: Sequence[tuple[int, int, Interval]], chosen: bool) -> list[str]:
    """Markdown lines."""
    lines = [f"# {config.task}: base policies of fewer and fewer demonstrations", ""]
    lines += ["| demonstrations | training seed | success |", "|---|---|---|"]
    lines += [f"| {count} | {seed} | {rate} |" for count, seed, rate in tried]
    band = f"{config.low:.0%} to {config.high:.0%}"
    verdict = f"Chosen: {tried[-1][0]} demonstrations, training seed 0, the first within {band}."
    return [*lines, "", verdict if chosen else f"None lies within {band}."]
