"""Point trackers by name, as commands know them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tracking.clip import PointTracker
from tracking.errors import UserError
from tracking.lucas_kanade import LucasKanade

COTRACKERS = ("cotracker3_offline", "cotracker3_online")
TRACKERS = (LucasKanade.name, *COTRACKERS)


def check_tracker(name: str) -> None:
    """Raises UserError for a name that is no tracker's."""
    if name not in TRACKERS:
        raise UserError(f"unknown tracker '{name}'; there is {', '.join(TRACKERS)}")


def tracker_inputs(name: str, weights: Path | None = None) -> dict[str, Path]:
    """The files that the tracker of that name will read. Raises MissingWeights."""
    if name not in COTRACKERS:
        return {}
    from tracking.cotracker import find_weights  # torch takes seconds

    return {"weights": find_weights(name, weights)}


@cache
def make_tracker(name: str, weights: Path | None = None, device: str = "auto") -> PointTracker:
    """The tracker of that name, one a process: loading takes long. Lucas-Kanade takes neither weights nor device.

    Raises UserError, MissingWeights among them.
    """
    check_tracker(name)
    if name not in COTRACKERS:
        return LucasKanade()
    from tracking.cotracker import load_cotracker  # torch takes seconds
    from tracking.device import resolved_device

    return load_cotracker(name, weights, resolved_device(device))
