"""What marks a step or a view of an episode as no ordinary one, as its log has it: flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode

FLAGS = ("unsent", "idle", "intervention", "gap", "stale")


def flags(episode: Episode) -> dict[str, NDArray[np.bool_]]:
    """What marks each step [T] or view [T+1] of an episode as no ordinary one, by name.

    `unsent` [T]: the arm was held instead; `idle` [T]: the operator asked for nothing; `intervention` [T]: a hand
    had taken over from the policy; `gap` [T]: the beat after the
    step came too late for one (`mpr.core.data.steps`), by the measured times; `stale` [T+1]: some camera's image, or
    the state, in that view was too old. All else is False where nobody noted it.
    """
    steps, log = len(episode), episode.log
    return {
        "unsent": log.unsent(steps),
        "idle": np.zeros(steps, bool) if log.idle is None else log.idle,
        "intervention": np.zeros(steps, bool) if log.led is None else log.led,
        "gap": episode.gaps,
        "stale": np.any([np.zeros(steps + 1, bool), *log.stale.values()], axis=0),
    }
