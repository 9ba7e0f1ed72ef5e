"""What `mpr experiment practice` reports: tables and images, made only of its raw numbers, one line an episode.

Success of the final policies comes first. Beside it stand success while practising (the area under the practice curve),
the chance that a run of a variant is better than one of another, and the share of runs above each success rate.
Intervals of these three are over training runs.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.report.intervals import (
    UNIT_RANGE,
    Interval,
    difference_of_ratios,
    mean,
    mean_over_runs,
    probability_of_improvement,
    success_rate,
)
from mpr.core.runs import read_lines, write_atomic
from mpr.reward.registry import RENAMED_REWARDS
from rl.environments.play import BASE_NAME
from rl.evaluation.curves import Evaluations, draw_curves, draw_profiles, evaluations, successful
from rl.evaluation.outcomes import compare_policies, comparison_table, contrast, of_runs

_LEVELS = (0.25, 0.5, 0.75, 0.9)  # of success, of the performance profile's columns
Runs = Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class PracticeRaw:
    """The raw numbers of an experiment."""

    rows: Sequence[Mapping[str, Any]]  # of evaluation
    variants: Mapping[str, Sequence[str]]  # the names of each variant's runs
    practised: Mapping[str, Runs]  # success [episodes] while each of its runs practised; none: not known
    evaluated: Mapping[str, Sequence[Evaluations]] = field(default_factory=dict)  # while each practised

    @property
    def base(self) -> float:
        """Success of the base policy."""
        return float(of_runs(self.rows, [BASE_NAME]).mean())

    def rates(self, variant: str) -> NDArray[np.float64]:
        """Success [R] of each run's final policy."""
        return of_runs(self.rows, [BASE_NAME, *self.variants[variant]])[1:].mean(1)

    def areas(self, variant: str) -> NDArray[np.float64]:
        """Area [R] under each run's practice curve: success over all episodes practised."""
        return np.array([run.mean() for run in self.practised.get(variant, ()) if len(run)])


def lines(raw: PracticeRaw, against: str = "") -> list[str]:
    """Markdown: final success, success while practising, performance profiles; each arm minus the arm `against`."""
    return [
        *comparison_table(raw.rows, raw.variants),
        *practice_lines(raw),
        *evaluated_lines(raw),
        *profile_lines(raw),
        *contrast_lines(raw, against),
    ]


def practice_lines(raw: PracticeRaw) -> list[str]:
    """Success while practising, and whether a run is better than the base policy."""
    out = [
        "",
        "| variant | success while practising | of each run | chance of a run better than base |",
        "|---|---|---|---|",
    ]
    for variant in raw.variants:
        each = ", ".join(f"{area:.2f}" for area in raw.areas(variant))
        better = probability_of_improvement(raw.rates(variant), [raw.base])
        out.append(f"| {variant} | {mean(raw.areas(variant), UNIT_RANGE)} | {each} | {better} |")
    return out


def evaluated_lines(raw: PracticeRaw) -> list[str]:
    """The last evaluation while practising, and the best one so far, chosen on the episodes that it is told of.

    No lines where nothing was evaluated.
    """
    if not any(len(run) for runs in raw.evaluated.values() for run in runs):
        return []
    heads = ("variant", "evaluated after steps", "last evaluation", "best evaluation, chosen on these episodes")
    out = ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for variant, runs in raw.evaluated.items():
        some = [run for run in runs if len(run)]
        steps = f"{max(run.steps[-1] for run in some):,}" if some else "–"
        out.append(f"| {variant} | {steps} | {_evaluated(some, best=False)} | {_evaluated(some, best=True)} |")
    return out


def _evaluated(runs: Sequence[Evaluations], best: bool) -> Interval:
    """Success of the last evaluations, or the best, of runs on the same starts."""
    chosen = [run.outcomes[run.outcomes.mean(1).argmax() if best else -1] for run in runs]
    if not chosen or len({len(one) for one in chosen}) > 1:
        return mean([])
    return mean_over_runs(chosen)


def profile_lines(raw: PracticeRaw) -> list[str]:
    """The performance profile: the share of a variant's runs whose final success is above each of _LEVELS."""
    head = " | ".join(f"runs above {level}" for level in _LEVELS)
    out = ["", f"| variant | {head} |", "|---" * (1 + len(_LEVELS)) + "|"]
    for variant in raw.variants:
        shares = (str(success_rate(raw.rates(variant) > level)) for level in _LEVELS)
        out.append(f"| {variant} | " + " | ".join(shares) + " |")
    return out


def contrast_lines(raw: PracticeRaw, against: str) -> list[str]:
    """Every variant beside the variant `against` (none: no lines)."""
    if not against:
        return []
    heads = ("variant", f"success minus that of `{against}`", "chance of a better run")
    out = ["", f"| {' | '.join(heads)} | while practising, minus `{against}` |", "|---|---|---|---|"]
    for variant in (variant for variant in raw.variants if variant != against):
        success = contrast(raw.rows, raw.variants[variant], raw.variants[against])
        better = probability_of_improvement(raw.rates(variant), raw.rates(against))
        out.append(f"| {variant} | {success} | {better} | {area_contrast(raw, variant, against)} |")
    return out


def area_contrast(raw: PracticeRaw, variant: str, against: str) -> Interval:
    """A variant's mean area under the practice curve less another's, with its interval over runs."""
    one, other = raw.areas(variant), raw.areas(against)
    return difference_of_ratios((one, np.ones(len(one))), (other, np.ones(len(other))), UNIT_RANGE)


def practice_summary(raw: PracticeRaw) -> dict[str, Any]:
    """The same figures, for summary.json."""

    def figures(variant: str, names: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Interval] = {
            "while_practising": mean(raw.areas(variant), UNIT_RANGE),
            "better_than_base": probability_of_improvement(raw.rates(variant), [raw.base]),
        }
        if some := [run for run in raw.evaluated.get(variant, ()) if len(run)]:
            found |= {"last_evaluation": _evaluated(some, best=False), "best_evaluation": _evaluated(some, best=True)}
        return dataclasses.asdict(compare_policies(raw.rows, names)) | {
            k: dataclasses.asdict(v) for k, v in found.items()
        }

    variants = {variant: figures(variant, names) for variant, names in raw.variants.items()}
    return {BASE_NAME: dataclasses.asdict(compare_policies(raw.rows, [BASE_NAME])), "variants": variants}


def draw_practice(folder: Path, raw: PracticeRaw, title: str) -> list[Path]:
    """Write curves.png and profiles.png."""
    curves, profiles = folder / "curves.png", folder / "profiles.png"
    base = compare_policies(raw.rows, [BASE_NAME]).success
    draw_curves(curves, raw.practised, base, title)
    draw_profiles(profiles, {variant: raw.rates(variant) for variant in raw.variants}, base, title)
    return [curves, profiles]


def read_raw(folder: Path) -> PracticeRaw:
    """Raw numbers as results/ keeps them: evaluation.jsonl and practice_VARIANT_seed_N.jsonl, in order.

    Rewards have today's names, whatever they were called when the numbers were made.

    Raises UserError where there is no evaluation.
    """
    if not (folder / "evaluation.jsonl").is_file():
        raise UserError(f"{folder} holds no evaluation.jsonl: a folder of raw numbers, results/.../raw, does")
    rows, variants = read_lines(folder / "evaluation.jsonl"), dict[str, list[str]]()
    for name in dict.fromkeys(row["policy"] for row in rows if row["policy"] != BASE_NAME):
        reward, *settings = re.sub(r"_seed_\d+$", "", name).split(",")
        variant = " ".join([RENAMED_REWARDS.get(reward, reward), *settings])
        variants.setdefault(variant, []).append(name)
    files = {variant: [folder / f"practice_{name}.jsonl" for name in names] for variant, names in variants.items()}
    lines_of = {variant: [read_lines(file) for file in some if file.exists()] for variant, some in files.items()}
    return PracticeRaw(
        rows,
        variants,
        practised={variant: [successful(run) for run in runs] for variant, runs in lines_of.items()},
        evaluated={variant: [evaluations(run) for run in runs] for variant, runs in lines_of.items()},
    )


def remake(folder: Path, out: Path, against: str = "", title: str = "") -> list[str]:
    """Write table.md and the images of results/.../raw anew into `out`: no run, no simulator; returns its lines."""
    raw = read_raw(folder)
    text = lines(raw, against)
    write_atomic(out / "table.md", "\n".join([f"# {title or folder.parent.name}", "", *text]) + "\n")
    draw_practice(out, raw, title or folder.parent.name)
    return text
