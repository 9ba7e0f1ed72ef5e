"""What the learner was given of each episode, on disk: from it a learner that lags behind the episodes is caught up.

ROOT/episode_000007.npz   written, whole, before the episode's own folder is
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpr.core.errors import NO_ROOM, UNREADABLE, BadClip, in_brief
from mpr.core.runs import atomic_path
from rl.residual.episode_learner import PractisedEpisode
from robot.recording.recorder import DiskFull

_ARRAYS = ("observations", "residuals", "rewards", "kept", "led")


def kept_file(root: Path, number: int) -> Path:
    """Where the recorder's episode of that number lies."""
    return root / f"episode_{number:06d}.npz"


def keep(root: Path, number: int, episode: PractisedEpisode) -> None:
    """Write it, whole or not at all; one that is there, of an episode that came to nothing, is replaced.

    Raises DiskFull.
    """
    arrays = {name: value for name in _ARRAYS if (value := getattr(episode, name)) is not None}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept_file(root, number)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays, truncated=np.array(episode.truncated))
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFull(f"episode {number} is not kept: {root} has no room for it. Free some space") from error


def kept_episode(root: Path, number: int) -> PractisedEpisode:
    """Raises BadClip where it is missing or damaged."""
    file = kept_file(root, number)
    try:
        with np.load(file, allow_pickle=False) as z:
            arrays = {name: z[name] for name in _ARRAYS if name in z}
            return PractisedEpisode(**arrays, truncated=bool(z["truncated"]))
    except UNREADABLE as error:
        raise BadClip(f"{file}: what was learned from this episode cannot be read ({in_brief(error)})") from error
