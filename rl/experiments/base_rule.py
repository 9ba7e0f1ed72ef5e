"""The rule of `mpr experiment base`, carried out: policies of fewer and fewer demonstrations, trained and evaluated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from mpr.core.config import as_dict
from mpr.core.report.intervals import Interval, success_rate
from mpr.core.runs import RunFolder, write_atomic
from rl.data.demonstrations import check_shown, frame_sizes, load_demonstrations
from rl.environments.kitchen.images import images_for
from rl.environments.kitchen.opening import kitchen_opening
from rl.environments.kitchen.tasks import find_task
from rl.environments.play import BASE_NAME
from rl.environments.setting import rules_of
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.evaluate import evaluate
from rl.evaluation.outcomes import successes
from rl.experiments.base import OTHER_SEEDS, BaseConfig
from rl.policies.diffusion.train import PolicyTraining


def find_base(config: BaseConfig) -> None:
    """Train and evaluate policies up to the one that is chosen, and two more beside it."""
    task = find_task(config.task)
    found = load_demonstrations(config.demos, max(config.counts))  # refused now, not after hours
    check_shown(found, kitchen_opening(config.task, config).words)
    cameras = frame_sizes(found, config.policy(len(found), 0).cameras)
    if not (config.out / "summary.json").exists():  # else it is reported once more, which renders nothing
        images_for(cameras, task).close()
    run = RunFolder(config.out, "experiment base", as_dict(config))
    tried = list(first_in_band(config))
    count, chosen = tried[-1][0], config.low <= tried[-1][2].value <= config.high
    if chosen:
        tried += [(count, seed, _rate_of(config, count, seed)) for seed in OTHER_SEEDS]
    write_atomic(run.path / "table.md", "\n".join(_table(config, tried, chosen)) + "\n")
    rates: list[dict[str, Any]] = [{"count": c, "seed": s, **dataclasses.asdict(r)} for c, s, r in tried]
    choice = {"chosen": str(config.policy(count, 0).out), "count": count} if chosen else {"chosen": None}
    run.finish({**choice, "tried": rates})
    print("\n".join(_table(config, tried, chosen)))


def first_in_band(config: BaseConfig) -> Iterator[tuple[int, int, Interval]]:
    """(demonstrations, training seed, success) of policies in turn, up to the first within the band."""
    for count in config.counts:
        rate = _rate_of(config, count, 0)
        yield count, 0, rate
        if config.low <= rate.value <= config.high:
            return


def _rate_of(config: BaseConfig, count: int, seed: int) -> Interval:
    """Train one policy and evaluate it; what is there already is kept."""
    policy = config.policy(count, seed)
    PolicyTraining(policy).run()
    asked = EvaluateConfig(
        f"kitchen:{config.task}",
        **rules_of(config),
        base=policy.out,
        episodes=config.episodes,
        seed=config.seed,
        videos=0,
        threads=config.threads,
        out=policy.out / "evaluation",
    )
    return success_rate(successes(evaluate(asked).metrics(), BASE_NAME, asked.seeds))


def _table(config: BaseConfig, tried: Sequence[tuple[int, int, Interval]], chosen: bool) -> list[str]:
    """Markdown lines."""
    lines = [f"# {config.task}: base policies of fewer and fewer demonstrations", ""]
    lines += ["| demonstrations | training seed | success |", "|---|---|---|"]
    lines += [f"| {count} | {seed} | {rate} |" for count, seed, rate in tried]
    band = f"{config.low:.0%} to {config.high:.0%}"
    verdict = f"Chosen: {tried[-1][0]} demonstrations, training seed 0, the first within {band}."
    return [*lines, "", verdict if chosen else f"None lies within {band}."]
