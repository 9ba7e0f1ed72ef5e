"""The runs of `mpr experiment reach`, seed by seed: what is there is kept, and raw numbers are written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from mpr.core.checkpoints import weights_digest
from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads, mapped
from mpr.core.runs import RunFolder, write_atomic
from rl.environments.kitchen.collect import collect_kitchen_demos
from rl.environments.kitchen.config import KitchenDemosConfig
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.evaluate import evaluate
from rl.experiments.practice import PracticeConfig
from rl.experiments.practice_runs import check_runs, evaluation
from rl.experiments.reach import REACH_FREE_KEYS, ReachConfig, ReachSetting, reach_inputs
from rl.experiments.reach_table import TRAVEL, ReachPlan, draw_reach, write_reach_table
from rl.policies.diffusion.config import BcConfig
from rl.policies.diffusion.train import PolicyTraining
from rl.residual.config import FinetuneConfig
from rl.residual.train import finetune


def practise_seeds(config: ReachConfig) -> None:
    """Make what is missing of every seed's demonstrations, base policies, runs and evaluations, and report.

    The table is written anew whenever a run has ended; where a look decides the claim, practice ends. Raises UserError
    where an input is missing or does not serve, and where the folder holds runs of other settings or inputs.
    """
    run = RunFolder(config.out, "experiment reach", as_dict(config) | _made_of(config), REACH_FREE_KEYS)
    run.reopen()
    write_atomic(config.out / "raw" / "plan.json", json.dumps(_plan(config).as_json(), indent=2) + "\n")
    settings = config.asked
    figures, raw = write_reach_table(config.out)
    for seed in sorted({seed for one in settings for seed in one.seeds}):
        asked = [one for one in settings if seed in one.seeds]
        for _ in mapped(_base, [(config.demos(s, seed), config.base(s, seed)) for s in asked], config.workers):
            pass
        _practise(config, asked, seed)
        figures, raw = write_reach_table(config.out)
        if figures["claim"]["stopped"]:
            print("the first look decides the claim: no further seed is practised")
            break
    draw_reach(config.out, raw)
    run.finish(figures)
    print((config.out / "table.md").read_text())


def _made_of(config: ReachConfig) -> dict[str, Any]:
    """What the runs are made of beside what is asked: what the setting files say, the weights of the inputs."""
    inputs = reach_inputs(config)
    if missing := [f"{name} ({path})" for name, path in inputs.items() if not path.exists()]:
        raise UserError(f"missing input: {', '.join(missing)}")
    said = {one.name: {"practice": as_dict(one.practice), "demos": as_dict(one.demos)} for one in config.asked}
    return {"said": said, "weights": {name: weights_digest(path) for name, path in inputs.items()}}


def _plan(config: ReachConfig) -> ReachPlan:
    """What the experiment is to hold when it is complete."""
    asked = config.asked
    return ReachPlan(
        further={one.name: list(one.variants) for one in asked if one.claims},
        controls={one.name: list(one.variants) for one in asked if not one.claims},
        first_seed=config.first_seed,
        most_seeds=config.most_seeds,
        control_seeds=config.control_seeds,
        episodes=config.practice_episodes,
        last=config.last,
        measures={one.name: TRAVEL if one.practice.shown_travel is not None else "success" for one in asked},
    )


def _base(unit: tuple[KitchenDemosConfig, BcConfig]) -> None:
    """Demonstrations and the base policy cloned from them, where they are not there yet: what a worker does."""
    demos, base = unit
    if not (demos.out / "summary.json").exists():
        collect_kitchen_demos(demos)
    if not (base.out / "summary.json").exists():
        with cpu_threads(base.threads):
            PolicyTraining(base).run()


def _practise(config: ReachConfig, settings: list[ReachSetting], seed: int) -> None:
    """One training seed's runs and evaluations in all settings."""
    practices = {one.name: config.practice(one, seed) for one in settings}
    units = [(one.name, practices[one.name].run_of(v, seed)) for one in settings for v in one.variants]
    todo = [(name, unit) for name, unit in units if not (unit.out / "summary.json").exists()]
    for name in dict.fromkeys(name for name, _ in todo):  # refused now, not after half of them
        check_runs([unit for at, unit in units if at == name])
    for name, unit in units:
        if (name, unit) not in todo:
            _keep(config, name, unit)
    ended = mapped(_practised, todo, config.workers, engine=config.engine)
    for name, unit in tqdm(ended, total=len(todo), desc=f"reach, seed {seed}", unit="run"):
        _keep(config, name, unit)
        write_reach_table(config.out)
    final = [(one.name, _evaluation(practices[one.name], [u for n, u in units if n == one.name])) for one in settings]
    for name, asked in mapped(_evaluated, final, config.workers, engine=config.engine):
        rows = (asked.out / "metrics.jsonl").read_bytes()
        write_atomic(config.out / "raw" / name / f"evaluation_seed_{seed}.jsonl", rows)


def _practised(unit: tuple[str, FinetuneConfig]) -> tuple[str, FinetuneConfig]:
    """What a worker does."""
    finetune(unit[1])
    return unit


def _evaluation(practice: PracticeConfig, runs: Iterable[FinetuneConfig]) -> EvaluateConfig:
    """The final policies of one seed's runs and its base policy, on the same starts."""
    return evaluation(practice, tuple(run.out for run in runs), videos=0, workers=1)


def _evaluated(unit: tuple[str, EvaluateConfig]) -> tuple[str, EvaluateConfig]:
    """What a worker does."""
    evaluate(unit[1])
    return unit


def _keep(config: ReachConfig, name: str, unit: FinetuneConfig) -> None:
    """Raw numbers of a run that has ended."""
    write_atomic(
        config.out / "raw" / name / f"practice_{unit.out.name}.jsonl", (unit.out / "metrics.jsonl").read_bytes()
    )
