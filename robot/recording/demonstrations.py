"""Successful robot episodes as the demonstrations that `mpr bc` learns from.

What was really sent is the label: where a person led the arm there is no other teacher. Left out are steps at which the
person asked for nothing (`about["idle"]`, a flag an action), at which the guard held the arm (`about["unsent"]`), or
that were made of a picture that was too old (`about["stale"]`), each with the state and pictures that it was made of:
every action that stays lies beside what was seen when it was chosen. Times stay as measured, with gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mpr.episode import Episode, load_episode
from rl.demonstrations import BadDemonstration, Demonstration, demonstration_folder, save_demonstration
from robot.recording.recorder import close_videos
from tracking.clip import Picked
from tracking.errors import UserError


def to_demonstration(episode: Episode, number: int) -> Demonstration:
    """Of T actions, those that teach. Raises BadDemonstration where none is left, or the flags do not fit."""
    none = np.zeros(len(episode), bool)
    left_out = none.copy()
    for name in ("idle", "unsent"):
        flags = np.asarray(episode.about.get(name) or none, bool)
        if flags.shape != none.shape:
            raise BadDemonstration(f"episode {number}: {len(episode)} actions, {flags.size} flags of {name} ones")
        left_out |= flags
    for frames in episode.about.get("stale", {}).values():
        left_out[[t for t in frames if t < len(episode)]] = True
    if left_out.all():
        raise BadDemonstration(f"episode {number}: not one of its {len(episode)} steps teaches: idle, held or unseen")
    acted = np.flatnonzero(~left_out)
    seen = np.append(acted, len(episode))
    actions = episode.executed_actions[acted].astype(np.float32)
    return Demonstration(
        states=episode.states[seen].astype(np.float32),
        actions=actions,
        executed=actions,
        times=episode.times[seen].astype(np.float64),
        success=bool(episode.success),
        seed=number,
        frames={camera: Picked(frames, seen) for camera, frames in episode.frames.items()},
        shows=str(episode.about.get("task", "")),
    )


def write_demonstrations(episodes: Mapping[int, Path], out: Path) -> list[Path]:
    """The successes among episodes (folders by number), as demonstration folders in `out`, under the same numbers.

    Raises UserError for an episode that is damaged, and where there is no success.
    """
    written = []
    for number, folder in episodes.items():
        episode = load_episode(folder, verify=True)
        if episode.success:
            written.append(demonstration_folder(out, number))
            save_demonstration(to_demonstration(episode, number), written[-1])
            close_videos(episode)
    if not written:
        raise UserError(f"{len(episodes)} episodes, none a success: record some with `mpr robot demos`")
    return written
