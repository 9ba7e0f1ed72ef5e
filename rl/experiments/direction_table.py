"""The table of `mpr experiment direction`, made only from its raw per-episode numbers."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.report.intervals import UNIT_RANGE, Interval, difference_of_ratios, mean, ratio
from mpr.core.runs import write_atomic
from mpr.reward.agreement import MOTION_THRESHOLD_PX, MOTION_THRESHOLDS_PX
from rl.experiments.direction import DIRECTION_KINDS, ORACLE

MET = {True: "yes", False: "**no**", None: "not decided: not scored"}
Where = Mapping[str, str]  # column name -> value


class DirectionRaw:
    """The raw numbers of a run: sums of agreement and moved share per episode, selectable by column."""

    def __init__(self, folder: Path) -> None:
        files = sorted((folder / "raw").glob("*.csv"))
        if not files:
            raise UserError(f"{folder}/raw holds no scores yet: run `mpr experiment direction --out {folder}`")
        self.rows: list[dict[str, str]] = []
        for file in files:
            with file.open(newline="") as stream:
                self.rows += list(csv.DictReader(stream))

    def values(self, name: str) -> list[str]:
        """Distinct values of a column, in order of appearance."""
        return list(dict.fromkeys(r[name] for r in self.rows))

    def select(
        self, wanted: Where, threshold_px: float = MOTION_THRESHOLD_PX, views: str = ""
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Σ agreement, Σ moved share and steps of every episode [n] with these column values.

        `views`: "held_out" keeps views nobody looked at during development, "development" the others.
        """
        chosen = [r for r in self.rows if all(r[k] == v for k, v in wanted.items())]
        if views:
            chosen = [r for r in chosen if r["view"].startswith("held_out") == (views == "held_out")]
        columns = (f"agreement_{threshold_px}", f"share_{threshold_px}", "steps")
        agreement, share, steps = (np.array([float(r[c]) for r in chosen]) for c in columns)
        return agreement, share, steps


def direction(raw: DirectionRaw, wanted: Where, threshold_px: float = MOTION_THRESHOLD_PX, views: str = "") -> Interval:
    """Directional agreement over the chosen episodes."""
    agreement, share, _ = raw.select(wanted, threshold_px, views)
    return ratio(agreement, share, UNIT_RANGE)


def opening_minus_closing(raw: DirectionRaw, wanted: Where) -> Interval:
    """Opening's directional agreement less closing's, with its interval."""
    opening, closing = (raw.select({**wanted, "kind": kind})[:2] for kind in ("opening", "closing"))
    return difference_of_ratios(opening, closing, UNIT_RANGE)


def episodes_told(raw: DirectionRaw, tracker: str, task: str) -> str:
    """How full a table is: "56 episodes of each kind", or how many of which."""
    found = {kind: set[str]() for kind in DIRECTION_KINDS}
    for row in raw.rows:
        if row["tracker"] == tracker and row["task"] == task:
            found[row["kind"]].add(row["episode"])
    counts = {kind: len(names) for kind, names in found.items()}
    if len(set(counts.values())) == 1:
        return f"{counts[DIRECTION_KINDS[0]]} episodes of each kind"
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) + " episodes"


def _table(raw: DirectionRaw, tracker: str, task: str) -> list[str]:
    """Markdown: a line a row (motion and baselines); directional agreement by kind, and the miss's mean agreement."""
    lines = [
        f"\n### {task}, {tracker} tracks: {episodes_told(raw, tracker, task)}\n",
        "| row | opening | closing | opening − closing | jiggling | partial | miss: mean agreement |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in raw.values("row"):
        at = {"tracker": tracker, "task": task, "row": row}
        cells = [direction(raw, {**at, "kind": kind}) for kind in ("opening", "closing")]
        cells += [opening_minus_closing(raw, at)]
        cells += [direction(raw, {**at, "kind": kind}) for kind in ("jiggling", "partial")]
        agreement, _, steps = raw.select({**at, "kind": "miss"})
        miss = mean(agreement / steps, UNIT_RANGE).text(4)  # two digits would show it as 0
        lines.append(f"| {row} | " + " | ".join(str(c) for c in cells) + f" | {miss} |")
    return lines


def variations(raw: DirectionRaw, tracker: str, task: str) -> list[str]:
    """Markdown: the motion row by threshold and by group of cameras."""
    at = {"tracker": tracker, "task": task, "row": "motion"}
    lines = []
    groups: list[tuple[str, dict[str, Any]]] = [
        *((f"threshold {m} px", {"threshold_px": m}) for m in MOTION_THRESHOLDS_PX),
        ("development cameras", {"views": "development"}),
        ("held-out cameras", {"views": "held_out"}),
    ]
    for label, options in groups:
        cells = [direction(raw, {**at, "kind": kind}, **options) for kind in DIRECTION_KINDS[:4]]
        lines.append(f"| {task} | {tracker} | {label} | " + " | ".join(str(c) for c in cells) + " |")
    for view in raw.values("view"):
        cells = [direction(raw, {**at, "kind": kind, "view": view}) for kind in DIRECTION_KINDS[:4]]
        lines.append(f"| {task} | {tracker} | camera {view} | " + " | ".join(str(c) for c in cells) + " |")
    return lines


def verdicts(raw: DirectionRaw, tracker: str, task: str) -> dict[str, Any]:
    """The aims, each with the figure that decides it."""
    at = {"tracker": tracker, "task": task}
    own = opening_minus_closing(raw, {**at, "row": "motion"})
    rivals = {
        row: opening_minus_closing(raw, {**at, "row": row})
        for row in raw.values("row")
        if row not in ("motion", ORACLE) and not row.startswith("progress")
    }
    opening = direction(raw, {**at, "kind": "opening", "row": "motion"})
    closing = direction(raw, {**at, "kind": "closing", "row": "motion"})
    agreement, _, steps = raw.select({**at, "kind": "miss", "row": "motion"})
    miss = mean(agreement / steps, UNIT_RANGE)
    above = all(own.above(r) for r in rivals.values()) if rivals else None  # None: no baseline was scored
    return {
        "opening >= 0.6": (str(opening), decided(opening, opening.value >= 0.6)),
        "closing <= 0.2": (str(closing), decided(closing, closing.value <= 0.2)),
        "opening - closing above every baseline": (str(own), decided(own, above)),
        "miss <= 0.02": (miss.text(4), decided(miss, miss.value <= 0.02)),
    }


def decided(figure: Interval, met: bool | None) -> bool | None:
    """None where what an aim is about was not scored."""
    return None if met is None or np.isnan(figure.value) else bool(met)


def write_table(folder: Path) -> dict[str, Any]:
    """Write table.md and return the summary."""
    raw = DirectionRaw(folder)
    pairs = [(task, tracker) for tracker in raw.values("tracker") for task in raw.values("task")]
    lines = [
        "# Which way the door goes",
        "",
        "Directional agreement = Σ agreement / Σ share of object points that moved (oracle 1, random direction 0.32),",
        "with 95 % intervals over episodes; `any_motion` is 1 by construction. `true_motion`, where it stands, is an",
        "oracle: the true motion as the prediction, beside what was tracked. Miss: mean agreement a step.",
        "The object is the whole appliance; a point moved if tracked >= 0.5 px of 256.",
    ]
    for task, tracker in pairs:
        lines += _table(raw, tracker, task)
    lines += ["\n## Threshold and camera (motion)\n", "| task | tracks | | opening | closing | jiggling | partial |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for task, tracker in pairs:
        lines += variations(raw, tracker, task)
    summary = {f"{task}, {tracker}": verdicts(raw, tracker, task) for task, tracker in pairs}
    lines += ["\n## Aims\n", "| task | tracks | aim | figure | met |", "|---|---|---|---|---|"]
    for (task, tracker), found in zip(pairs, summary.values(), strict=True):
        for aim, (figure, met) in found.items():
            lines.append(f"| {task} | {tracker} | {aim} | {figure} | {MET[met]} |")
    write_atomic(folder / "table.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    return summary
