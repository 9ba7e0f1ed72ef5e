"""The runs of `mpr experiment learner`: what is there is kept, raw numbers and the table are written as runs end."""

from __future__ import annotations

import json

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder, write_atomic
from rl.environments.kind import base_digest
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.evaluate import evaluate
from rl.experiments.learner import LEARNER_FREE_KEYS, LearnerConfig
from rl.experiments.learner_table import LearnerPlan, write_learner_table
from rl.experiments.practice_runs import check_runs
from rl.residual.config import FinetuneConfig
from rl.residual.train import finetune


def measure_learner(config: LearnerConfig) -> None:
    """Evaluate the base policies, practise every run that is missing, and report.

    Raises UserError where an input is missing or does not serve.
    """
    units, count = config.units(), len(config.variants())
    practised = [unit for unit in units if (unit.out / "summary.json").exists()]
    if len(practised) < len(units):
        for k in range(len(config.tasks)):  # refused now, not after the folder is made
            check_runs(units[k * count : (k + 1) * count])
    bases = {task: base_digest(config.practice(task).base) for task in config.tasks}
    run = RunFolder(config.out, "experiment learner", as_dict(config) | {"bases_weights": bases}, LEARNER_FREE_KEYS)
    plan = LearnerPlan(config.tasks, config.variants(), config.seeds, config.practice_episodes)
    write_atomic(config.out / "raw" / "plan.json", json.dumps(plan.as_json(), indent=2) + "\n")
    for task in config.tasks:
        _evaluate_base(config, task)
    for unit in practised:
        _keep(config, unit)
    figures = write_learner_table(config.out)
    todo = [unit for unit in units if unit not in practised]
    works = mapped(_practised, todo, config.workers, engine=config.engine)
    for unit in tqdm(works, total=len(todo), desc="learner", unit="run"):
        _keep(config, unit)
        figures = write_learner_table(config.out)
    run.finish(figures)
    print((config.out / "table.md").read_text())


def _practised(unit: FinetuneConfig) -> FinetuneConfig:
    """What a worker does."""
    finetune(unit)
    return unit


def _evaluate_base(config: LearnerConfig, task: str) -> None:
    practice = config.practice(task)
    asked = EvaluateConfig(
        f"kitchen:{task}",
        base=practice.base,
        episodes=config.episodes,
        seed=config.seed,
        videos=0,
        workers=config.workers,
        out=practice.out / "base",
    )
    rows = evaluate(asked).metrics()
    write_atomic(
        config.out / "raw" / task / "evaluation.jsonl", "".join(json.dumps(row) + "\n" for row in sorted_by_seed(rows))
    )


def _keep(config: LearnerConfig, unit: FinetuneConfig) -> None:
    """Raw numbers of a run that has ended, below raw/TASK."""
    file = config.out / "raw" / unit.setting.name / f"practice_{unit.out.name}.jsonl"
    write_atomic(file, (unit.out / "metrics.jsonl").read_bytes())


def sorted_by_seed(rows: list[dict]) -> list[dict]:
    """Rows of an evaluation, which workers finish in any order."""
    return sorted(rows, key=lambda row: row["seed"])
