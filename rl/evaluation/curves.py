"""Learning curves and performance profiles of several runs a variant, and the base policy's as a line.

They show success, or return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.report.figures import new_figure
from mpr.core.report.intervals import Interval, success_rate
from mpr.core.runs import atomic_path, read_metrics
from rl.evaluation.rows import measure_of

WINDOW = 20  # episodes of the running mean


def practised_successes(run: Path, measure: str = "success") -> NDArray[np.float64]:
    """Success (or what else is measured) [episodes] while a run of `mpr finetune` practised, exploration included."""
    return np.array([measure_of(row, measure) for row in read_metrics(run)])


def successful(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """1 or 0 for each row, an episode practised: [N]."""
    return np.array([measure_of(row, "success") for row in rows])


@dataclass(frozen=True)
class Evaluations:
    """What a run's policy came to on the way, without exploration: K evaluations of the same E episodes."""

    steps: NDArray[np.int64]  # of practice that were done [K]
    outcomes: NDArray[np.float64]  # success, or what else is measured [K, E]

    def __len__(self) -> int:
        return len(self.steps)


def evaluations(rows: Sequence[Mapping[str, Any]], measure: str = "success") -> Evaluations:
    """Those made while practising, of its rows. Raises UserError where they are not of as many episodes each."""
    found = [row for row in rows if "evaluated_at" in row]
    outcomes = [[measure_of(episode, measure) for episode in row["evaluated"]] for row in found]
    if len(counts := sorted({len(some) for some in outcomes})) > 1 or 0 in counts:
        raise UserError(f"evaluations of {counts} episodes: each of a run is of as many")
    return Evaluations(np.array([row["evaluated_at"] for row in found], np.int64), np.array(outcomes, float))


def running(successes: NDArray) -> NDArray[np.float64]:
    """Mean [N] of the last WINDOW of successes [N] (of those there are, at the beginning)."""
    total = np.concatenate([[0.0], np.cumsum(successes)])
    ends = np.arange(1, len(total))
    begins = np.maximum(ends - WINDOW, 0)
    return (total[ends] - total[begins]) / (ends - begins)


def draw_curves(
    path: Path, variants: Mapping[str, Sequence[NDArray]], base: Interval, title: str, measure: str = "success"
) -> None:
    """Write the PNG: each variant's mean over its runs, a band from the lowest to the highest, the base's rate, dashed.

    `variants` holds an array [N] for each run, success or return of the episodes practised.
    """
    figure = new_figure(7, 4.2)
    axis = figure.add_subplot()
    for k, (variant, runs) in enumerate(variants.items()):
        if not (length := min((len(run) for run in runs), default=0)):
            continue
        curves = np.array([running(run[:length]) for run in runs])
        episodes, colour = np.arange(1, length + 1), f"C{k}"
        axis.plot(episodes, curves.mean(0), color=colour, label=variant)
        if len(runs) > 1:
            axis.fill_between(episodes, curves.min(0), curves.max(0), color=colour, alpha=0.15, lw=0)
    axis.axhline(base.value, color="black", ls="--", lw=1, label="base policy, evaluated")
    if np.isfinite(base.low):
        axis.axhspan(base.low, base.high, color="black", alpha=0.06, lw=0)
    axis.set(xlabel="episodes practised", ylabel=f"{measure}, mean of {WINDOW}, exploring", title=title)
    if measure == "success":
        axis.set_ylim(0, 1.02)
    axis.legend(fontsize=8, frameon=False)
    save(figure, path)


def draw_profiles(path: Path, variants: Mapping[str, NDArray], base: Interval, title: str) -> None:
    """Write the PNG, a panel a variant: the share of its runs [R] whose final success is above each rate.

    With a band of 95 % at each rate (Wilson's, over runs), and the base's rate, dashed.
    """
    across = min(len(variants), 3)
    down = -(-len(variants) // across)
    figure = new_figure(2.6 * across + 0.6, 2.1 * down + 0.6)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(variants) :]:
        panel.set_axis_off()
    rates = np.linspace(0, 1, 201)
    for panel, (variant, runs) in zip(panels.flat, variants.items(), strict=False):
        shares = [success_rate(runs > rate) for rate in rates]
        panel.step(rates, [one.value for one in shares], where="post", color="C0")
        panel.fill_between(
            rates, [s.low for s in shares], [s.high for s in shares], color="C0", alpha=0.15, lw=0, step="post"
        )
        panel.axvline(base.value, color="black", ls="--", lw=1)
        panel.set_title(variant, fontsize=8)
        panel.set(xlim=(0, 1), ylim=(0, 1.02))
    panels[0, 0].set_ylabel("share of runs above", fontsize=8)
    panels[-1, 0].set_xlabel("success (dashed: base policy)", fontsize=8)
    figure.suptitle(title, fontsize=9)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
