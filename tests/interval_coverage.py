"""How often intervals cover the truth, by simulation. `python -m tests.interval_coverage` prints the tables of
docs/intervals.md (a minute)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from mpr.core.report.intervals import (
    UNIT_RANGE,
    Interval,
    difference_of_ratios,
    limits_of_difference,
    limits_of_mean,
    probability_of_improvement,
    ratio,
)

Array = NDArray[np.float64]
STARTS = 100
START_SDS, RUN_SDS, SUCCESS, RUNS = (0.0, 0.2), (0.03, 0.12), (0.3, 0.5, 0.8), (3, 5, 10)
CASES = list(itertools.product(START_SDS, RUN_SDS, SUCCESS, RUNS))
KINDS = ("mean", "against runs as good", "against 0.5", "over a fixed base policy of 0.5")


def true_mean(success: float, sd: float) -> float:
    """Mean of a normal variable (success, sd) cut to [0, 1]: what episodes drawn with that chance succeed in."""
    if sd == 0:
        return success

    def above(x: float) -> float:
        return x * float(norm.cdf(x / sd)) + sd * float(norm.pdf(x / sd))

    return above(success) - above(success - 1)


def outcomes(rng: np.random.Generator, difficulty: Array, runs: int, success: float, run_sd: float) -> Array:
    """Successes [repetitions, runs, starts]: each run has a skill, each start a difficulty that all runs share."""
    skill = rng.normal(success, run_sd, (len(difficulty), runs, 1))
    return (rng.random((len(difficulty), runs, difficulty.shape[1])) < skill + difficulty[:, None]).astype(float)


def over_runs(
    repetitions: int, start_sd: float, run_sd: float, success: float, runs: int, seed: int = 0
) -> tuple[float, ...]:
    """How often the intervals over runs cover the truth, for each of KINDS."""
    rng = np.random.default_rng((seed, runs, *(round(1000 * x) for x in (start_sd, run_sd, success))))
    difficulty = rng.normal(0, start_sd, (repetitions, STARTS))
    a, b, c = (outcomes(rng, difficulty, runs, p, run_sd) for p in (success, success, 0.5))
    base = outcomes(rng, difficulty, 1, 0.5, 0.0)
    mine, other = (true_mean(p, float(np.hypot(start_sd, run_sd))) for p in (success, 0.5))
    asked = (
        (limits_of_mean(a), mine),
        (limits_of_difference(a, b), 0.0),
        (limits_of_difference(a, c), mine - other),
        (limits_of_difference(a, base), mine - true_mean(0.5, start_sd)),
    )
    return tuple(float(((low <= truth) & (truth <= high)).mean()) for (low, high), truth in asked)


def clips(rng: np.random.Generator, n: int, agreement: float, alike: float, weights: float) -> tuple[Array, Array]:
    """Sums of agreement and of moved share [n]: agreements from a beta law that is narrower the more `alike`, and
    weights whose logarithm has standard deviation `weights`."""
    bottom = np.exp(rng.normal(0, weights, n))
    return bottom * rng.beta(agreement * alike, (1 - agreement) * alike, n), bottom


def covers(intervals: Iterator[Interval], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))


def over_clips(repetitions: int, n: int, agreement: float, alike: float, weights: float) -> tuple[float, float]:
    """How often intervals of agreement over n clips, and of its difference to 0.3 over n others, cover the truth."""
    rng = np.random.default_rng((n, round(100 * agreement), round(alike), round(10 * weights)))
    one = [clips(rng, n, agreement, alike, weights) for _ in range(repetitions)]
    other = [clips(rng, n, 0.3, alike, weights) for _ in range(repetitions)]
    differences = (difference_of_ratios(a, b, UNIT_RANGE) for a, b in zip(one, other, strict=True))
    return covers((ratio(*a, UNIT_RANGE) for a in one), agreement), covers(differences, agreement - 0.3)


def of_improvement(repetitions: int, runs: int, chance: float) -> float:
    """How often intervals of the chance that a run is better cover it, runs normal with one standard deviation."""
    rng, ahead = np.random.default_rng((runs, round(100 * chance))), float(norm.ppf(chance)) * 2**0.5
    drawn = ((rng.normal(ahead, 1, runs), rng.normal(0, 1, runs)) for _ in range(repetitions))
    return covers((probability_of_improvement(a, b) for a, b in drawn), chance)


def tables() -> Iterator[str]:
    yield "| sd of starts | sd of runs | success | runs | " + " | ".join(KINDS) + " |"
    yield "|---" * (4 + len(KINDS)) + "|"
    for case in CASES:
        cells = [f"{x:g}" for x in case] + [f"{x:.3f}" for x in over_runs(10_000, *case)]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield (
        "| agreement | alike | sd of log weights | clips | agreement covered | its difference to 0.3 |\n"
        + "|---" * 6
        + "|"
    )
    for agreement, alike, weights, n in itertools.product((0.05, 0.3, 0.9), (8, 40), (0.5, 1.0), (5, 10, 20, 56)):
        found = over_clips(2000, n, agreement, alike, weights)
        yield f"| {agreement} | {alike} | {weights} | {n} | {found[0]:.3f} | {found[1]:.3f} |"
    yield ""
    yield "| chance of a better run | " + " | ".join(f"{n} and {n} runs" for n in RUNS) + " |\n" + "|---" * 4 + "|"
    for chance in (0.5, 0.7, 0.9, 0.97):
        yield f"| {chance} | " + " | ".join(f"{of_improvement(2000, n, chance):.3f}" for n in RUNS) + " |"


if __name__ == "__main__":
    print("\n".join(tables()))
