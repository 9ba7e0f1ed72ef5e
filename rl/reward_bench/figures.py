"""From raw rows to figures: what a reward pays in each situation, how it orders steps and rollouts, what it costs.

A situation's figure is Σ paid while the object moved / Σ share of its points that moved: a perfect magnitude
(`any_motion`) has 1, a random direction 0.32. Where nothing is to move (`miss`, `still`) it is the mean pay a step. The
value of a step is what was paid up to it, or, for a reward of states, that state's worth:

    voc      Spearman's correlation of the value with time over an opening (value-order correlation, GVL, 2411.04549)
    ranking  share of pairs of rollouts that the last value puts in the order of the door's net travel; ties count half

Pairs are of one set: the n-th closing, still, miss, partial and opening. Intervals are over episodes, or over sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.report.intervals import (
    SIGNED,
    UNBOUNDED,
    UNIT_RANGE,
    Bounds,
    Interval,
    difference_of_ratios,
    mean,
    ratio,
)
from mpr.core.runs import Logged
from mpr.pretraining.value_order import value_order_correlation
from rl.reward_bench.config import NULL_MODELS, RANKED, SITUATIONS
from rl.reward_bench.models import class_of

MAGNITUDE = "any_motion"  # its pay is the share of object points that moved
AT_REST = ("miss", "still")  # situations in which nothing is to move: pay a step, not of what moved
COMPARED = {"open − close": "direction", "ranking": "ranking"}  # what a reward is held to null models by
_APART = 1e-4  # travels that differ by less, as a share of the set's largest, are the same outcome


class RewardBenchRow(Logged, total=False):
    """What a line of this bench's metrics.jsonl holds beside what those of any command may."""

    situation: str
    number: int
    task: str
    view: str
    reward: str
    travel: tuple[float, float]  # at the begin and at the end: rad or m
    scores: list[float]  # of each step
    refused: str  # instead: why there are none
    last: bool
    cost: str
    latency_s: list[float]  # a step of each episode, and
    cpu_s: list[float]  # of that the processor's


@dataclass(frozen=True)
class Paid:
    """One episode of one situation under one reward."""

    scores: NDArray[np.float64]  # [T] what each step was paid, above what a step that changes nothing is
    share: NDArray[np.float64]  # [T] of object points that moved
    net: float  # how much further open the door is at the end: rad or m

    @property
    def moving(self) -> NDArray[np.bool_]:
        """In which steps [T] the object moved."""
        return self.share > 0


@dataclass(frozen=True)
class RewardFigures:
    """One reward's row of the report; NaN for what cannot be said."""

    paid: dict[str, Interval]  # by situation
    direction: Interval  # opening less closing
    voc: Interval
    voc_closing: Interval  # the same over closings: who can say that things get worse is below 0
    ranking: Interval
    latency_s: Interval  # seconds a step
    cpu_s: Interval  # of them of the processor, one thread: less where other work was in the way
    memory_gb: float  # of the process that scored, at most
    of_what_moved: bool  # whether it never pays more than what moved, nor less than nothing: as NULL_MODELS do


def paid_by(rows: Sequence[Mapping[str, Any]], reward: str, situation: str) -> list[Paid]:
    """A reward's episodes of a situation, in the order of their numbers. Empty where one was refused.

    Raises UserError for an episode that has not as many steps as that of the reward that tells what moved.
    """
    chosen = [row for row in rows if row.get("situation") == situation]
    shares = {row["number"]: row["scores"] for row in chosen if row["reward"] == MAGNITUDE}
    own = {row["number"]: row for row in chosen if row["reward"] == reward}
    if any("scores" not in row for row in own.values()):
        return []
    for number, row in own.items():
        if not 0 < len(row["scores"]) == len(shares.get(number, ())):
            raise UserError(
                f"{situation}, episode {number}: {reward} has {len(row['scores'])} steps and {MAGNITUDE}, which tells "
                f"what moved, {len(shares.get(number, ()))}: the rows are damaged, choose another --out"
            )
    neutral = class_of(reward).neutral
    return [
        Paid(
            np.array(row["scores"], float) - neutral,
            np.array(shares[number], float),
            row["travel"][1] - row["travel"][0],
        )
        for number, row in sorted(own.items())
    ]


def figures_of(rows: Sequence[Mapping[str, Any]], reward: str, of_states: bool) -> RewardFigures:
    """All figures of one reward, from the raw rows of a run."""
    paid = {situation: paid_by(rows, reward, situation) for situation in SITUATIONS}
    cost: Mapping[str, Any] = next((row for row in rows if row.get("cost") == reward), {})
    bounds = _bounds([one for some in paid.values() for one in some])
    sums = {name: _sums(some) for name, some in paid.items()}
    figures = {
        name: mean([one.scores.mean() for one in some], bounds) if name in AT_REST else ratio(*sums[name], bounds)
        for name, some in paid.items()
    }
    return RewardFigures(
        figures,
        difference_of_ratios(sums["opening"], sums["closing"], bounds),
        voc(paid["opening"], of_states),
        voc(paid["closing"], of_states),
        ranking(paid, of_states),
        mean(cost.get("latency_s", [])),
        mean(cost.get("cpu_s", [])),
        float(cost.get("memory_gb", np.nan)),
        bounds == UNIT_RANGE,
    )


def _bounds(episodes: Sequence[Paid]) -> Bounds:
    """0 to 1 for a reward that never pays more than what moved, nor less than nothing."""
    inside = all((one.scores >= 0).all() and (one.scores <= one.share + 1e-4).all() for one in episodes)
    return UNIT_RANGE if inside else UNBOUNDED


def _sums(episodes: Sequence[Paid]) -> tuple[list[float], list[float]]:
    """Of each episode what was paid while the object moved, and the share of points that did."""
    return [float(one.scores[one.moving].sum()) for one in episodes], [float(one.share.sum()) for one in episodes]


def values_of(scores: NDArray, of_states: bool) -> NDArray[np.float64]:
    """The value [T] of each step: what was paid so far, or the worth of the state that it leads to."""
    return np.asarray(scores, float) if of_states else np.cumsum(scores)


def voc(episodes: Sequence[Paid], of_states: bool) -> Interval:
    """Mean of Spearman's correlation of value and time; a value that never changes counts 0."""
    return mean([value_order_correlation(values_of(one.scores, of_states)) for one in episodes], SIGNED)


def ranking(paid: Mapping[str, Sequence[Paid]], of_states: bool) -> Interval:
    """Share of pairs of a set's rollouts in the right order, ties half; those of equal outcomes are no pair."""
    shares = []
    for rollouts in zip(*(paid[name] for name in RANKED), strict=False):
        far = max(abs(one.net) for one in rollouts)
        pairs = [(a, b) for a, b in combinations(rollouts, 2) if abs(a.net - b.net) > max(_APART, 0.05) * far]
        right = [_right(b, a, of_states) if b.net > a.net else _right(a, b, of_states) for a, b in pairs]
        if right:
            shares.append(float(np.mean(right)))
    return mean(shares, UNIT_RANGE)


def _right(better: Paid, worse: Paid, of_states: bool) -> float:
    """1 where the better rollout's last value is the higher one, 0.5 where they are equal."""
    a, b = (float(values_of(one.scores, of_states)[-1]) for one in (better, worse))
    return 0.5 if abs(a - b) < 1e-6 else float(a > b)


def comparable_nulls(figures: Mapping[str, RewardFigures], reward: str, what: str) -> list[str]:
    """The null models whose `direction` or `ranking` says something about a reward's; itself is none.

    Pay is compared on one scale: a share of what moved with NULL_MODELS, another one with the reward's own null models
    alone. Orders have no scale.
    """
    of_all = [name for name in NULL_MODELS if name in figures and name != reward]
    own = [name for name in figures if name.startswith(f"{reward}:")]
    return [*of_all, *own] if what == "ranking" or figures[reward].of_what_moved else own


def best_of(figures: Mapping[str, RewardFigures], names: Sequence[str], what: str) -> tuple[str, Interval]:
    """Of rows by name the one whose `direction` or `ranking` is highest, and that; a name of "" where none has one."""
    nulls = {name: getattr(figures[name], what) for name in names}
    nulls = {name: one for name, one in nulls.items() if not np.isnan(one.value)}
    if not nulls:
        return "", Interval(np.nan, np.nan, np.nan, 0)
    name = max(nulls, key=lambda name: nulls[name].value)
    return name, nulls[name]


def against_null(own: Interval, null: tuple[str, Interval]) -> str:
    """In words how a figure stands beside the best null model's."""
    name, other = null
    if not name:
        return "not compared, for no null model is paid on its scale"
    if np.isnan(own.value):
        return "not decided"
    if own.above(other):
        return f"better than every null model (best: {name}, {other})"
    if own.value <= other.value:
        return f"no better than {name} ({other})"
    return f"not shown to be better than {name} ({other})"
