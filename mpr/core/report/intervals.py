"""Intervals of 95 %: of figures over clips or episodes, of success rates, and of success over training runs.

Nothing is resampled: a bootstrap of 5 clips covers 0.79, of 3 to 20 runs 0.81 to 0.94. A spread comes from leaving out
one clip at a time, or from runs and starts as a crossed layout; Student's t says how far it can be trusted; figures
with bounds take the limits of as many yes-or-no outcomes as would give that spread (Korn & Graubard, Survey
Methodology 24, 1998). How often each covers the truth: docs/intervals.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, stdtr, stdtrit

ONE_SIDE = 0.975
Z = 1.959963984540054  # the normal law's quantile there
_LEAST = 1.6448536269514722  # its quantile for 90 %: no interval over runs is narrower than single episodes make that
UNBOUNDED = (-np.inf, np.inf)
UNIT_RANGE = (0.0, 1.0)  # shares, agreements, success
SIGNED = (-1.0, 1.0)  # cosines, differences of shares
NAN = float("nan")

Bounds = tuple[float, float]  # least and greatest that a figure can be
Array = NDArray[np.float64]
IntervalLimits = tuple[Array, Array]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval over `n` episodes; NaN for what cannot be said. One value has no interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 2) -> str:
        """The interval as "0.91 [0.89, 0.93]", with more digits where the limits would look alike.

        "0.91 (n = 1: no interval)"; a dash where there is no figure.
        """
        if np.isnan(self.value):
            return "–"
        if not np.isfinite(self.high - self.low):
            return f"{self.value:.{digits}f} (n = {self.n}: no interval)"
        while digits < 6 and f"{self.low:.{digits}f}" == f"{self.high:.{digits}f}":
            digits += 1
        value, low, high = (f"{x:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    def above(self, other: Interval) -> bool:
        """Whether this interval lies wholly above the other."""
        return bool(self.low > other.high)


def ratio(top: ArrayLike, bottom: ArrayLike, bounds: Bounds = UNBOUNDED) -> Interval:
    """Σ top / Σ bottom over episodes [n], with the jackknife's spread and Student's t.

    The degrees of freedom are those of as many equal episodes as weigh what these do, (Σ bottom)² / Σ bottom² - 1.
    `bounds`: what the figure can be; values that are all alike then have Clopper and Pearson's limits of n outcomes,
    without bounds none.
    """
    return _pooled(top, bottom).interval(bounds)


def mean(values: ArrayLike, bounds: Bounds = UNBOUNDED) -> Interval:
    """Mean over episodes [n]; see `ratio`."""
    return ratio(values, np.ones(len(np.asarray(values))), bounds)


def difference_of_ratios(
    a: tuple[ArrayLike, ArrayLike], b: tuple[ArrayLike, ArrayLike], bounds: Bounds = UNBOUNDED
) -> Interval:
    """Σ top_a / Σ bottom_a − Σ top_b / Σ bottom_b of two groups of other episodes.

    Out of the two intervals, whatever their shapes (Zou & Donner, Statistics in Medicine 27, 2008), both with Welch's
    degrees of freedom.
    """
    one, two = _pooled(*a), _pooled(*b)
    spread = np.array([one.error, two.error]) ** 2
    freedom = _welch(spread, np.array([one.freedom, two.freedom]))
    x, y = (dataclasses.replace(side, freedom=float(freedom)).interval(bounds) for side in (one, two))
    below, above = np.hypot(x.value - x.low, y.high - y.value), np.hypot(x.high - x.value, y.value - y.low)
    value = x.value - y.value
    return Interval(value, float(value - below), float(value + above), min(x.n, y.n))


@dataclass(frozen=True)
class TestedDifference:
    """A difference with its interval, and the two-sided p of its being 0; NaN where nothing can be said of it."""

    difference: Interval
    p: float


def pooled_difference(strata: Sequence[tuple[ArrayLike, ArrayLike]]) -> TestedDifference:
    """The mean over strata (tasks) of mean(ones [R]) - mean(others [Q]), runs of two kinds: Welch's t over all runs.

    Each stratum counts the same however many runs it has, and keeps a variance of its own. One with a side of a single
    run makes it NaN.
    """
    sides = [[np.asarray(side, float) for side in pair] for pair in strata]
    value = float(np.mean([one.mean() - other.mean() for one, other in sides]))
    runs = np.array([len(side) for pair in sides for side in pair])
    if runs.min() < 2:
        return TestedDifference(Interval(value, NAN, NAN, int(runs.min())), NAN)
    variances = np.array([side.var(ddof=1) / len(side) for pair in sides for side in pair]) / len(sides) ** 2
    error, freedom = float(np.sqrt(variances.sum())), _welch(variances, runs - 1.0)
    if error <= 1e-9 * max(1.0, abs(value)):  # nothing varies, but for rounding
        return TestedDifference(Interval(value, NAN, NAN, int(runs.min())), NAN)
    half = float(_student(freedom)) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return TestedDifference(Interval(value, value - half, value + half, int(runs.min())), p)


def quotient_of_ratios(a: tuple[ArrayLike, ArrayLike], b: tuple[ArrayLike, ArrayLike]) -> Interval:
    """The interval of (Σ top_a / Σ bottom_a) / (Σ top_b / Σ bottom_b) of the same episodes.

    `a` and `b` are (top, bottom), each [n], none of it negative. By the jackknife's spread of its logarithm, and
    Student's t. NaN where a sum that divides is 0.
    """
    sums = np.array([*a, *b], float)  # [4, n]
    n, total = sums.shape[1], sums.sum(1)
    value = float(total[0] * total[3] / (total[1] * total[2])) if total[1] > 0 < total[2] and total[3] > 0 else NAN
    left = total[:, None] - sums
    if np.isnan(value) or n < 2 or not np.all(left > 1e-12 * total[:, None]):
        return Interval(value, NAN, NAN, n)
    half = float(_student(n - 1.0)) * _jackknife(np.log(left[0] * left[3] / (left[1] * left[2])))
    low, high = (value * np.exp(sign * half) if half > 1e-6 else NAN for sign in (-1, 1))
    return Interval(value, float(low), float(high), n)


def success_rate(successes: ArrayLike) -> Interval:
    """The share of successes among episodes [n], with Wilson's interval: none of n has one too."""
    outcomes = np.asarray(successes, float)
    n = len(outcomes)
    value = float(outcomes.mean()) if n else NAN
    low, high = wilson(np.array(value), np.array(n)) if n > 1 else (NAN, NAN)
    return Interval(value, float(low), float(high), n)


def mean_over_runs(values: ArrayLike) -> Interval:
    """Mean of values [R, E] in [0, 1], as successes: R training runs, all evaluated on the same E starts.

    It speaks of other runs on other starts. One run is a fixed thing: its interval speaks only of that run, on other
    starts. See `limits_of_mean`.
    """
    tried = np.asarray(values, float)
    low, high = limits_of_mean(tried) if tried.shape[1] > 1 else (NAN, NAN)
    return Interval(float(tried.mean()), float(low), float(high), tried.shape[1])


def difference_over_runs(ones: ArrayLike, others: ArrayLike) -> Interval:
    """Mean of values [R, E] in [0, 1] minus that of others [Q, E]: R and Q training runs on the same E starts.

    A side of one run (a base policy) is a fixed thing: the interval then speaks of the gain over that very one. Runs of
    the two sides are not paired, whatever their seeds: in ours that gains nothing (correlation 0.31 and -0.08).
    """
    a, b = np.asarray(ones, float), np.asarray(others, float)
    low, high = limits_of_difference(a, b) if a.shape[1] > 1 else (NAN, NAN)
    return Interval(float(a.mean() - b.mean()), float(low), float(high), a.shape[1])


def probability_of_improvement(ones: ArrayLike, others: ArrayLike) -> Interval:
    """The chance that a run of one kind, values [R], ends above a run of another, [Q]; equal ones count half.

    Mann and Whitney's statistic with Newcombe's limits (method 5, Statistics in Medicine 25, 2006), Student's t with
    R + Q - 2 degrees of freedom in them for the normal law. A side of one is a fixed thing: Wilson's limits then. NaN
    is above and below nothing: with one among the values there is no figure.
    """
    a, b = np.asarray(ones, float), np.asarray(others, float)
    fewer, more = sorted((len(a), len(b)))
    n = more if fewer == 1 else fewer
    if np.isnan(a).any() or np.isnan(b).any():
        return Interval(NAN, NAN, NAN, n)
    value = float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())
    if n < 2:
        return Interval(value, NAN, NAN, n)
    if fewer == 1:
        low, high = wilson(np.array(value), np.array(n))
        return Interval(value, float(low), float(high), n)
    t = float(_student(fewer + more - 2.0))

    def off(chance: float) -> float:
        spread = 1 + ((fewer + more) / 2 - 1) * ((1 - chance) / (2 - chance) + chance / (1 + chance))
        return (chance - value) ** 2 - t**2 * chance * (1 - chance) * spread / (fewer * more)

    low = cast(float, brentq(off, 0.0, min(value, 1 - 1e-9))) if value > 0 else 0.0
    high = cast(float, brentq(off, max(value, 1e-9), 1.0)) if value < 1 else 1.0
    return Interval(value, low, high, n)


def limits_of_mean(values: Array) -> IntervalLimits:
    """Limits [...] for `mean_over_runs` of values [..., R, E].

    Runs, starts and the rest are crossed random effects, told apart by the method of moments, and each counts once:
    runs by Student's t over their means, which hold their share of the rest; starts, shared by all runs, by what their
    means vary beyond the rest. Runs that happen to agree are no certainty: at least as wide as the rest alone would
    make an interval of 90 % (at 95 %, three runs alike would cover 0.98). In Wilson's form, so within [0, 1].
    """
    side = _crossed(values)
    half = _half_width([side], side.by_start)
    return _limits(values.mean((-1, -2)), half, values.shape[-1], UNIT_RANGE, wilson)


def limits_of_difference(ones: Array, others: Array) -> IntervalLimits:
    """Limits [...] for `difference_over_runs` of values [..., R, E] and [..., Q, E].

    As `limits_of_mean`, but Welch's t over the runs of both sides, and of the starts only what differs between the
    sides. Where nothing varies, as many starts as Wilson's limits allow may come out otherwise, in either direction.
    """
    a, b = _crossed(ones), _crossed(others)
    by_start = a.by_start - b.by_start
    value, half = by_start.mean(-1), _half_width([a, b], by_start)
    otherwise = wilson(np.zeros(()), np.array(by_start.shape[-1]))[1]
    alone = (half < 1e-9) | (a.runs == b.runs == 1)
    below, above = (np.where(alone, np.maximum(half, otherwise * far), half) for far in (value + 1, 1 - value))
    return np.maximum(value - below, -1), np.minimum(value + above, 1)


@dataclass(frozen=True)
class _Pooled:
    """A ratio of sums, its standard error, and how many degrees of freedom that has; NaN where there is none."""

    value: float
    error: float
    freedom: float
    n: int

    def interval(self, bounds: Bounds) -> Interval:
        if np.isnan(self.error):
            return Interval(self.value, NAN, NAN, self.n)
        half = np.array(_student(self.freedom) * self.error)
        low, high = _limits(np.array(self.value), half, self.n, bounds, clopper_pearson)
        return Interval(self.value, float(low), float(high), self.n)


def _pooled(top: ArrayLike, bottom: ArrayLike) -> _Pooled:
    tops, bottoms = np.asarray(top, float), np.asarray(bottom, float)
    n, total = len(tops), float(bottoms.sum())
    if not total > 0:
        return _Pooled(NAN, NAN, NAN, n)
    value, left = float(tops.sum()) / total, total - bottoms
    if n < 2 or not np.all(left > 1e-12 * total):  # one episode, or one that has all the weight
        return _Pooled(value, NAN, NAN, n)
    freedom = max(total**2 / float((bottoms**2).sum()) - 1, 1.0)
    return _Pooled(value, _jackknife((tops.sum() - tops) / left), freedom, n)


@dataclass(frozen=True)
class _Crossed:
    """What R runs on the same E starts show."""

    runs: int
    of_runs: Array  # [...] s² of the runs' means / R: the mean's variance over runs, the rest's part in it; one run: 0
    rest: Array  # [...] mean square of what neither run nor start explains / (R E); one run: not known, 0
    by_start: Array  # [..., E] mean over runs


def _crossed(values: Array) -> _Crossed:
    runs, starts = values.shape[-2:]
    by_start, by_run = values.mean(-2), values.mean(-1)
    if runs == 1:
        nothing = np.zeros(values.shape[:-2])
        return _Crossed(runs, nothing, nothing, by_start)
    centred = values - by_start[..., None, :] - by_run[..., :, None] + values.mean((-1, -2))[..., None, None]
    rest = (centred**2).sum((-1, -2)) / ((runs - 1) * (starts - 1) * runs * starts)
    return _Crossed(runs, by_run.var(-1, ddof=1) / runs, rest, by_start)


def _half_width(sides: Sequence[_Crossed], by_start: Array) -> Array:
    """Half the width [...], each component with its own Student's t; `by_start` [..., E]: the figure at each start."""
    starts = by_start.shape[-1]
    variances, rest = np.array([side.of_runs for side in sides]), np.array([side.rest for side in sides]).sum(0)
    freedom = _welch(variances, np.array([max(s.runs - 1.0, 1.0) for s in sides]))
    of_starts = np.maximum(by_start.var(-1, ddof=1) / starts - rest, 0)
    squared = _student(freedom) ** 2 * variances.sum(0) + _student(starts - 1.0) ** 2 * of_starts
    return np.sqrt(np.maximum(squared, _LEAST**2 * rest))


def _welch(variances: Array, freedoms: Array) -> Array:
    """Degrees of freedom [...] of a sum of variances [k, ...] with `freedoms` [k]; 1 where it is 0."""
    spread = (variances.T**2 / freedoms).sum(-1).T
    return np.where(spread > 0, variances.sum(0) ** 2 / np.where(spread > 0, spread, 1), 1.0)


def _student(freedom: ArrayLike) -> Array:
    return stdtrit(freedom, ONE_SIDE)


def _jackknife(left_out: Array) -> float:
    """Standard error of a figure from its values [n] with one episode left out."""
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def _limits(
    value: Array, half: Array, n: int, bounds: Bounds, form: Callable[[Array, Array], IntervalLimits]
) -> IntervalLimits:
    """Limits of a figure from half its width; within bounds, those of `form` for as many yes-or-no outcomes as would
    give that width, and for `n` where nothing varies. Raises ValueError for a figure out of its bounds."""
    if not np.all(np.isfinite(bounds)):
        half = np.where(half <= 1e-9 * np.abs(value), NAN, half)  # nothing varies
        return np.maximum(value - half, bounds[0]), np.minimum(value + half, bounds[1])
    width = bounds[1] - bounds[0]
    share = (value - bounds[0]) / width
    if np.any((share < -1e-4) | (share > 1 + 1e-4)):  # raw numbers are rounded
        raise ValueError(f"a figure of {value} cannot be: it lies in {bounds}")
    share = np.clip(share, 0, 1)
    alike = (half <= 1e-6 * width) | (share == 0) | (share == 1)
    outcomes = np.where(alike, n, Z**2 * share * (1 - share) / np.where(alike, 1, half / width) ** 2)
    low, high = form(share, outcomes)
    return bounds[0] + width * low, bounds[0] + width * high


def wilson(share: Array, n: Array) -> IntervalLimits:
    """Wilson's score limits for a share of n outcomes; n need not be whole."""
    middle, scale = share + Z**2 / (2 * n), 1 + Z**2 / n
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.maximum((middle - half) / scale, 0), np.minimum((middle + half) / scale, 1)


def clopper_pearson(share: Array, n: Array) -> IntervalLimits:
    """Clopper and Pearson's limits for a share of n outcomes; n need not be whole."""
    yes, no = share * n, (1 - share) * n
    low = np.where(yes > 0, betaincinv(np.maximum(yes, 1e-12), no + 1, 1 - ONE_SIDE), 0)
    return low, np.where(no > 0, betaincinv(yes + 1, np.maximum(no, 1e-12), ONE_SIDE), 1)
