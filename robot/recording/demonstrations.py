"""Successful robot episodes as the demonstrations that `mpr bc` learns from.

What was really sent is the label: where a person led the arm there is no other teacher. Left out are steps at which the
person asked for nothing, at which the guard held the arm, or that were made of an image that was too old
(`robot.recording.flags`), each with the state and images that it was made of: every action that stays lies beside
what was seen when it was chosen. Times stay as measured, with gaps: a policy is cloned from what stays, a replay buffer
leaves out the steps that became longer by it (`mpr.core.data.steps`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import Picked
from mpr.core.data.episode import Episode
from mpr.core.data.step_log import StepLog
from mpr.core.errors import OddLengths, UserError
from rl.data.demonstrations import BadDemonstration, demonstration_folder, save_demonstration
from robot.recording.flags import flags
from robot.recording.recorded import load_recorded
from robot.recording.recorder import close_videos


def acted(episode: Episode) -> NDArray[np.intp]:
    """[A] Of its T steps, those that teach."""
    found = flags(episode)
    return np.flatnonzero(~(found["idle"] | found["unsent"] | found["stale"][:-1]))


def is_demonstration(episode: Episode) -> bool:
    """Whether it is a success, and a step of it teaches: one marked before anybody moved is none."""
    return episode.success and len(acted(episode)) > 0


def nothing_teaches(episode: Episode) -> str:
    """Why a success is no demonstration."""
    return f"not one of its {len(episode)} steps teaches: idle, held or unseen"


def to_demonstration(episode: Episode, number: int) -> Episode:
    """Its steps that teach, in float32; a policy inside has no part in it. Raises BadDemonstration for none."""
    steps = acted(episode)
    if not len(steps):
        raise BadDemonstration(f"demonstration {number}: {nothing_teaches(episode)}")
    seen = np.append(steps, len(episode))
    return replace(
        episode,
        states=episode.states[seen].astype(np.float32),
        times=episode.times[seen].astype(np.float64),
        executed_actions=episode.executed_actions[steps].astype(np.float32),
        base_actions=None,
        residual_actions=None,
        frames={camera: Picked(frames, seen) for camera, frames in episode.frames.items()},
        log=StepLog(),
        seed=number,
    )


def write_demonstrations(episodes: Mapping[int, Path], out: Path) -> list[Path]:
    """The successes among episodes (folders by number), as demonstration folders in `out`, under the same numbers.

    One of which no step teaches, or of odd lengths, is left out, in a line. Raises UserError for an episode that is
    damaged otherwise, and where there is none to learn from.
    """
    written = []
    for number, folder in episodes.items():
        try:
            episode = load_recorded(folder, verify=True)
        except OddLengths as error:
            print(f"episode {number} is left out: {error}")
            continue
        if is_demonstration(episode):
            written.append(demonstration_folder(out, number))
            save_demonstration(to_demonstration(episode, number), written[-1])
            close_videos(episode)
        elif episode.success:
            print(f"episode {number} is left out: {nothing_teaches(episode)}")
    if not written:
        raise UserError(f"{len(episodes)} episodes, none a success that teaches: record some with `mpr robot demos`")
    return written
