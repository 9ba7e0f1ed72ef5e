"""The paper's pictures of a reward: over successful demonstrations beside `dense` (Fig. 3), and along a success and a
miss (Fig. 5). And the goals of rewards that compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.report.figures import new_figure
from mpr.core.runs import atomic_path
from mpr.reward.trackers import EXACT
from rl.environments.kitchen.setting import KITCHEN_RATE_HZ
from rl.environments.kitchen.tasks import find_task
from rl.reward_bench.config import PICTURED, RewardBenchConfig
from rl.reward_bench.figures import paid_by, values_of
from rl.reward_bench.models import class_of, goal_of, is_null, other_view
from rl.reward_bench.scores import episodes_of
from rl.reward_bench.situations import showing

if TYPE_CHECKING:
    from rl.reward_bench.learnt import LearntValue

DEMONSTRATIONS, ALONG, GOALS = "demonstrations.png", "success_and_miss.png", "goals.png"
OWN, BESIDE = "#ff8c1a", "#808080"  # of a reward, of `dense`
LINES = ("#ff8c1a", "#1f9bff", "#3a9d5d", "#b04fc0", "#7a5230", "#d33f49", "#444444", "#00a3a3")
DOTTED = ("#1f9bff", "#3a9d5d", "#b04fc0")  # of a reward's own null models
MOMENTS = 50  # points along a demonstration
SHOWN = 6  # frames of an episode


def draw_demonstrations(file: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """A panel a reward: its mean over all openings along their time, with the middle 80 %, `dense` beside it.

    A reward's own null models are dotted lines in its panel.
    """
    panels = [name for name in names if ":" not in name]
    curves = {name: stretched([one.scores for one in paid_by(rows, name, "opening")]) for name in names}
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(3.4 * across, 2.6 * down + 0.4)
    axes = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    at = np.linspace(0, 1, MOMENTS)
    for k, (axis, name) in enumerate(zip(axes, panels, strict=False)):
        for which, colour in {PICTURED: BESIDE, name: OWN}.items():
            if which not in curves:
                continue
            low, high = np.quantile(curves[which], [0.1, 0.9], axis=0)
            axis.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
            axis.plot(at, curves[which].mean(0), color=colour, label=which)
        own = [one for one in names if one.startswith(f"{name}:")]
        for null, colour in zip(own, DOTTED, strict=False):
            axis.plot(at, curves[null].mean(0), color=colour, ls=":", label=null.partition(":")[2])
        axis.set(title=f"{name} (null)" if is_null(name) else name, xlim=(0, 1))
        axis.legend(fontsize=7, frameon=False, loc="upper left")
        if k % across == 0:
            axis.set_ylabel("paid a step")
        if k + across >= len(panels):
            axis.set_xlabel("share of the demonstration's time")
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    count = len(next(iter(curves.values())))
    figure.suptitle(
        f"{count} successful demonstrations: mean, and the middle 80 %, of what a step is paid above one that changes "
        "nothing",
        fontsize=10,
    )
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
    """Frames of the first opening and the first miss; under each what rewards pay along it, value, and learnt value."""
    rewards = [name for name in names if not is_null(name)]
    figure = new_figure(14, 7.6 if learnt is None else 9.2)
    heights = [1.15, 1.6, 1.0] + ([1.0] if learnt is not None else [])
    grid = figure.add_gridspec(
        len(heights), 2, height_ratios=heights, hspace=0.35, wspace=0.12, left=0.05, right=0.99, top=0.9, bottom=0.07
    )
    below: list[Any] = []
    for column, (situation, title) in enumerate((("opening", "a success"), ("miss", "a miss"))):
        episode = load_episode(episodes_of(config, situation)[0])
        moments = np.linspace(0, len(episode), SHOWN).astype(int)
        seconds = np.arange(1, len(episode) + 1) / KITCHEN_RATE_HZ
        axis = figure.add_subplot(grid[0, column])
        axis.imshow(np.concatenate(_frames(config, situation, episode, moments), axis=1))
        axis.set(yticks=[], title=f"{title}: seed {episode.seed}")
        side = 256  # pixels of a frame
        axis.set_xticks(side * (np.arange(SHOWN) + 0.5), [f"{t / KITCHEN_RATE_HZ:.1f} s" for t in moments], fontsize=8)
        left = below if column else [None] * (len(heights) - 1)  # both columns have one scale
        below = [figure.add_subplot(grid[row, column], sharey=axis) for row, axis in enumerate(left, 1)]
        for k, name in enumerate(rewards):
            scores = paid_by(rows, name, situation)[0].scores
            look: dict[str, Any] = {"color": LINES[k % len(LINES)], "ls": "--" if name == PICTURED else "-", "lw": 1.3}
            below[0].plot(seconds, scores, label=name, **look)
            below[1].plot(seconds, values_of(scores, class_of(name).of_states), **look)
        if learnt is not None:
            below[2].plot(seconds, learnt.along(episode), color="black", lw=1.3)
        labels = ("paid a step", "value: paid so far,\nor worth of the state", "learnt value")
        for axis, label in zip(below, labels, strict=False):
            axis.set(ylabel="" if column else label, xlim=(0, seconds[-1]))
        below[-1].set(xlabel="seconds")
        if column == 0:
            figure.legend(*below[0].get_legend_handles_labels(), ncols=len(rewards), loc="upper center", frameon=False)
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=100)


def draw_goals(file: Path, config: RewardBenchConfig) -> None:
    """The end of the first opening, the goal that it is compared with, and the goal of the null model `other_goal`."""
    episode = load_episode(episodes_of(config, "opening")[0])
    view = str(episode.about["view"])
    (last,) = _frames(config, "opening", episode, [len(episode)])
    shown = {
        f"end of seed {episode.seed}, view {view}": last,
        f"goal, view {view}": goal_of(config.task, view),
        f"other_goal, view {other_view(view)}": goal_of(config.task, view, other=True),
    }
    figure = new_figure(9, 3.4)
    for axis, (title, image) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        axis.imshow(image)
        axis.set(xticks=[], yticks=[], title=title)
    figure.tight_layout()
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=100)


def _frames(
    config: RewardBenchConfig, situation: str, episode: Episode, moments: Sequence[int] | NDArray[np.intp]
) -> list[NDArray[np.uint8]]:
    """Some frames of an episode, [256, 256, 3] each, as its own view shows them."""
    with showing(find_task(config.task), EXACT).clip(situation, episode, str(episode.about["view"])) as clip:
        return [clip.frames[int(t)] for t in moments]
