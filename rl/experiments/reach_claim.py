"""The claim of `mpr experiment reach`: one contrast, two looks, and rules that were there before the numbers.

    look      at                    shown where p is under     (O'Brien and Fleming, two looks, 0.05 in all)
    first     half of the seeds     0.005
    second    all of them           0.048

After the first, practice stops where the claim is shown, and for futility where its upper limit is under 0.05. Runs
beyond a look are not looked at before the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpr.core.report.intervals import TestedDifference, pooled_difference

LEVELS = (0.005, 0.048)
FUTILE = 0.05  # an upper limit below it at the first look: no more runs
AIM = 0.2  # the difference hoped for

Travels = Mapping[int, float]  # of a variant in a setting: training seed -> mean share of the way beyond what is shown


@dataclass(frozen=True)
class Claim:
    """What can be said of one variant minus another, pooled over tasks, at the last look that there are runs for."""

    done: int  # seeds of which every task has both runs
    look: int  # 0: none yet
    seeds: int  # looked at
    most_seeds: int
    tested: TestedDifference | None

    @property
    def stopped(self) -> bool:
        """Whether the first look ends the experiment."""
        return self.look == 1 and (self.shown or self.futile)

    @property
    def shown(self) -> bool:
        return self.tested is not None and self.tested.p < LEVELS[self.look - 1] and self.tested.difference.value > 0

    @property
    def futile(self) -> bool:
        return self.tested is not None and self.tested.difference.high < FUTILE

    def __str__(self) -> str:
        first, last = self.most_seeds // 2, self.most_seeds
        if self.tested is None:
            return f"No look yet: {self.done} of {first} seeds are complete."
        if math.isnan(self.tested.p):
            value = f"{self.tested.difference.value:.2f} at look {self.look} of 2"
            return f"{value}: no figure, for nothing varies between runs."
        p = f"p = {self.tested.p:.3f}, shown under {LEVELS[self.look - 1]:g}"
        said = f"{self.tested.difference} at look {self.look} of 2 ({self.seeds} seeds of {last}; {p}): "
        if self.shown:
            return (
                f"{said}**shown**, {'at least' if self.tested.difference.value >= AIM else 'under'} the aim of {AIM:g}."
            )
        if self.futile and self.look == 1:
            return f"{said}**not shown, and stopped for futility.**"
        return f"{said}goes on to {last} seeds." if self.look == 1 else f"{said}**not shown.**"


def claim_of(ones: Sequence[Travels], others: Sequence[Travels], first_seed: int, most_seeds: int) -> Claim:
    """The claim about `ones` minus `others`, a mapping each task; seeds count from `first_seed`, without a hole."""
    done = 0
    while done < most_seeds and ones and all(first_seed + done in some for some in (*ones, *others)):
        done += 1
    found = Claim(done, 0, 0, most_seeds, None)
    for look, seeds in ((1, most_seeds // 2), (2, most_seeds)):
        if done < seeds or found.stopped:  # what was run after it had ended changes nothing
            break
        looked_at = range(first_seed, first_seed + seeds)
        pairs = zip(ones, others, strict=True)
        strata = [([one[seed] for seed in looked_at], [other[seed] for seed in looked_at]) for one, other in pairs]
        found = Claim(done, look, seeds, most_seeds, pooled_difference(strata))
    return found
