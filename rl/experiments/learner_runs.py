"""The runs of `mpr experiment learner`: what is there is kept, raw numbers and the table are written as runs end.

A run whose raw numbers are all there has ended: with --raw those of another machine, on the same bases, go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.errors import UserError
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
    practised = [unit for unit in units if (unit.out / "summary.json").exists() or _told(config, unit)]
    if len(practised) < len(units):
        for k in range(len(config.tasks)):  # refused now, not after the folder is made
            check_runs(units[k * count : (k + 1) * count])
    bases = {task: base_digest(config.practice(task).base) for task in config.tasks}
    if config.raw is not None:
        _check_bases(config.raw / "bases.json", bases)
    run = RunFolder(config.out, "experiment learner", as_dict(config) | {"bases_weights": bases}, LEARNER_FREE_KEYS)
    write_atomic(config.out / "raw" / "bases.json", json.dumps(bases, indent=2) + "\n")
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


def _check_bases(file: Path, bases: Mapping[str, str]) -> None:
    """Raises UserError where the raw numbers are of runs on other base policies, or there are none."""
    if not file.exists():
        raise UserError(f"--raw {file.parent}: it holds no {file.name}, as raw numbers of this experiment do")
    if (there := json.loads(file.read_text())) != bases:
        told = f"{file.parent} is of other base policies, {there}: these are {dict(bases)}"
        raise UserError(f"{told}; begin anew, without --raw")


def _raw(root: Path, unit: FinetuneConfig) -> Path:
    return root / unit.setting.name / f"practice_{unit.out.name}.jsonl"


def _told(config: LearnerConfig, unit: FinetuneConfig) -> bool:
    """Whether all of its raw numbers were made elsewhere."""
    file = _raw(config.raw, unit) if config.raw else Path()
    return file.is_file() and len(file.read_text().splitlines()) == config.practice_episodes


def _keep(config: LearnerConfig, unit: FinetuneConfig) -> None:
    """Raw numbers of a run that has ended, below raw/TASK."""
    made = unit.out / "metrics.jsonl"
    rows = made if made.exists() or config.raw is None else _raw(config.raw, unit)
    write_atomic(_raw(config.out / "raw", unit), rows.read_bytes())


def sorted_by_seed(rows: list[dict]) -> list[dict]:
    """Rows of an evaluation, which workers finish in any order."""
    return sorted(rows, key=lambda row: row["seed"])
