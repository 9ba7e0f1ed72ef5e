"""Policies beside each other where an environment tells of no success: returns, the sums of its own rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpr.core.report.intervals import Interval, mean
from rl.environments.play import BASE_NAME
from rl.evaluation.outcomes import of_runs


@dataclass(frozen=True)
class ComparedReturns:
    """Runs of one kind beside the base policy, on the same starts; intervals speak of these very policies."""

    mean_return: Interval
    gain: Interval  # return minus that of the base policy on the same start
    runs: tuple[float, ...]  # mean return of each


def compare_returns(
    rows: Sequence[Mapping[str, Any]], policies: Sequence[str], base: str = BASE_NAME
) -> ComparedReturns:
    """Mean returns with the spread over starts: of other training runs they say nothing."""
    each = of_runs(rows, [base, *policies], "return")
    own = each[1:].mean(0)
    return ComparedReturns(mean(own), mean(own - each[0]), tuple(float(value) for value in each[1:].mean(1)))


def return_table(
    rows: Sequence[Mapping[str, Any]], variants: Mapping[str, Sequence[str]], base: str = BASE_NAME
) -> list[str]:
    """Markdown lines: the base policy, then each variant's runs, with intervals of 95 %."""
    lines = ["| policy | return | minus base | steps |", "|---|---|---|---|"]
    for variant, policies in {base: [base], **variants}.items():
        c = compare_returns(rows, policies, base)
        steps = np.mean([row["steps"] for row in rows if row["policy"] in policies])
        lines.append(
            f"| {variant} | {c.mean_return.text(0)} | {'' if variant == base else c.gain.text(0)} | {steps:.0f} |"
        )
    return lines
