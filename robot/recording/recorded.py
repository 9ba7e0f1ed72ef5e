"""Episodes that a robot recorded, read back: what they say of themselves is held to what our commands ask of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.data.step_log import count_texts
from mpr.core.errors import BadClip
from mpr.core.json_files import check_json


class _Late(TypedDict):
    """Seconds."""

    median: float
    p99: float
    worst: float


class _About(TypedDict, total=False):
    """`Episode.about` of a recorded one (`robot.recording.episode_buffer`), as far as something is made of it."""

    arm: str
    mark: str
    fault: str
    overruns: int  # steps whose work took longer than there was time
    # Totals of one from before there was a note a step (`mpr.core.data.old_episode_folder`):
    held: dict[str, int]
    met: dict[str, int]
    missed: int
    late_s: _Late


def load_recorded(folder: Path, verify: bool = False) -> Episode:
    """As `load_episode`. Raises BadClip also where what it says of itself is of another kind."""
    episode = load_episode(folder, verify)
    try:
        check_json(episode.about, _About, "about")
    except ValueError as error:
        raise BadClip(f"episode folder {folder}: {error}; record it again") from error
    return episode


def episode_figures(episode: Episode) -> dict[str, Any]:
    """What its log comes to, as JSON: how often the arm was held and limits were met, how late its steps were.

    Of an episode from before there was a note a step, its own totals. None, or NaN seconds, where nobody counted.
    """
    log = episode.log
    late = np.array([math.nan] if log.late_s is None else log.late_s)
    found = {
        "held": None if log.held is None else count_texts(log.held),  # what held the arm -> times
        "met": None if log.met is None else count_texts(log.met),  # limit -> times
        "late_s": dict(zip(("median", "p99", "worst"), np.percentile(late, [50, 99, 100]).tolist(), strict=True)),
        "missed": None if log.missed is None else int(log.missed.sum()),
    }
    totals = {name: episode.about[name] for name in found if name in episode.about}
    return {**found, **totals, "overruns": int(episode.about.get("overruns", 0))}
