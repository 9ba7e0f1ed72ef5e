"""The paper's pictures of a reward: over successful demonstrations beside `dense` (Fig. 3), and along a success and a
miss (Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode_folder import load_episode
from mpr.core.report.figures import new_figure
from mpr.core.runs import atomic_path
from mpr.reward.trackers import EXACT
from rl.environments.kitchen.setting import KITCHEN_RATE_HZ
from rl.environments.kitchen.tasks import find_task
from rl.reward_bench.config import PICTURED, RewardBenchConfig
from rl.reward_bench.figures import paid_by
from rl.reward_bench.scores import episodes_of
from rl.reward_bench.situations import Showing

if TYPE_CHECKING:
    from rl.reward_bench.learnt import LearntValue

DEMONSTRATIONS, ALONG = "demonstrations.png", "success_and_miss.png"
OWN, BESIDE = "#ff8c1a", "#808080"  # of a reward, of `dense`
LINES = ("#ff8c1a", "#1f9bff", "#3a9d5d", "#b04fc0", "#7a5230", "#d33f49", "#444444", "#00a3a3")
MOMENTS = 50  # points along a demonstration
SHOWN = 6  # frames of an episode


def draw_demonstrations(file: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """A panel a reward: its mean over all openings along their time, with the middle 80 %, `dense` beside it."""
    curves = {name: stretched([one.scores for one in paid_by(rows, name, "opening")]) for name in names}
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = new_figure(3.4 * across, 2.6 * down + 0.4)
    axes = np.atleast_1d(figure.subplots(down, across, sharex=True, squeeze=False)).ravel()
    at = np.linspace(0, 1, MOMENTS)
    for axis, name in zip(axes, names, strict=False):
        for which, colour in ((PICTURED, BESIDE), (name, OWN)):
            if which not in curves:
                continue
            low, high = np.quantile(curves[which], [0.1, 0.9], axis=0)
            axis.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
            axis.plot(at, curves[which].mean(0), color=colour, label=which)
        axis.set(title=name, xlim=(0, 1), xlabel="share of the demonstration's time", ylabel="paid a step")
        axis.label_outer()
        axis.legend(fontsize=7, frameon=False, loc="upper left")
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    count = len(next(iter(curves.values())))
    figure.suptitle(f"{count} successful demonstrations: mean, and the middle 80 %", fontsize=10)
    figure.tight_layout()
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=110)


def stretched(scores: Sequence[NDArray]) -> NDArray[np.float64]:
    """Scores [T] of episodes of any lengths as [n, MOMENTS], each over its own time from 0 to 1."""
    at = np.linspace(0, 1, MOMENTS)
    return np.array([np.interp(at, np.linspace(0, 1, len(one)), one) for one in scores])


def draw_success_and_miss(
    file: Path,
    config: RewardBenchConfig,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    learnt: LearntValue | None = None,
) -> None:
    """Frames of the first opening and the first miss, under each what every reward pays along it, and learnt value."""
    figure = new_figure(14, 7.2 if learnt is None else 8.8)
    heights = [1.15, 1.6, 1.0] + ([1.0] if learnt is not None else [])
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, hspace=0.35, wspace=0.12, left=0.05, right=0.99)
    with Showing(find_task(config.task), EXACT) as showing:
        for column, (situation, title) in enumerate((("opening", "a success"), ("miss", "a miss"))):
            episode = load_episode(episodes_of(config, situation)[0])
            steps = np.linspace(0, len(episode), SHOWN).astype(int)
            with showing.clip(situation, episode, str(episode.about["view"])) as clip:
                frames = np.concatenate([clip.frames[int(t)] for t in steps], axis=1)
            axis = figure.add_subplot(grid[0, column])
            axis.imshow(frames)
            axis.set(xticks=[], yticks=[], title=f"{title}: seed {episode.seed}")
            below = [figure.add_subplot(grid[row, column]) for row in range(1, len(heights))]
            seconds = np.arange(1, len(episode) + 1) / KITCHEN_RATE_HZ
            for k, name in enumerate(names):
                scores = paid_by(rows, name, situation)[0].scores
                look: dict[str, Any] = {"color": LINES[k % len(LINES)], "ls": "--" if name == PICTURED else "-"}
                below[0].plot(seconds, scores, label=name, lw=1.3, **look)
                below[1].plot(seconds, np.cumsum(scores), lw=1.3, **look)
            if learnt is not None:
                below[2].plot(seconds, learnt.along(episode), color="black", lw=1.3)
            below[0].legend(fontsize=7, ncols=2, frameon=False, loc="upper left")
            for axis, label in zip(below, ("paid a step", "paid so far", "learnt value"), strict=False):
                axis.set(ylabel=label, xlim=(0, seconds[-1]))
            below[-1].set(xlabel="seconds")
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=100)
