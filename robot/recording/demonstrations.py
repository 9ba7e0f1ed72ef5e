"""Successful robot episodes as the demonstrations that `mpr bc` learns from.

What was really sent is the label: where a person led the arm there is no other teacher. Left out are steps at which the
person asked for nothing, at which the guard held the arm, or that were made of a picture that was too old
(`robot.recording.flags`), each with the state and pictures that it was made of: every action that stays lies beside
what was seen when it was chosen. Times stay as measured, with gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode, load_episode
from rl.demonstrations import Demonstration, demonstration_folder, save_demonstration
from robot.recording.flags import flags
from robot.recording.recorder import close_videos
from tracking.clip import Picked
from tracking.errors import UserError


def acted(episode: Episode) -> NDArray[np.intp]:
    """[A] Of its T steps, those that teach. Raises UserError where the flags do not fit."""
    found = flags(episode)
    return np.flatnonzero(~(found["idle"] | found["unsent"] | found["stale"][:-1]))


def is_demonstration(episode: Episode) -> bool:
    """Whether it is a success, and a step of it teaches: one marked before anybody moved is none."""
    return episode.success and len(acted(episode)) > 0


def nothing_teaches(episode: Episode) -> str:
    """Why a success is no demonstration."""
    return f"not one of its {len(episode)} steps teaches: idle, held or unseen"


def to_demonstration(episode: Episode, number: int) -> Demonstration:
    """Its steps that teach. Raises BadDemonstration where there is none, UserError where flags do not fit."""
    steps = acted(episode)
    seen = np.append(steps, len(episode))
    actions = episode.executed_actions[steps].astype(np.float32)
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

    One of which no step teaches is left out, in a line. Raises UserError for an episode that is damaged, and where
    there is none to learn from.
    """
    written = []
    for number, folder in episodes.items():
        episode = load_episode(folder, verify=True)
        if is_demonstration(episode):
            written.append(demonstration_folder(out, number))
            save_demonstration(to_demonstration(episode, number), written[-1])
            close_videos(episode)
        elif episode.success:
            print(f"episode {number} is left out: {nothing_teaches(episode)}")
    if not written:
        raise UserError(f"{len(episodes)} episodes, none a success that teaches: record some with `mpr robot demos`")
    return written
