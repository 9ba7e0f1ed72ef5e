"""What became of episodes: one line each, rates with intervals, differences of policies paired on their seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.intervals import Interval, mean_over_runs, success_rate
from rl.residual.environment import ResidualEnvironment
from rl.residual.policy import ResidualPolicy

BASE = "base"  # the base policy's name in tables


@dataclass(frozen=True)
class Residual:
    """A residual policy and how far it reaches."""

    policy: ResidualPolicy
    alpha: float


@dataclass(frozen=True)
class Outcome:
    """One episode of one policy."""

    policy: str
    seed: int
    success: bool  # the environment's word
    steps: int
    opened: bool = False  # whether the object came as far as we call open (slide cabinet: 0.25 m)
    travel: float = 0.0  # radians or metres at the end


def play(environment: ResidualEnvironment, residual: Residual | None, seed: int, name: str = BASE) -> Outcome:
    """One episode with the residual's mean action, or (None) with the base policy alone. `seed` decides the start and
    the base policy's sampling noise, so policies that are given the same seed meet the same episode."""
    if residual is not None:
        environment.alpha = residual.alpha
    observation, info = environment.reset(seed=seed)
    rest = np.zeros(environment.action_space.shape or (), np.float32)
    over, steps = False, 0
    while not over:
        action = rest if residual is None else residual.policy.predict(observation, deterministic=True)[0]
        observation, _, terminated, truncated, info = environment.step(action)
        over, steps = terminated or truncated, steps + 1
    seen: dict[str, Any] = {key: info[key] for key in ("opened", "travel") if key in info}
    return Outcome(name, seed, bool(info["is_success"]), steps, **seen)


def successes(rows: Iterable[Mapping[str, Any]], policy: str, seeds: Sequence[int]) -> NDArray[np.float64]:
    """1 or 0 for each of `seeds`, in their order. Raises KeyError where an episode is missing."""
    found = {row["seed"]: float(row["success"]) for row in rows if row["policy"] == policy}
    return np.array([found[seed] for seed in seeds])


@dataclass(frozen=True)
class Compared:
    """Runs of one kind beside the base policy, on the same evaluation seeds."""

    success: Interval  # pooled over runs
    gain: Interval  # success minus the base policy's, paired by seed
    steps: float | None  # mean to success, of the episodes that succeed (each policy's own); None where none does
    runs: tuple[float, ...]  # success of each


def compare(rows: Sequence[Mapping[str, Any]], policies: Sequence[str], base: str = BASE) -> Compared:
    """Policies trained alike but for their seed, against `base`.

    One policy's rate has Wilson's interval; for several runs, and every difference, see `mean_over_runs`.
    """
    seeds = sorted({row["seed"] for row in rows if row["policy"] == base})
    reference = successes(rows, base, seeds)
    each = np.array([successes(rows, policy, seeds) for policy in policies])
    lengths = [row["steps"] for row in rows if row["policy"] in policies and row["success"]]
    return Compared(
        success=success_rate(each[0]) if len(each) == 1 else mean_over_runs(each).within(0, 1),
        gain=mean_over_runs(each - reference),
        steps=float(np.mean(lengths)) if lengths else None,
        runs=tuple(float(v) for v in each.mean(1)),
    )


def table(rows: Sequence[Mapping[str, Any]], arms: Mapping[str, Sequence[str]], base: str = BASE) -> list[str]:
    """Markdown lines: the base policy, then each arm's runs, with intervals of 95 %."""
    lines = ["| policy | success | minus base | of each run | steps, where it succeeds |", "|---|---|---|---|---|"]
    for arm, policies in {base: [base], **arms}.items():
        c = compare(rows, policies, base)
        gain = "" if arm == base else c.gain
        runs = ", ".join(f"{value:.2f}" for value in c.runs) if len(c.runs) > 1 else ""
        lines.append(f"| {arm} | {c.success} | {gain} | {runs} | {'–' if c.steps is None else round(c.steps)} |")
    return lines


def contrast(rows: Sequence[Mapping[str, Any]], ones: Sequence[str], others: Sequence[str]) -> Interval:
    """Success of runs minus that of others, paired by training seed (both in the same order) and episode."""
    seeds = sorted({row["seed"] for row in rows if row["policy"] == ones[0]})
    one, other = (np.array([successes(rows, policy, seeds) for policy in which]) for which in (ones, others))
    return mean_over_runs(one - other)


def contrast_lines(rows: Sequence[Mapping[str, Any]], arms: Mapping[str, Sequence[str]], against: str) -> list[str]:
    """Markdown lines: every arm minus the arm `against` (none: no lines)."""
    if not against:
        return []
    lines = ["", f"| arm | success minus that of `{against}` |", "|---|---|"]
    return lines + [f"| {arm} | {contrast(rows, arms[arm], arms[against])} |" for arm in arms if arm != against]
