"""What `mpr experiment calibration` reports, made only of its raw rows: which goals serve, how full the table is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpr.core.report.intervals import UNIT_RANGE, Interval, mean, success_rate
from mpr.core.runs import Logged, read_lines
from rl.environments.kitchen.tasks import find_task
from rl.experiments.calibration import CALIBRATION_PARTS

LEAST_SUCCESS = {"expert": 0.95, "limited": 0.8, "dense": 0.5}  # of episodes: 19 of 20 for the expert
LEAST_SHOWN_RATE = 0.5  # of the base policy's episodes that come to what is shown
MOST_BEYOND = {"base": 0.2, "none": 0.3}  # of the way from there to the goal that these come in the mean
_REST = "rest_steps"  # at rest at the end of each demonstration: 0 where rows do not tell, broken off in motion
_ASKED = ("task", "shown_travel", "step_limit", "residual_scale", "ajar")  # what rows of one table of goals agree in
CalibrationRows = Sequence[Mapping[str, Any]]


class CalibrationRow(Logged, total=False):
    """What a line of this experiment's metrics.jsonl holds beside what those of any command may."""

    task: str
    part: str
    goal_travel: float
    shown_travel: float
    step_limit: int | None
    residual_scale: float
    ajar: bool
    rest_steps: int
    furthest_travel: float
    beyond_shown: float
    base_weights: str


def reaches_shown(rows: CalibrationRows) -> Interval:
    """Share of episodes that came to what is shown."""
    return success_rate([row["furthest_travel"] >= row["shown_travel"] for row in rows])


def way_beyond(rows: CalibrationRows) -> Interval:
    """Mean share of the way from what is shown to the goal."""
    return mean([row["beyond_shown"] for row in rows], UNIT_RANGE)


def refused(rows: CalibrationRows, part: str) -> str:
    """Why a part's episodes say that a goal does not serve; empty where they do not say so."""
    if not rows:
        return ""
    if part == "base" and (shown := reaches_shown(rows).value) < LEAST_SHOWN_RATE:
        return f"base reaches what is shown in {shown:.2f} of episodes, under {LEAST_SHOWN_RATE:g}"
    if (most := MOST_BEYOND.get(part)) is not None:
        beyond = way_beyond(rows).value
        return f"{part} comes {beyond:.2f} of the way, over {most:g}" if beyond > most + 1e-9 else ""
    success, least = success_rate([row["success"] for row in rows]).value, LEAST_SUCCESS[part]
    return f"{part} {success:.2f}, under {least:g}" if success < least - 1e-9 else ""


@dataclass(frozen=True)
class CalibratedGoal:
    """One candidate goal: its episodes, part by part, and how many each part is to have."""

    goal_travel: float
    parts: Mapping[str, CalibrationRows]
    episodes: int

    @property
    def _asked(self) -> tuple[str, ...]:
        """The parts up to the first that refuses it: none behind it is asked."""
        wrong = [k for k, part in enumerate(CALIBRATION_PARTS) if self._refusal(part)]
        return CALIBRATION_PARTS[: wrong[0] + 1] if wrong else CALIBRATION_PARTS

    def _refusal(self, part: str) -> str:
        """Why a part that was played to its end refuses it."""
        rows = self.parts[part]
        return refused(rows, part) if len(rows) >= self.episodes else ""

    @property
    def why_not(self) -> str:
        """Why it does not serve; empty while nothing says so."""
        return self._refusal(self._asked[-1])

    @property
    def missing(self) -> int:
        """Episodes still to be played."""
        return sum(max(self.episodes - len(self.parts[part]), 0) for part in self._asked)

    def success(self, part: str) -> Interval:
        return success_rate([row["success"] for row in self.parts[part]])

    @property
    def serves(self) -> bool:
        return not self.why_not and not self.missing

    @property
    def verdict(self) -> str:
        if self.why_not:
            return f"left out: {self.why_not}"
        return "serves" if self.serves else f"open: {self.missing} episodes to come"


def calibrated(rows: CalibrationRows, episodes: int) -> dict[tuple[Any, ...], list[CalibratedGoal]]:
    """Candidate goals, the nearest first, of each task and setting beside the goal, in the order they came."""
    found: dict[tuple[Any, ...], dict[float, list[Mapping[str, Any]]]] = {}
    for row in rows:
        found.setdefault((*(row[name] for name in _ASKED), row.get(_REST, 0)), {}).setdefault(
            row["goal_travel"], []
        ).append(row)
    return {
        asked: [
            CalibratedGoal(
                goal, {part: [row for row in some if row["part"] == part] for part in CALIBRATION_PARTS}, episodes
            )
            for goal, some in sorted(goals.items())
        ]
        for asked, goals in found.items()
    }


def calibration_lines(rows: CalibrationRows, episodes: int) -> list[str]:
    """Markdown: a table of goals for each task, what is chosen, and how full it is.

    `episodes`: of each part and goal.
    """
    lines: list[str] = []
    for asked, goals in calibrated(rows, episodes).items():
        lines += [*([""] if lines else []), *_table(dict(zip((*_ASKED, _REST), asked, strict=True)), goals)]
    return lines or ["No episode has been played yet."]


def _table(asked: Mapping[str, Any], goals: Sequence[CalibratedGoal]) -> list[str]:
    task = find_task(asked["task"])
    steps = f"{asked['step_limit'] or 150} steps, residual scale {asked['residual_scale']:g}"
    doors = "doors ajar" if asked["ajar"] else "doors shut"
    end = f"held there for {asked[_REST]} steps" if asked[_REST] else "broken off in motion"
    lines = [f"# {task.name}: shown to {asked['shown_travel']:g} {task.unit}, {end}, {doors}, {steps}", ""]
    heads = ("goal", "expert", "expert held to base + residual", "base reaches what is shown")
    heads += ("base, of the way beyond", "`dense`", "`dense`, of the way beyond", "`none`, of the way beyond", "")
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for goal in goals:
        won = {part: goal.success(part) for part in CALIBRATION_PARTS}
        beyond = {part: way_beyond(some) for part, some in goal.parts.items()}
        figures = [won["expert"], won["limited"], reaches_shown(goal.parts["base"]), beyond["base"]]
        figures += [won["dense"], beyond["dense"], beyond["none"]]
        cells = [f"{goal.goal_travel:g} {task.unit}", *map(str, figures), goal.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", _choice(task.name, goals), _fullness(goals)]


def _choice(task: str, goals: Sequence[CalibratedGoal]) -> str:
    if chosen := _chosen(goals):
        return f"Chosen: a goal of {chosen.goal_travel:g}, the furthest that serves."
    if all(goal.why_not for goal in goals):
        return f"None of these goals serves: with this setting {task} is left out."
    return "No goal is known to serve yet."


def _chosen(goals: Sequence[CalibratedGoal]) -> CalibratedGoal | None:
    """The furthest that serves."""
    return next((goal for goal in reversed(goals) if goal.serves), None)


def _fullness(goals: Sequence[CalibratedGoal]) -> str:
    played, missing = sum(len(some) for g in goals for some in g.parts.values()), sum(g.missing for g in goals)
    return f"{played} episodes played, {missing} still to come at most." if missing else f"Full: {played} episodes."


def calibration_summary(rows: CalibrationRows, episodes: int) -> dict[str, Any]:
    """The same, for summary.json."""
    told: list[dict[str, Any]] = []
    for asked, goals in calibrated(rows, episodes).items():
        chosen = _chosen(goals)
        figures = [
            {"goal_travel": goal.goal_travel, "verdict": goal.verdict, "missing": goal.missing}
            | {part: dataclasses.asdict(goal.success(part)) for part in CALIBRATION_PARTS}
            for goal in goals
        ]
        choice = {"chosen": None if chosen is None else chosen.goal_travel, "goals": figures}
        told.append(dict(zip((*_ASKED, _REST), asked, strict=True)) | choice)
    return {"settings": told}


def remake_calibration(folder: Path, episodes: int = 20) -> list[str]:
    """The lines of results/.../table.md out of raw/NAME.jsonl beside it, each the metrics.jsonl of a run.

    Of several runs, where settings or base policies tell them apart: what one file says is not mixed with another's.
    """
    lines: list[str] = []
    for file in sorted((folder / "raw").glob("*.jsonl")):
        found = calibration_lines(read_lines(file, CalibrationRow), episodes)
        lines += [*([""] if lines else []), *found, "", f"Made of raw/{file.name}."]
    return lines
