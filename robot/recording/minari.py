"""Recorded episodes as a Minari data set (0.5), and back, exactly: arrays in float64, images as they are on disk.

Observations are {"state": [S], "images": {camera: [H, W, 3]}}, T+1 of them; `actions` are the executed ones, so that
transitions are true; infos hold the measured "time", "base_action" and "residual_action" where there are such, and the
flags that mark a step or view as no ordinary one (`robot.recording.flags`). The reward is 1 with the last action of a
success, else 0. Terminations and truncations are the episode's own: it may have terminated in failure.

One episode is in memory at a time, its images raw. Minari's collector (which needs jax) is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource
from mpr.core.data.episode import OPTIONAL, Episode
from rl.environments.kitchen.minari_data import write_storage
from robot.recording.flags import FLAGS, flags
from robot.recording.recorder import close_videos

_PARTS = {name.removesuffix("s"): name for name in OPTIONAL}  # info -> the episode's array
INFOS = ("time", *FLAGS)
DESCRIPTION = "Episodes recorded on a robot arm; infos['time'] holds the measured seconds"


def minari_columns(episode: Episode) -> dict[str, NDArray[Any]]:
    """What the data set holds of an episode but for images, by name.

    A fact of an action is [T, ...], one of a state [T+1, ...].
    """
    last = np.arange(len(episode)) == len(episode) - 1
    return {
        "state": episode.states,
        "time": episode.times,
        "action": episode.executed_actions,
        **{info: episode.arrays[name] for info, name in _PARTS.items() if name in episode.arrays},
        **flags(episode),
        "reward": (last & episode.success).astype(np.float64),
        "termination": last & episode.terminated,
        "truncation": last & episode.truncated,
    }


def write_minari(episodes: Sequence[Episode], root: Path, name: str) -> Path:
    """Write the data set `name` ("namespace/name-v0") below `root`, whole or not at all. Returns its folder.

    Minari finds it under its name where MINARI_DATASETS_PATH is `root`. Raises ValueError for a name that Minari would
    not read.
    """
    buffers = (_buffer(number, episode) for number, episode in enumerate(episodes))
    return write_storage(root, name, _spaces(episodes), buffers, DESCRIPTION, "recorded")


def read_minari_episodes(folder: Path) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, FrameSource]]]:
    """What a data set that `write_minari` wrote holds of each episode: columns and images.

    Columns are [T, ...] or [T+1, ...], as `minari_columns` has. Raises KeyError, ValueError or OSError where it is no
    such set.
    """
    import minari

    for episode in minari.MinariDataset(folder / "data"):
        arrays = {
            "state": episode.observations["state"],
            "action": episode.actions,
            **{name: episode.infos[name] for name in INFOS},
            **{name: episode.infos[name] for name in _PARTS if name in episode.infos},
            "reward": episode.rewards,
            "termination": episode.terminations,
            "truncation": episode.truncations,
        }
        yield arrays, dict(episode.observations.get("images", {}))


def _spaces(episodes: Sequence[Episode]) -> tuple[Any, Any]:
    """An executed action, in a policy's terms, may leave -1..1: the box is as large as it has to be."""
    from gymnasium.spaces import Box, Dict

    first = episodes[0]
    observations: dict[str, Any] = {"state": Box(-np.inf, np.inf, first.states.shape[1:], np.float64)}
    if first.frames:
        shapes = {camera: frames[0].shape for camera, frames in first.frames.items()}
        observations["images"] = Dict({camera: Box(0, 255, shape, np.uint8) for camera, shape in shapes.items()})
    largest = max(1.0, *(float(np.abs(episode.executed_actions).max()) for episode in episodes))
    return Dict(observations), Box(-largest, largest, first.executed_actions.shape[1:], np.float64)


def _buffer(number: int, episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    found: dict[str, Any] = minari_columns(episode)  # Minari declares lists, and stores arrays
    observations: dict[str, Any] = {"state": found["state"]}
    if episode.frames:
        observations["images"] = {c: np.stack([f[t] for t in range(len(f))]) for c, f in episode.frames.items()}
        close_videos(episode)
    return EpisodeBuffer(
        id=number,
        observations=observations,
        actions=found["action"],
        rewards=found["reward"],
        terminations=found["termination"],
        truncations=found["truncation"],
        infos={name: found[name] for name in (*INFOS, *_PARTS) if name in found},
    )
