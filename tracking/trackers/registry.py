"""Point trackers by name, as commands know them.

A tracker is a PointTracker's class, made with no arguments. One that takes weights has two class methods instead:
`inputs(weights) -> {"weights": file}`, which raises MissingWeights, and `load(weights, device)`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mpr.core.data.clip import PointTracker
from mpr.core.registry import Registry

LUCAS_KANADE = "lucas_kanade"
TRACKERS = Registry(
    "tracker",
    "mpr.trackers",
    {
        LUCAS_KANADE: "tracking.trackers.lucas_kanade:LucasKanade",
        "cotracker3_offline": "tracking.trackers.cotracker:CoTrackerOffline",
        "cotracker3_online": "tracking.trackers.cotracker:CoTrackerOnline",
    },
)


def tracker_inputs(name: str, weights: Path | None = None) -> dict[str, Path]:
    """The files that the tracker of that name will read. Raises MissingWeights."""
    if name == LUCAS_KANADE:  # a plan does without OpenCV
        return {}
    found = TRACKERS.load(name)
    return found.inputs(weights) if hasattr(found, "inputs") else {}


@cache
def make_tracker(name: str, weights: Path | None = None, device: str = "auto") -> PointTracker:
    """The tracker of that name, one a process: loading takes long. Lucas-Kanade takes neither weights nor device.

    Raises UserError, MissingWeights among them.
    """
    found = TRACKERS.load(name)
    if not hasattr(found, "load"):
        return found()
    from mpr.core.device import resolved_device

    return found.load(weights, resolved_device(device))
