"""What became of episodes: one line each, success with intervals, differences of policies on the same starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.report.intervals import Interval, difference_over_runs, mean, mean_over_runs, success_rate
from rl.environments.play import BASE_NAME
from rl.evaluation.rows import measure_of


def successes(
    rows: Iterable[Mapping[str, Any]], policy: str, seeds: Sequence[int], measure: str = "success"
) -> NDArray[np.float64]:
    """1 or 0 (or what else is measured) for each of N `seeds`, in their order: [N].

    Raises UserError where an episode is missing.
    """
    found = {row["seed"]: measure_of(row, measure) for row in rows if row["policy"] == policy}
    if missing := [seed for seed in seeds if seed not in found]:
        raise UserError(
            f"{policy}: {len(missing)} of {len(seeds)} episodes are missing, the first of seed {missing[0]}: evaluate "
            "again (episodes that are there are kept)"
        )
    return np.array([found[seed] for seed in seeds])


def of_runs(
    rows: Sequence[Mapping[str, Any]], policies: Sequence[str], measure: str = "success"
) -> NDArray[np.float64]:
    """Success (or what else is measured) [policies, starts] on the starts of the first, in their order."""
    seeds = sorted({row["seed"] for row in rows if row["policy"] == policies[0]})
    return np.array([successes(rows, policy, seeds, measure) for policy in policies])


@dataclass(frozen=True)
class ComparedPolicies:
    """Runs of one kind beside the base policy, on the same starts."""

    success: Interval  # of several runs: of such runs, on such starts; of one: of that policy
    gain: Interval  # success minus that of the base policy, a fixed thing, on the same starts
    steps: float | None  # mean to success, of the episodes that succeed (each policy's own); None where none does
    runs: tuple[float, ...]  # success of each
    furthest_travel: Interval | None  # mean over episodes, the task's unit; None where rows do not tell
    beyond_shown: Interval | None  # mean share of the way from what is shown to the goal; None where all is shown
    beyond_gain: Interval | None  # that minus the base policy's


def compare_policies(
    rows: Sequence[Mapping[str, Any]], policies: Sequence[str], base: str = BASE_NAME
) -> ComparedPolicies:
    """Policies trained alike but for their seed, against `base`.

    The base policy is one, and its interval speaks of that one on other starts: not of what another training run of it
    would be, and nor does the gain's.
    """
    each, reference = of_runs(rows, [base, *policies])[1:], of_runs(rows, [base])
    told = {name: all(name in row for row in rows) for name in ("furthest_travel", "beyond_shown")}
    beyond = of_runs(rows, [base, *policies], "beyond_shown") if told["beyond_shown"] else None
    furthest = of_runs(rows, [base, *policies], "furthest_travel")[1:] if told["furthest_travel"] else None
    lengths = [row["steps"] for row in rows if row["policy"] in policies and row["success"]]
    return ComparedPolicies(
        success=success_rate(each[0]) if len(each) == 1 else mean_over_runs(each),
        gain=difference_over_runs(each, reference),
        steps=float(np.mean(lengths)) if lengths else None,
        runs=tuple(float(v) for v in each.mean(1)),
        furthest_travel=None if furthest is None else mean(furthest.mean(0)),
        beyond_shown=None if beyond is None else mean_over_runs(beyond[1:]),
        beyond_gain=None if beyond is None else difference_over_runs(beyond[1:], beyond[:1]),
    )


def comparison_table(
    rows: Sequence[Mapping[str, Any]], variants: Mapping[str, Sequence[str]], base: str = BASE_NAME
) -> list[str]:
    """Markdown lines: the base policy, then each variant's runs, with intervals of 95 %.

    Where demonstrations end short of the goal, also how much of the way beyond them each came.
    """
    heads = ["policy", "success", "minus base", "of each run", "steps, where it succeeds"]
    beyond = all("beyond_shown" in row for row in rows)
    heads += ["furthest, of the way beyond what is shown", "minus base"] if beyond else []
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for variant, policies in {base: [base], **variants}.items():
        c = compare_policies(rows, policies, base)
        gain = "" if variant == base else c.gain
        runs = ", ".join(f"{value:.2f}" for value in c.runs) if len(c.runs) > 1 else ""
        cells = [variant, c.success, gain, runs, "–" if c.steps is None else round(c.steps)]
        cells += [c.beyond_shown, "" if variant == base else c.beyond_gain] if beyond else []
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def contrast(rows: Sequence[Mapping[str, Any]], ones: Sequence[str], others: Sequence[str]) -> Interval:
    """Success of runs minus that of others, on the same starts."""
    both = of_runs(rows, [*ones, *others])
    return difference_over_runs(both[: len(ones)], both[len(ones) :])
