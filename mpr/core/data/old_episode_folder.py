"""Folders that were written before there was one kind of episode, read as what they are.

demonstration.json  a demonstration: float32 states, the teacher's `actions`, what was `executed`, frames as .npy
episode.json        without a format: an episode; what is typed now lay in its "about", and a scripted episode had
                    the script's own actions for a base policy's
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.scene import SceneRecording
from mpr.core.data.step_log import StepLog
from mpr.core.errors import BadClip
from mpr.core.json_files import check_json, read_object

DEMONSTRATION = "demonstration.json"
TOTALS = ("held", "met", "missed", "late_s")  # of an episode: what is noted of each step now


class _Demonstration(TypedDict):
    format: int
    success: bool
    seed: int
    cameras: list[str]
    recorded: bool


class _DemonstrationSaid(_Demonstration, total=False):
    shows: str


class _Ended(TypedDict):
    terminated: bool
    truncated: bool
    success: bool


class _EpisodeSaid(_Ended, total=False):
    cameras: list[str]
    about: dict[str, Any]


class _About(TypedDict, total=False):
    """What became typed; the rest stays in `about`, and so do totals, whose steps nobody noted (TOTALS)."""

    task: str
    seed: int
    held: dict[str, int]  # what held the arm -> times
    unsent: list[bool]
    idle: list[bool]
    stale: dict[str, list[int]]  # what was too old -> views
    # Numbers, NaN where a device gave no time: an episode is not lost for it.
    state_times: list[Any]
    picture_times: dict[str, list[Any]]
    sent_times: list[Any]
    joints: list[Any]
    late: list[Any]


TYPED = {*_About.__annotations__, "rate_hz"}


def demonstration(folder: Path) -> Episode:
    """Raises BadClip, and what reading damaged files raises."""
    said = read_object(folder / DEMONSTRATION, _DemonstrationSaid)
    if said["format"] != 1:
        raise BadClip(f"it has format {said['format']}, of a demonstration 1 is read")
    with np.load(folder / "arrays.npz", allow_pickle=False) as z:
        states, times, teacher, executed = (z[name] for name in ("states", "times", "actions", "executed"))
    return Episode(
        states=states,
        times=times,
        executed_actions=executed,
        teacher_actions=teacher,
        terminated=said["success"],
        truncated=not said["success"],
        success=said["success"],
        frames={
            camera: np.load(folder / f"frames_{camera}.npy", mmap_mode="r", allow_pickle=False)
            for camera in said["cameras"]
        },
        recording=SceneRecording.from_bytes((folder / "recording.npz").read_bytes()) if said["recorded"] else None,
        seed=said["seed"],
        task=said.get("shows", ""),
        rate_hz=_rate(said.get("rate_hz")),
    )


def episode(folder: Path, said: Any) -> Episode:
    """`said` is what its episode.json holds. Raises BadClip, and what reading damaged files raises."""
    from mpr.core.data.video import VideoFrames  # PyAV, in every command that knows episodes

    check_json(said, _EpisodeSaid)
    about = dict(said.get("about", {}))
    check_json(about, _About, "about")
    with np.load(folder / "arrays.npz", allow_pickle=False) as z:
        states, times, executed = (z[name] for name in ("states", "times", "executed_actions"))
        base, residual = z["base_actions"], z["residual_actions"]
    scripted = {"kind", "noise"} <= about.keys()  # of `mpr episodes`: no policy acted there
    stored = folder / "recording.npz"
    return Episode(
        states=states,
        times=times,
        executed_actions=executed,
        base_actions=None if scripted else base,
        residual_actions=None if scripted else residual,
        teacher_actions=base if scripted else None,
        **{name: said[name] for name in ("terminated", "truncated", "success")},
        frames={camera: VideoFrames(folder / f"{camera}.mp4") for camera in said.get("cameras", [])},
        recording=SceneRecording.from_bytes(stored.read_bytes()) if stored.exists() else None,
        log=_log(about, len(executed)),
        seed=about.get("seed"),
        task=about.get("task", ""),
        rate_hz=_rate(about.get("rate_hz")),
        about={name: value for name, value in about.items() if name in TOTALS or name not in TYPED},
    )


def _log(about: Mapping[str, Any], steps: int) -> StepLog:
    """Which of several reasons held the arm at a step was not kept: each step says that it was one of them."""
    reasons = " or ".join(about.get("held", {})) or "held"
    return StepLog(
        held=_noted([reasons if unsent else "" for unsent in about["unsent"]]) if "unsent" in about else None,
        idle=_noted(about.get("idle"), bool),
        sent_s=_noted(about.get("sent_times"), float),
        late_s=_noted(about.get("late"), float),
        state_s=_noted(about.get("state_times"), float),
        joints_rad=_noted(about.get("joints"), float),
        stale={name: np.isin(np.arange(steps + 1), views) for name, views in about.get("stale", {}).items()},
        frame_s={camera: np.array(times, float) for camera, times in about.get("picture_times", {}).items()},
    )


def _noted(values: Any, kind: type = str) -> NDArray[Any] | None:
    return np.array(values, kind) if values else None


def _rate(said: Any) -> float:
    """0 where nobody said one that is."""
    told = isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < np.inf
    return float(said) if told else 0.0
