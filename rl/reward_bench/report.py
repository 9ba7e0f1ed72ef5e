"""The report of `mpr bench rewards` in words and as JSON, made only from its raw rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rl.reward_bench.config import NULL_MODELS, SITUATIONS, RewardBenchConfig
from rl.reward_bench.figures import (
    AT_REST,
    COMPARED,
    RewardFigures,
    against_null,
    best_of,
    comparable_nulls,
    figures_of,
)
from rl.reward_bench.models import class_of, is_null

SUMMED = {"open": "opening", "close": "closing", "miss": "miss", "still": "still"}  # a summary's name: a situation
SUMMED |= {"hesitation": "hesitation", "camera": "camera", "mirrored": "mirrored", "other": "other"}
SUMMED |= {"occlusion": "occlusion", "noise": "noise", "partial": "partial"}
_HEAD = """# What rewards are paid for

{task}, {tracker} tracks, {episodes} episodes of each situation from seed {seed:,} on, 95 % intervals over episodes.

Pay: Σ paid while the object moved / Σ share of its points that moved. A perfect magnitude without direction
(`any_motion`) has 1 everywhere, one random direction an episode (`wrong_direction`) 0.32 on average. Miss and still:
mean pay a step, where nothing is to be paid. A reward of states (here: {of_states}) is paid for where the door stands
and not for where it goes: compare it by order. `voc` is Spearman's correlation of a step's value with time, value
being what was paid so far (of a reward of states, its worth); whatever is never negative has nearly 1 in openings, and
in closings too. `ranking`: share of pairs of rollouts (closing, still, miss, partial, opening) that the last value puts
in the order of the door's net travel; 0.5 by chance.

Rows marked (null) are null models: a reward that one of them equals is no better than it. Named after a reward, it is a
null model of that one alone: distances of raw pixels at 32 x 32 (`pixels`), the same network with random weights
(`untrained`), the goal seen by another camera from another start (`other_goal`). Pay is compared on one scale: with the
null models of all where it is a share of what moved, else with the reward's own.
"""


def all_figures(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, RewardFigures]:
    """The figures of each reward by name."""
    return {name: figures_of(rows, name, class_of(name).of_states) for name in names}


def refusals(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Rewards that gave nothing in an episode, and the first reason."""
    found: dict[str, str] = {}
    places = list(SITUATIONS)
    refused = [row for row in rows if "refused" in row]
    for row in sorted(refused, key=lambda row: (places.index(row["situation"]), row["number"])):
        found.setdefault(row["reward"], f"in {row['situation']}: {row['refused']}")
    return found


def bench_summary(figures: Mapping[str, RewardFigures], left_out: Mapping[str, str]) -> dict[str, Any]:
    """For summary.json: of each reward its figures with intervals, and how it stands beside null models."""
    out: dict[str, Any] = {}
    for name, own in figures.items():
        row: dict[str, Any] = {key: asdict(own.paid[situation]) for key, situation in SUMMED.items()}
        row["open_minus_close"] = asdict(own.direction)
        row |= {key: asdict(getattr(own, key)) for key in ("voc", "voc_closing", "ranking", "latency_s", "cpu_s")}
        row["memory_gb"] = own.memory_gb
        comparable = comparable_nulls(figures, name, "direction")
        of_all = [null for null in NULL_MODELS if null in figures and null != name]
        null_name, null = best_of(figures, comparable or of_all, "direction")
        row |= {"null": asdict(null), "null_name": null_name, "null_on_its_scale": bool(comparable)}
        row["verdicts"] = {} if is_null(name) else beside_nulls(figures, name)
        out[name] = row
    return {"rewards": out, "left_out": dict(left_out)}


def beside_nulls(figures: Mapping[str, RewardFigures], name: str) -> dict[str, str]:
    """How a reward's figures stand beside the best null model's, in words."""
    return {
        said: against_null(getattr(figures[name], what), best_of(figures, comparable_nulls(figures, name, what), what))
        for said, what in COMPARED.items()
    }


def bench_table(
    config: RewardBenchConfig, figures: Mapping[str, RewardFigures], left_out: Mapping[str, str], pictures: str
) -> str:
    """The whole report as Markdown."""
    of_states = ", ".join(name for name in figures if class_of(name).of_states and not is_null(name)) or "none"
    head = _HEAD.format(
        task=config.task, tracker=config.tracker, episodes=config.episodes, seed=config.seed, of_states=of_states
    )
    columns = ["open", "close", "open − close", "null: open − close", "ranking", "voc", "voc, closing", "miss", "still"]
    lines = [head, _row(["", *columns]), _row(["---"] * (len(columns) + 1))]
    for name, own in figures.items():
        null_name, null = best_of(figures, comparable_nulls(figures, name, "direction"), "direction")
        cells = [own.paid["opening"], own.paid["closing"], own.direction, f"{null} {null_name}".strip(), own.ranking]
        cells += [own.voc, own.voc_closing, *(own.paid[at].text(4) for at in AT_REST)]
        lines.append(_row([_named(name), *cells]))
    more = [name for name in SITUATIONS if name not in ("opening", "closing", *AT_REST)]
    lines += ["", _row(["pay in", *more]), _row(["---"] * (len(more) + 1))]
    lines += [_row([_named(name), *(own.paid[at] for at in more)]) for name, own in figures.items()]
    lines += ["", _row(["cost", "ms a step", "of them CPU", "GB at most"]), _row(["---"] * 4)]
    for name, own in figures.items():
        if ":" in name:
            continue
        cost = (1000 * own.latency_s.value, 1000 * own.cpu_s.value, own.memory_gb)
        lines.append(_row([_named(name), *("–" if np.isnan(one) else f"{one:.2f}" for one in cost)]))
    lines += ["", "## Beside the best null model", ""]
    for name in figures:
        if not is_null(name):
            told = (f"{said} {how}" for said, how in beside_nulls(figures, name).items())
            lines.append(f"- `{name}`: " + "; ".join(told) + ".")
    lines += ["", "## Situations", "", *(f"- {name}: {one.words}." for name, one in SITUATIONS.items())]
    lines += ["", "## Left out", "", *(f"- `{name}`: {why}." for name, why in left_out.items())]
    return "\n".join([*lines, "", pictures, ""])


def _named(name: str) -> str:
    return f"{name} (null)" if is_null(name) else name


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
