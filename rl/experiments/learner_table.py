"""The table of `mpr experiment learner`, made only of raw numbers, however many of them there are.

Success of a block of episodes, over runs, minus the base policy's on other starts: intervals of 95 % over runs and the
base policy's episodes. A first block wholly below 0 is the dip that a fair learner shall not have.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.json_files import shortly
from mpr.core.report.intervals import UNIT_RANGE, Interval, difference_of_ratios, success_rate
from mpr.core.runs import read_lines, read_row, write_atomic
from rl.environments.kitchen.tasks import KITCHEN_TASKS
from rl.environments.play import BASE_NAME
from rl.evaluation.curves import successful
from rl.experiments.practice import variant_words

EPISODES_A_BLOCK = 20
MOST_PLANNED = 100_000  # runs a variant, and episodes a run: more is no plan but a damaged file
EARLY_EPISODES = 40  # in which a fair learner is not below its base policy by more than 0.05
Practised = Sequence[NDArray[np.float64]]  # success [episodes] of each run


class _PlanFile(TypedDict):
    tasks: list[str]
    variants: list[str]
    seeds: int
    episodes: int


@dataclass(frozen=True)
class LearnerPlan:
    """What an experiment is to hold when it is complete. Raises UserError for what none is to hold."""

    tasks: Sequence[str]
    variants: Sequence[str]  # a reward, then settings; the reward alone is the learner as it is
    seeds: int  # runs a variant
    episodes: int  # a run

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __post_init__(self) -> None:
        if not (0 < self.seeds <= MOST_PLANNED and 0 < self.episodes <= MOST_PLANNED):
            raise UserError(f"a plan of {self.seeds} runs a variant of {self.episodes} episodes: 1 to {MOST_PLANNED:,}")
        if unknown := [task for task in self.tasks if task not in KITCHEN_TASKS.names()]:
            there = ", ".join(KITCHEN_TASKS.names())
            raise UserError(f"a plan of the task {shortly(unknown[0])}, which the kitchen has not; there is {there}")

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last episode of each, counted from 1."""
        firsts = range(1, self.episodes + 1, EPISODES_A_BLOCK)
        return [(first, min(first + EPISODES_A_BLOCK - 1, self.episodes)) for first in firsts]


def write_learner_table(folder: Path) -> dict[str, Any]:
    """Write table.md out of raw/ in the folder; returns its figures. Raises UserError where there are no numbers."""
    file = folder / "raw" / "plan.json"
    if not file.is_file():
        raise UserError(f"{folder}/raw holds no plan.json: run `mpr experiment learner --out {folder}`")
    plan = LearnerPlan(**read_row(file, _PlanFile))
    text, figures = ["# The learner: success while practising, minus the base policy's", ""], {}
    for task in plan.tasks:
        base = successful(read_lines(folder / "raw" / task / "evaluation.jsonl"))
        runs = {variant: _runs(folder / "raw" / task, variant) for variant in plan.variants}
        text += _lines(task, plan, base, runs)
        figures[task] = {BASE_NAME: dataclasses.asdict(success_rate(base)), "variants": _figures(plan, base, runs)}
    write_atomic(folder / "table.md", "\n".join(text) + "\n")
    return figures


def _runs(folder: Path, variant: str) -> list[NDArray[np.float64]]:
    named = _named(variant_words(variant))
    files = sorted(file for file in folder.glob("practice_*.jsonl") if re.fullmatch(named, file.name))
    return [successful(read_lines(file)) for file in files]


def _named(variant: str) -> str:
    return rf"practice_{re.escape(variant)}_seed_\d+\.jsonl"


def minus_base(runs: Practised, base: NDArray[np.float64], first: int, last: int) -> Interval:
    """Success of runs in episodes `first` to `last`, counted from 1, minus the base policy's on its starts [E]."""
    return _minus(_sums(runs, first, last), (base, np.ones(len(base))))


def minus_plain(runs: Practised, plain: Practised) -> Interval:
    """Success of runs over all their episodes minus that of other runs."""
    return _minus(_sums(runs, 1, None), _sums(plain, 1, None))


def _sums(runs: Practised, first: int, last: int | None) -> tuple[list[float], list[int]]:
    """Successes and episodes of each run."""
    parts = [run[first - 1 : last] for run in runs]
    return [float(part.sum()) for part in parts], [len(part) for part in parts]


def _minus(a: tuple[Any, Any], b: tuple[Any, Any]) -> Interval:
    return difference_of_ratios(a, b, UNIT_RANGE)


def _lines(
    task: str, plan: LearnerPlan, base: NDArray[np.float64], runs: dict[str, list[NDArray[np.float64]]]
) -> list[str]:
    """Markdown of a task. An interval wholly below 0 is bold."""
    done, wanted = sum(map(len, runs.values())), len(plan.variants) * plan.seeds
    full = f"{done} runs" if done == wanted else f"**{done} of {wanted} runs: not complete**"
    heads = [*(f"{first}–{last}" for first, last in plan.blocks), f"first {EARLY_EPISODES}", "all, minus as it is"]
    text = [f"## {task}", "", f"Base policy {success_rate(base)} of {len(base)} episodes; {full}.", ""]
    text += [f"| variant | runs | {' | '.join(heads)} |", "|---" * (2 + len(heads)) + "|"]
    for variant, some in runs.items():
        plain = runs.get(variant.partition(" ")[0], [])
        blocks = [*plan.blocks, (1, min(EARLY_EPISODES, plan.episodes))]
        cells = [_cell(minus_base(some, base, *block)) for block in blocks] if some else ["–"] * len(blocks)
        against = str(minus_plain(some, plain)) if some and plain and some is not plain else "–"
        text.append(f"| {variant} | {len(some)} | {' | '.join(cells)} | {against} |")
    return [*text, ""]


def _cell(found: Interval) -> str:
    return f"**{found}**" if found.high < 0 else str(found)


def _figures(
    plan: LearnerPlan, base: NDArray[np.float64], runs: dict[str, list[NDArray[np.float64]]]
) -> dict[str, Any]:
    return {
        variant: {
            f"{first}_{last}": dataclasses.asdict(minus_base(some, base, first, last)) for first, last in plan.blocks
        }
        for variant, some in runs.items()
        if some
    }
