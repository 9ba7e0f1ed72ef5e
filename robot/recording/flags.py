"""What marks a step or a view of an episode as no ordinary one, as `Episode.about` tells it: flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from tracking.errors import UserError

PER_ACTION = ("unsent", "idle")
FLAGS = (*PER_ACTION, "stale")


def flags(episode: Episode) -> dict[str, NDArray[np.bool_]]:
    """`unsent` [T]: the arm was held instead; `idle` [T]: the operator asked for nothing; `stale` [T+1]: some camera's
    picture in that view was too old. All False where the episode does not tell. Raises UserError where they do not fit.
    """
    steps, about = len(episode), episode.about
    found = {name: np.asarray(about.get(name) or [False] * steps, bool) for name in PER_ACTION}
    for name, values in found.items():
        if values.shape != (steps,):
            raise UserError(f"an episode of {steps} actions has {values.size} flags of {name} ones")
    stale: dict[str, list[int]] = about.get("stale", {})  # what was too old -> views
    return found | {"stale": np.isin(np.arange(steps + 1), [view for views in stale.values() for view in views])}
