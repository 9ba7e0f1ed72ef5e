"""Demonstrations: what a policy is taught from, in memory and as folders on disk. Knows no simulator and no learner.

    state_0 --executed_0--> state_1 --executed_1--> ... --executed_T-1--> state_T

`actions` are the teacher's, free of noise: what a policy learns to do. `executed` is what was really sent: what led to
the next state. Where nobody added noise the two are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.clip import FrameSource
from tracking.errors import UNREADABLE, BadClip, UserError
from tracking.runs import atomic_folder
from tracking.scene import SceneRecording

FORMAT = 1
ARRAYS = {"states": np.float32, "actions": np.float32, "executed": np.float32, "times": np.float64}
PREFIX = "demonstration_"

FrameSize = tuple[int, int]  # of a camera's frames: height and width in pixels


class BadDemonstration(UserError):
    """A demonstration that is empty, holds NaN, is damaged or of another robot: names it and what is wrong."""


@dataclass(frozen=True)
class Demonstration:
    """T actions between T+1 states, times and frames. Raises BadDemonstration where they do not fit."""

    states: NDArray[np.float32]  # [T+1, D]
    actions: NDArray[np.float32]  # [T, A] labels, free of noise
    executed: NDArray[np.float32]  # [T, A]
    times: NDArray[np.float64]  # [T+1] seconds
    success: bool
    seed: int  # of its start, or its number in the data set it came from
    frames: Mapping[str, FrameSource] = field(default_factory=dict)  # camera -> T+1 frames; may be empty
    recording: SceneRecording | None = None  # T+1 frames
    shows: str = ""  # which task, to which end (rl.kitchen.tasks.goal); empty: nobody said

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if steps == 0:
            self._refuse("it is empty: no action")
        if self.states.ndim != 2 or self.actions.ndim != 2:
            self._refuse(f"states {self.states.shape} and actions {self.actions.shape} must be [T+1, D] and [T, A]")
        if self.executed.shape != self.actions.shape:
            self._refuse(f"actions {self.actions.shape}, executed {self.executed.shape}")
        if self.times.ndim != 1:
            self._refuse(f"times {self.times.shape} must be [T+1]")
        lengths = {"states": len(self.states), "times": len(self.times)}
        lengths |= {f"frames of {camera}": len(frames) for camera, frames in self.frames.items()}
        lengths |= {"recorded frames": len(self.recording)} if self.recording is not None else {}
        for what, length in lengths.items():
            if length != steps + 1:
                self._refuse(f"{steps} actions need {steps + 1} {what}, got {length}")
        for name, kind in ARRAYS.items():
            array = getattr(self, name)
            if array.dtype != kind:
                self._refuse(f"{name} must be {np.dtype(kind)}, got {array.dtype}")
            if not np.isfinite(array).all():
                self._refuse(f"{name} holds NaN or infinity, first at step {np.argwhere(~np.isfinite(array))[0][0]}")
        if not (np.diff(self.times) > 0).all():
            self._refuse("times do not increase")
        for camera in self.frames:
            if not camera.isidentifier():
                self._refuse(f"a camera cannot be called '{camera}': letters, digits and _ alone")

    def _refuse(self, why: str) -> None:
        raise BadDemonstration(f"demonstration {self.seed}: {why}")

    def __len__(self) -> int:
        return len(self.actions)


def check_sizes(demonstrations: Sequence[Demonstration], state_size: int, action_size: int) -> None:
    """Raises BadDemonstration where there is none, or one is of another state or action space."""
    if not demonstrations:
        raise BadDemonstration("no demonstrations: make some with `mpr demos`")
    for demonstration in demonstrations:
        there = demonstration.states.shape[1], demonstration.actions.shape[1]
        if there != (state_size, action_size):
            raise BadDemonstration(
                f"demonstration {demonstration.seed} has {there[0]} state and {there[1]} action dimensions, "
                f"wanted are {state_size} and {action_size}: it is of another robot or observation"
            )


def check_shown(demonstrations: Sequence[Demonstration], wanted: str) -> None:
    """Raises BadDemonstration for one of another task, or of another end to it: their successes are not ours."""
    for demonstration in demonstrations:
        if demonstration.shows not in ("", wanted):
            raise BadDemonstration(
                f"demonstration {demonstration.seed} shows '{demonstration.shows}', wanted is '{wanted}': `mpr demos` "
                "makes some"
            )


def frame_sizes(demonstrations: Sequence[Demonstration], cameras: Iterable[str]) -> dict[str, FrameSize]:
    """How large each of the cameras' frames are, in all demonstrations alike. Raises BadDemonstration."""
    sizes = {camera: _frame_size(demonstrations[0], camera) for camera in cameras}
    check_frames(demonstrations, sizes)
    return sizes


def check_frames(demonstrations: Sequence[Demonstration], cameras: Mapping[str, FrameSize]) -> None:
    """Raises BadDemonstration where one was not seen by one of the cameras, or in frames of another size."""
    for demonstration in demonstrations:
        for camera, wanted in cameras.items():
            there = _frame_size(demonstration, camera)
            if there != wanted:
                raise BadDemonstration(
                    f"demonstration {demonstration.seed} has frames of camera '{camera}' of {there[0]} x {there[1]} "
                    f"pixels, wanted are {wanted[0]} x {wanted[1]}: `mpr demos --size` says how large they are made"
                )


def _frame_size(demonstration: Demonstration, camera: str) -> FrameSize:
    frames, seen = demonstration.frames, ", ".join(demonstration.frames) or "none"
    if camera not in frames:
        raise BadDemonstration(
            f"demonstration {demonstration.seed} has no frames of camera '{camera}'; it has {seen}: "
            f"`mpr demos --views [{camera}]` makes some that have"
        )
    height, width = frames[camera][0].shape[:2]
    return height, width


def demonstration_folder(root: Path, seed: int) -> Path:
    """Where the demonstration of a seed stands below `root`."""
    return Path(root) / f"{PREFIX}{seed:06d}"


def save_demonstration(demonstration: Demonstration, folder: Path) -> None:
    """Write arrays, recording and frames (as they are, without loss), whole or not at all; the same demonstration gives
    the same bytes."""
    d = demonstration
    with atomic_folder(folder) as temporary:
        np.savez_compressed(temporary / "arrays.npz", **{name: getattr(d, name) for name in ARRAYS})
        if d.recording is not None:
            (temporary / "recording.npz").write_bytes(d.recording.to_bytes())
        for camera, frames in d.frames.items():
            shape = (len(frames), *frames[0].shape)
            file = np.lib.format.open_memmap(_frames_file(temporary, camera), "w+", np.uint8, shape)
            for t in range(len(frames)):
                file[t] = frames[t]
            file.flush()
        about: dict[str, Any] = {"format": FORMAT, "success": bool(d.success), "seed": int(d.seed)}
        about |= {"cameras": sorted(d.frames), "recorded": d.recording is not None, "shows": d.shows}
        (temporary / "demonstration.json").write_text(json.dumps(about, indent=2) + "\n")


def load_demonstration(folder: Path) -> Demonstration:
    """Open a demonstration's folder; frames stay on disk. Raises BadDemonstration naming the folder."""
    folder = Path(folder)
    try:
        about: dict[str, Any] = json.loads((folder / "demonstration.json").read_text())
        if about["format"] != FORMAT:
            raise BadDemonstration(f"{folder} has format {about['format']}, this version reads {FORMAT}")
        with np.load(folder / "arrays.npz", allow_pickle=False) as z:
            arrays = {name: z[name] for name in ARRAYS}
        stored = folder / "recording.npz"
        recording = SceneRecording.from_bytes(stored.read_bytes()) if about["recorded"] else None
        frames = {c: np.load(_frames_file(folder, c), mmap_mode="r", allow_pickle=False) for c in about["cameras"]}
        told = {"success": about["success"], "seed": about["seed"], "shows": about.get("shows", "")}
        return Demonstration(**arrays, **told, frames=frames, recording=recording)
    except FileNotFoundError as error:
        raise BadDemonstration(f"{folder} is no demonstration, or half-written: {error.filename} is missing") from error
    except BadDemonstration as error:
        raise error if str(folder) in str(error) else BadDemonstration(f"{folder}: {error}") from error
    except (BadClip, TypeError, *UNREADABLE) as error:
        raise BadDemonstration(f"{folder} cannot be read ({type(error).__name__}: {error}); make it again") from error


def demonstration_folders(root: Path) -> list[Path]:
    """All demonstrations right below `root`, by seed."""
    return sorted(file.parent for file in Path(root).glob(f"{PREFIX}*/demonstration.json"))


def load_demonstrations(root: Path, count: int = 0) -> list[Demonstration]:
    """The first `count` demonstrations right below `root`, by seed (0: all). Raises BadDemonstration where there are
    fewer, or none, or two do not fit together."""
    folders = demonstration_folders(root)
    if not folders:
        raise BadDemonstration(f"no demonstrations in {root}: make some with `mpr demos --out {root}`")
    if count > len(folders):
        raise BadDemonstration(
            f"--count {count}: {root} holds {len(folders)} demonstrations; make more with `mpr demos`"
        )
    found = [load_demonstration(folder) for folder in folders[: count or len(folders)]]
    check_sizes(found, found[0].states.shape[1], found[0].actions.shape[1])
    check_shown(found, found[0].shows)
    return found


def _frames_file(folder: Path, camera: str) -> Path:
    return folder / f"frames_{camera}.npy"
