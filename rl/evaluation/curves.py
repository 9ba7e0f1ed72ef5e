"""Learning curves: success while practising, several runs an arm, and the base policy's rate as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.figures import new_figure
from mpr.intervals import Interval
from tracking.runs import atomic_path, read_metrics

WINDOW = 20  # episodes of the running mean


def practised_successes(run: Path) -> NDArray[np.float64]:
    """Success [episodes] while a run of `mpr finetune` practised, exploration included."""
    return np.array([float(row["success"]) for row in read_metrics(run)])


def running(successes: NDArray) -> NDArray[np.float64]:
    """Mean of the last WINDOW episodes (of those there are, at the beginning)."""
    total = np.concatenate([[0.0], np.cumsum(successes)])
    ends = np.arange(1, len(total))
    begins = np.maximum(ends - WINDOW, 0)
    return (total[ends] - total[begins]) / (ends - begins)


def draw_curves(path: Path, arms: Mapping[str, Sequence[NDArray]], base: Interval, title: str) -> None:
    """Write the PNG: each arm's mean over its runs, a band from the lowest to the highest, the base's rate, dashed."""
    figure, plt = new_figure(7, 4.2)
    axis = figure.add_subplot()
    for k, (arm, runs) in enumerate(arms.items()):
        if not (length := min((len(run) for run in runs), default=0)):
            continue
        curves = np.array([running(run[:length]) for run in runs])
        episodes, colour = np.arange(1, length + 1), f"C{k}"
        axis.plot(episodes, curves.mean(0), color=colour, label=arm)
        if len(runs) > 1:
            axis.fill_between(episodes, curves.min(0), curves.max(0), color=colour, alpha=0.15, lw=0)
    axis.axhline(base.value, color="black", ls="--", lw=1, label="base policy, evaluated")
    axis.axhspan(base.low, base.high, color="black", alpha=0.06, lw=0)
    axis.set(xlabel="episodes practised", ylabel=f"success, mean of {WINDOW}, exploring", ylim=(0, 1), title=title)
    axis.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
