"""The table of `mpr experiment reach`, made only of raw numbers, however many of them there are.

The claim first (rl.experiments.reach_claim); all else is secondary: intervals of 95 %, each by itself.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mpr.core.errors import UserError
from mpr.core.json_files import shortly
from mpr.core.report.intervals import SIGNED, UNIT_RANGE, Interval, difference_of_ratios, mean
from mpr.core.runs import read_lines, read_row, write_atomic
from rl.environments.play import BASE_NAME
from rl.evaluation.curves import draw_curves
from rl.evaluation.rows import measure_of
from rl.experiments.learner_table import MOST_PLANNED
from rl.experiments.practice import variant_words
from rl.experiments.reach import CLAIM, FEWEST_SEEDS
from rl.experiments.reach_claim import Claim, Travels, claim_of

TRAVEL = "beyond_shown"  # how far beyond what is shown an episode came; where all is shown success is the measure
_MEASURES = (TRAVEL, "success")
HARM = 0.05  # by which `motion` may be below `none` in a control
ReachRows = Sequence[Mapping[str, Any]]


class _PlanFile(TypedDict):
    further: dict[str, list[str]]
    controls: dict[str, list[str]]
    first_seed: int
    most_seeds: int
    control_seeds: int
    episodes: int
    last: int
    measures: dict[str, str]


@dataclass(frozen=True)
class ReachPlan:
    """What an experiment is to hold when it is complete. Raises UserError for what none is to hold."""

    further: Mapping[str, Sequence[str]]  # setting -> variants
    controls: Mapping[str, Sequence[str]]
    first_seed: int
    most_seeds: int
    control_seeds: int
    episodes: int  # a run
    last: int  # of them, whose mean is the figure
    measures: Mapping[str, str]  # setting -> what is measured of an episode

    def __post_init__(self) -> None:
        counts = (self.most_seeds, self.episodes, self.last)
        if not (all(0 < count <= MOST_PLANNED for count in counts) and self.most_seeds >= FEWEST_SEEDS):
            raise UserError(f"a plan of {counts} seeds, episodes and last of them: {FEWEST_SEEDS} seeds or more")
        if self.first_seed < 0 or self.control_seeds < 0 or not self.further:
            raise UserError(
                f"a plan of seeds from {self.first_seed} in {len(self.further)} settings: there is nothing to show"
            )
        if wrong := [name for name in (*self.further, *self.controls) if self.measures.get(name) not in _MEASURES]:
            raise UserError(f"a plan of a setting {shortly(wrong[0])} in which nothing is measured")
        if wrong := [name for name in (*self.further, *self.controls) if not re.fullmatch(r"\w[\w.-]*", name)]:
            raise UserError(f"a plan of a setting {wrong[0]!r}: that names no folder of raw numbers")

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class SettingRaw:
    """The raw numbers of one setting: rows of whole runs, variant -> training seed -> its episodes."""

    practised: Mapping[str, Mapping[int, ReachRows]]
    evaluated: Mapping[str, Mapping[int, ReachRows]]  # the base policies' under BASE_NAME
    last: int
    measure: str  # of an episode

    def travels(self, variant: str) -> Travels:
        """The figure of each run: mean of its last episodes of practice."""
        return self._means(self.practised.get(variant, {}), self.measure, self.last)

    def areas(self, variant: str) -> Travels:
        """Success over all episodes practised: the area under the practice curve."""
        return self._means(self.practised.get(variant, {}), "success", 0)

    def final(self, variant: str, measure: str = "success") -> Travels:
        """Of the final policies, without exploration."""
        return self._means(self.evaluated.get(variant, {}), measure, 0)

    @staticmethod
    def _means(runs: Mapping[int, ReachRows], measure: str, last: int) -> dict[int, float]:
        return {seed: float(np.mean([measure_of(row, measure) for row in some[-last:]])) for seed, some in runs.items()}


def read_setting(folder: Path, variants: Sequence[str], plan: ReachPlan) -> SettingRaw:
    """The raw numbers in raw/SETTING; a run that is not whole counts as not there."""
    practised: dict[str, dict[int, ReachRows]] = {variant: {} for variant in variants}
    evaluated: dict[str, dict[int, list[Mapping[str, Any]]]] = {name: {} for name in (BASE_NAME, *variants)}
    names = {variant_words(variant): variant for variant in variants}
    for file in sorted(folder.glob("practice_*_seed_*.jsonl")):
        name, _, seed = file.stem.removeprefix("practice_").rpartition("_seed_")
        rows = [_checked(row) for row in read_lines(file)]
        if name in names and seed.isdecimal() and len(rows) == plan.episodes:
            practised[names[name]][int(seed)] = rows
    for file in sorted(folder.glob("evaluation_seed_*.jsonl")):
        seed = file.stem.rpartition("_")[2]
        for row in map(_checked, read_lines(file) if seed.isdecimal() else ()):
            name = row["policy"].removesuffix(f"_seed_{seed}")
            if (variant := BASE_NAME if name == BASE_NAME else names.get(name)) is not None:
                evaluated[variant].setdefault(int(seed), []).append(row)
    return SettingRaw(practised, evaluated, plan.last, plan.measures[folder.name])


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose figures can be. Raises UserError, naming it, for one whose cannot."""
    beyond = row.get("beyond_shown", 0.0)
    if beyond is None or not 0 <= beyond <= 1:
        raise UserError(
            f"{getattr(row, 'where', 'a row')}: beyond_shown is {beyond}, a share: take the file out, run again"
        )
    return row


def reach_report(folder: Path) -> tuple[list[str], dict[str, Any], dict[str, SettingRaw]]:
    """The table's lines, its figures, and what they are made of, out of raw/ in the folder (or the folder itself).

    Raises UserError where there are no such numbers.
    """
    folder = folder / "raw" if (folder / "raw").is_dir() else folder
    if not (folder / "plan.json").is_file():
        raise UserError(f"{folder} holds no plan.json: give a folder of `mpr experiment reach`, or its raw/")
    said = read_row(folder / "plan.json", _PlanFile)
    plan = ReachPlan(**{name: said[name] for name in _PlanFile.__annotations__})
    raw = {name: read_setting(folder / name, some, plan) for name, some in {**plan.further, **plan.controls}.items()}
    claim = claim_of(*_pair(plan, raw), plan.first_seed, plan.most_seeds)
    text = ["# Does the motion reward teach what nobody showed?", ""]
    text += [f"`{CLAIM[0]}` − `{CLAIM[1]}`, pooled over {', '.join(plan.further)}: {claim}", ""]
    figures: dict[str, Any] = {"claim": _claim_figures(claim), "settings": {}}
    for name, variants in {**plan.further, **plan.controls}.items():
        seeds = plan.most_seeds if name in plan.further else plan.control_seeds
        claims = name in plan.further
        lines, figures["settings"][name] = _setting(name, raw[name], variants, seeds, claims, claim.look > 0)
        text += lines
    return [*text, *_aims(plan, raw, claim)], figures, raw


def write_reach_table(folder: Path) -> tuple[dict[str, Any], dict[str, SettingRaw]]:
    """Write table.md out of raw/ in the folder; returns the table's figures, and what they are made of."""
    lines, figures, raw = reach_report(folder)
    write_atomic(folder / "table.md", "\n".join(lines) + "\n")
    return figures, raw


def draw_reach(folder: Path, raw: Mapping[str, SettingRaw]) -> list[Path]:
    """Write a learning curve of each setting, SETTING.png: how far beyond what is shown, or success."""
    drawn = []
    for name, one in raw.items():
        runs = {
            variant: [np.array([measure_of(row, one.measure) for row in rows]) for _, rows in sorted(some.items())]
            for variant, some in one.practised.items()
            if some
        }
        if runs:
            drawn.append(folder / f"{name}.png")
            draw_curves(drawn[-1], runs, _mean(one.final(BASE_NAME, one.measure)), name, one.measure)
    return drawn


def _pair(plan: ReachPlan, raw: Mapping[str, SettingRaw]) -> tuple[list[Travels], list[Travels]]:
    ones, others = ([raw[name].travels(variant) for name in plan.further] for variant in CLAIM)
    return ones, others


def _claim_figures(claim: Claim) -> dict[str, Any]:
    tested = claim.tested
    told = {"look": claim.look, "seeds": claim.seeds, "seeds_done": claim.done, "said": str(claim)}
    told |= {"stopped": claim.stopped}
    return told | ({} if tested is None else {**dataclasses.asdict(tested.difference), "p": tested.p})


def _mean(travels: Travels) -> Interval:
    return mean(list(travels.values()), UNIT_RANGE)


def _minus(ones: Travels, others: Travels) -> Interval:
    """Runs are not paired, whatever their seeds: it gains nothing (correlation 0.31 and −0.08)."""
    a, b = (np.array(list(some.values())) for some in (ones, others))
    return difference_of_ratios((a, np.ones(len(a))), (b, np.ones(len(b))), UNIT_RANGE)


def _setting(
    name: str, raw: SettingRaw, variants: Sequence[str], seeds: int, claims: bool, looked: bool
) -> tuple[list[str], dict[str, Any]]:
    """Markdown and figures of one setting."""
    done, wanted = sum(map(len, raw.practised.values())), len(variants) * seeds
    full = f"{done} runs" if done >= wanted else f"**{done} of {wanted} runs: not complete**"
    figure = "of the way beyond what is shown" if raw.measure == TRAVEL else "success"
    base = raw.final(BASE_NAME)
    said = f"Base policies: success {_mean(base)}" + (
        f", {_mean(raw.final(BASE_NAME, raw.measure))} of the way beyond" if raw.measure != "success" and base else ""
    )
    heads = ("variant", "runs", f"{figure}, last {raw.last}", f"minus `{CLAIM[1]}`", "success while practising")
    heads += ("success of final policies", "minus their base policies'")
    text = [f"## {name}" + ("" if claims else ", a control"), "", f"{said}; {full}.", ""]
    text += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    figures: dict[str, Any] = {}
    for variant in variants:
        travels, final = raw.travels(variant), raw.final(variant)
        own = {seed: base[seed] for seed in final if seed in base}
        held = claims and not looked and variant == CLAIM[0]  # the claim's own contrast is not to be peeked at
        cells = {
            "travel": _mean(travels),
            "minus_none": _minus(travels, raw.travels(CLAIM[1])) if variant != CLAIM[1] and not held else None,
            "practising": _mean(raw.areas(variant)),
            "final": _mean(final),
            "minus_base": mean([final[seed] - own[seed] for seed in own], SIGNED),
        }
        shown = ["" if cell is None else str(cell) for cell in cells.values()]
        shown[1] = "at the first look" if held else shown[1]
        text.append(f"| {variant} | {len(travels)} | {' | '.join(shown)} |")
        figures[variant] = {key: dataclasses.asdict(cell) for key, cell in cells.items() if cell is not None}
    return [*text, ""], figures


def _aims(plan: ReachPlan, raw: Mapping[str, SettingRaw], claim: Claim) -> list[str]:
    """What was hoped for beside the claim, each with its figure."""
    found = []
    for name in plan.further:
        travels = raw[name].travels
        for variant in plan.further[name]:
            if variant == "wrong_direction":
                found.append((f"{name}: `motion` above `{variant}`", _minus(travels("motion"), travels(variant)), 0.0))
            elif variant.startswith("motion ") and "lucas_kanade" in variant:
                found.append((f"{name}: `{variant}` above `none`", _minus(travels(variant), travels("none")), 0.0))
    for name in plan.controls:
        travels = raw[name].travels
        less = _minus(travels("motion"), travels("none"))
        found.append((f"{name}: `motion` not below `none` by more than {HARM:g}", less, -HARM))
    lines = [f"- {what}: {figure}, {_met(figure, least)}" for what, figure, least in found]
    return ["## Aims beside the claim", "", *lines] if lines else []


def _met(figure: Interval, least: float) -> str:
    """By the interval for what is to be above 0, by the figure itself for what is to do no harm."""
    judged = figure.low if least == 0 else figure.value
    return "open" if not np.isfinite([judged, figure.low]).all() else "met" if judged > least else "not met"
