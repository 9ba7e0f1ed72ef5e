"""Episode: one robot attempt of T actions, and T+1 of everything seen; and its folder on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.clip import FrameSource
from tracking.errors import UNREADABLE, BadClip
from tracking.runs import atomic_folder
from tracking.scene import SceneRecording

ARRAYS = ("states", "times", "base_actions", "residual_actions", "executed_actions")


@dataclass(frozen=True)
class Episode:
    """T actions lie between T+1 frames, states and times; `executed_actions` is what was really sent."""

    frames: Mapping[str, FrameSource]  # camera name -> T+1 frames; may be empty where `recording` can render them
    states: NDArray[np.float64]  # [T+1, S]
    times: NDArray[np.float64]  # [T+1] seconds
    base_actions: NDArray[np.float64]  # [T, A]
    residual_actions: NDArray[np.float64]  # [T, A], before the residual scale
    executed_actions: NDArray[np.float64]  # [T, A]
    terminated: bool
    truncated: bool
    success: bool
    recording: SceneRecording | None = None  # T+1 frames
    about: Mapping[str, Any] = field(default_factory=dict)  # task, kind, seed, ...: JSON values only

    def __post_init__(self) -> None:
        t = len(self.executed_actions)
        for name in ("states", "times"):
            if len(getattr(self, name)) != t + 1:
                raise BadClip(f"episode: {t} actions need {t + 1} {name}, got {len(getattr(self, name))}")
        for name in ("base_actions", "residual_actions"):
            if len(getattr(self, name)) != t:
                raise BadClip(f"episode: {t} executed actions, {len(getattr(self, name))} {name}")
        if t == 0:
            raise BadClip("episode: it has no action")
        if self.recording is not None and len(self.recording) != t + 1:
            raise BadClip(f"episode: {t} actions need {t + 1} recorded frames, got {len(self.recording)}")
        for name in ARRAYS:
            if not np.isfinite(getattr(self, name)).all():
                raise BadClip(f"episode: {name} holds NaN or infinity")

    def __len__(self) -> int:
        return len(self.executed_actions)


def save_episode(episode: Episode, folder: Path) -> None:
    """Write an episode folder (arrays, recording, episode.json), whole or not at all. Frames are not stored."""
    with atomic_folder(folder) as temporary:
        np.savez_compressed(temporary / "arrays.npz", **{name: getattr(episode, name) for name in ARRAYS})
        if episode.recording is not None:
            (temporary / "recording.npz").write_bytes(episode.recording.to_bytes())
        flags = {name: getattr(episode, name) for name in ("terminated", "truncated", "success")}
        (temporary / "episode.json").write_text(json.dumps({**flags, "about": dict(episode.about)}, indent=2) + "\n")


def load_episode(folder: Path) -> Episode:
    """Open an episode folder. Raises BadClip naming what is wrong with it."""
    try:
        about = json.loads((folder / "episode.json").read_text())
        with np.load(folder / "arrays.npz", allow_pickle=False) as z:
            arrays = {name: z[name] for name in ARRAYS}
        stored = folder / "recording.npz"
        recording = SceneRecording.from_bytes(stored.read_bytes()) if stored.exists() else None
    except FileNotFoundError as error:
        raise BadClip(f"{folder} is no episode folder, or half-written: {error.filename} is missing") from error
    except UNREADABLE as error:
        raise BadClip(f"episode folder {folder} cannot be read ({type(error).__name__}: {error})") from error
    return Episode(frames={}, recording=recording, **arrays, **about)
