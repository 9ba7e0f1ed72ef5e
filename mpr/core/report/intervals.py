"""Intervals of 95 % over episodes: of ratios of sums (directional agreement), means, success rates, runs of these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval over `n` episodes; NaN where nothing can be said."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return "–" if np.isnan(self.value) else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def within(self, low: float, high: float) -> Interval:
        """The interval cut to values that can be."""
        return Interval(self.value, max(self.low, low), min(self.high, high), self.n)

    def above(self, other: Interval) -> bool:
        """Whether this interval lies wholly above the other."""
        return bool(self.low > other.high)


def resampled_ratios(top: NDArray, bottom: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """Σ top / Σ bottom for RESAMPLES draws of episodes with replacement; NaN draws (nothing moved) are left out."""
    n = len(top)
    draw = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    below = np.asarray(bottom, float)[draw].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.asarray(top, float)[draw].sum(1) / below
    return ratios[np.isfinite(ratios)]


def ratio(top: NDArray, bottom: NDArray) -> Interval:
    """Σ top / Σ bottom over episodes [n]."""
    total = float(np.sum(bottom))
    if total <= 0:
        return Interval(float("nan"), float("nan"), float("nan"), len(top))
    low, high = np.quantile(resampled_ratios(top, bottom), (0.025, 0.975))
    return Interval(float(np.sum(top)) / total, float(low), float(high), len(top))


def mean(values: NDArray) -> Interval:
    """Mean over episodes [n]."""
    return ratio(values, np.ones(len(values)))


def difference_of_ratios(a: tuple[NDArray, NDArray], b: tuple[NDArray, NDArray]) -> Interval:
    """Σ top_a / Σ bottom_a − Σ top_b / Σ bottom_b, the two groups of episodes drawn independently."""
    one, two = ratio(*a), ratio(*b)
    if np.isnan(one.value) or np.isnan(two.value):
        return Interval(float("nan"), float("nan"), float("nan"), min(one.n, two.n))
    x, y = resampled_ratios(*a, seed=1), resampled_ratios(*b, seed=2)
    k = min(len(x), len(y))
    low, high = np.quantile(x[:k] - y[:k], (0.025, 0.975))
    return Interval(one.value - two.value, float(low), float(high), min(one.n, two.n))


def success_rate(successes: NDArray) -> Interval:
    """The share of successes among episodes [n], with Wilson's interval: none of n has one too."""
    n, count = len(successes), round(float(np.sum(successes)))
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return Interval(count / n, float(low), float(high), n)


def mean_over_runs(values: NDArray) -> Interval:
    """Mean of values [R, E] in [-1, 1]: R training runs, all evaluated on the same E episodes.

    Both are samples: of runs, few, by Student's t over their means (R above 1); of episodes by the normal law over
    theirs, at least as wide as if one episode in E had come out otherwise (all alike is no certainty).
    """
    values = np.asarray(values, float)
    runs, episodes = values.shape
    of_episodes = max(values.mean(0).var(ddof=1) if episodes > 1 else 1.0, (1 - 1 / episodes) / episodes)
    half = norm.ppf(0.975) ** 2 * of_episodes / episodes
    if runs > 1:
        half += student.ppf(0.975, runs - 1) ** 2 * values.mean(1).var(ddof=1) / runs
    value, half = float(values.mean()), float(np.sqrt(half))
    return Interval(value, value - half, value + half, episodes)
