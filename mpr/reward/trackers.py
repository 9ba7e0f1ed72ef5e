"""The trackers that rewards are made with, by name: exact tracks, which a simulator gives, and the registry's.

Imports none of them.
"""

from pathlib import Path

from mpr.core.registry import Registry
from tracking.trackers import registry

EXACT = "exact"
_OURS = {EXACT: "tracking.simulator.mujoco_scene:ExactTracker", **registry.TRACKERS.ours}
REWARD_TRACKERS = Registry("tracker", registry.TRACKERS.group, _OURS)
EXACT_OR_EMBEDDED = (EXACT, registry.LUCAS_KANADE)  # those that need no weights


def reward_tracker_inputs(name: str, weights: Path | None = None) -> dict[str, Path]:
    """The files that the tracker of that name will read: none for exact tracks, nor where nobody named one ("").
    Raises MissingWeights."""
    return {} if name in ("", EXACT) else registry.tracker_inputs(name, weights)
