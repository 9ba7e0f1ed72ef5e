"""Episodes that a robot recorded, read back: what they say of themselves is held to what our commands ask of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.data.step_log import counted
from mpr.core.errors import BadClip
from mpr.core.json_files import check


class About(TypedDict, total=False):
    """`Episode.about` of a recorded one (`robot.recording.episode_buffer`), as far as something is made of it."""

    arm: str
    mark: str
    fault: str
    overruns: int  # steps whose work took longer than there was time


def load_recorded(folder: Path, verify: bool = False) -> Episode:
    """As `load_episode`. Raises BadClip also where what it says of itself is of another kind."""
    episode = load_episode(folder, verify)
    try:
        check(episode.about, About, "about")
    except ValueError as error:
        raise BadClip(f"episode folder {folder}: {error}; record it again") from error
    return episode


def figures(episode: Episode) -> dict[str, Any]:
    """What its log comes to, as JSON: how often the arm was held and limits were met, how late its steps were."""
    log = episode.log
    late = np.array([math.nan] if log.late_s is None else log.late_s)
    return {
        "held": counted(log.held),  # what held the arm -> times
        "met": counted(log.met),  # limit -> times
        "late_s": dict(zip(("median", "p99", "worst"), np.percentile(late, [50, 99, 100]).tolist(), strict=True)),
        "missed": 0 if log.missed is None else int(log.missed.sum()),
        "overruns": int(episode.about.get("overruns", 0)),
    }
