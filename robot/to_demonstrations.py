"""Successful robot episodes as the demonstrations that `mpr bc` learns from.

What was really sent is the label: where a person led the arm there is no other teacher. Steps at which the person asked
for nothing (`about["idle"]`, a flag an action) are left out, each with the state and pictures that it was made of, so
that every action that stays lies beside what was seen when it was chosen. Times stay as measured, with gaps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpr.episode import Episode, load_episode
from rl.demonstrations import BadDemonstration, Demonstration, demonstration_folder, save_demonstration
from robot.recording import close_videos, episode_folders
from tracking.clip import Picked
from tracking.errors import UserError


def to_demonstration(episode: Episode, number: int) -> Demonstration:
    """Of T actions, those that were not idle. Raises BadDemonstration where none is left, or the flags do not fit."""
    idle = np.asarray(episode.about.get("idle") or np.zeros(len(episode)), bool)
    if idle.shape != (len(episode),):
        raise BadDemonstration(f"episode {number}: {len(episode)} actions, {idle.size} flags of idle ones")
    if idle.all():
        raise BadDemonstration(f"episode {number}: every one of its {len(episode)} steps is idle")
    acted = np.flatnonzero(~idle)
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


def write_demonstrations(episodes: Path, out: Path) -> list[Path]:
    """The successes among a session's episodes, as demonstration folders in `out`, each under its episode's number.

    Raises UserError for an episode that is damaged, and where there is no success.
    """
    folders, written = episode_folders(episodes), []
    for number, folder in folders.items():
        episode = load_episode(folder, verify=True)
        if episode.success:
            written.append(demonstration_folder(out, number))
            save_demonstration(to_demonstration(episode, number), written[-1])
            close_videos(episode)
    if not written:
        raise UserError(f"{episodes} holds {len(folders)} episodes, none a success: record some with `mpr robot demos`")
    return written
