"""Episode: one robot attempt of T actions, and T+1 of everything seen; and its folder on disk.

arrays.npz      states, times, actions: exact
episode.json    how it ended, its cameras, and what there is to say about it
recording.npz   what a simulator saw, where there was one
CAMERA.mp4      what a camera saw, where pictures were kept: with loss
SHA256SUMS      of the files above, for `sha256sum -c`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.clip import FrameSource
from tracking.errors import UNREADABLE, BadClip, BadVideo
from tracking.runs import atomic_folder
from tracking.scene import SceneRecording
from tracking.video import VideoFrames, write_video

ARRAYS = ("states", "times", "base_actions", "residual_actions", "executed_actions")
SUMS = "SHA256SUMS"
TICK = 1 / 90_000  # seconds: a video's stamps are whole numbers of it


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
        for camera, frames in self.frames.items():
            if len(frames) != t + 1:
                raise BadClip(f"episode: {t} actions need {t + 1} frames of camera {camera}, got {len(frames)}")
        for name in ARRAYS:
            if not np.isfinite(getattr(self, name)).all():
                raise BadClip(f"episode: {name} holds NaN or infinity")

    def __len__(self) -> int:
        return len(self.executed_actions)


def save_episode(episode: Episode, folder: Path) -> None:
    """Write an episode folder, whole or not at all; what stands there is replaced.

    Arrays and recording are exact. Pictures are not: H.264 4:2:0 at crf 14 is off by 2 to 6 of 255 on average for
    textures, and by 45 where each pixel has a colour of its own (tests/test_robot_recording.py). Picture t has the time
    times[t]. Raises BadClip for pictures that no such video holds: of odd size, or of times that do not increase.
    """
    check_filmable({camera: picture_size(frames[0]) for camera, frames in episode.frames.items()})
    if episode.frames and not (np.diff(np.round((episode.times - episode.times[0]) / TICK)) > 0).all():
        raise BadClip(f"episode: its times do not increase by {TICK:.1e} s from picture to picture")
    with atomic_folder(folder) as temporary:
        np.savez_compressed(temporary / "arrays.npz", **{name: getattr(episode, name) for name in ARRAYS})
        if episode.recording is not None:
            (temporary / "recording.npz").write_bytes(episode.recording.to_bytes())
        for camera, frames in episode.frames.items():
            write_video(temporary / f"{camera}.mp4", _alike(camera, frames), episode.times)
        told = {name: bool(getattr(episode, name)) for name in ("terminated", "truncated", "success")}
        told |= {"cameras": sorted(episode.frames), "about": dict(episode.about)}
        (temporary / "episode.json").write_text(json.dumps(told, indent=2) + "\n")
        names = sorted(file.name for file in temporary.iterdir())
        (temporary / SUMS).write_text("".join(f"{_sum(temporary / name)}  {name}\n" for name in names))


def picture_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width in pixels."""
    return image.shape[0], image.shape[1]


def check_filmable(sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raises BadClip for a camera whose pictures, of that height and width, no episode folder can hold."""
    for camera, (height, width) in sizes.items():
        if not camera.isidentifier():
            raise BadClip(f"a camera cannot be called '{camera}': letters, digits and _ alone")
        if height % 2 or width % 2:
            raise BadClip(f"camera {camera}: pictures of {width} x {height} pixels; H.264 needs even numbers, cut them")


def load_episode(folder: Path, verify: bool = False) -> Episode:
    """Open an episode folder; pictures are decoded when asked for. Raises BadClip naming what is wrong with it.

    With `verify` every byte is read, and a file that is not what was written is refused by name.
    """
    folder = Path(folder)
    try:
        if verify:
            check_sums(folder)
        told = json.loads((folder / "episode.json").read_text())
        cameras = told.pop("cameras", [])
        with np.load(folder / "arrays.npz", allow_pickle=False) as z:
            arrays = {name: z[name] for name in ARRAYS}
        stored = folder / "recording.npz"
        recording = SceneRecording.from_bytes(stored.read_bytes()) if stored.exists() else None
        frames = {camera: VideoFrames(folder / f"{camera}.mp4") for camera in cameras}
        return Episode(frames=frames, recording=recording, **arrays, **told)
    except FileNotFoundError as error:
        raise BadClip(f"{folder} is no episode folder, or half-written: {error.filename} is missing") from error
    except BadVideo as error:
        raise BadClip(f"episode folder {folder}: {error}") from error
    except BadClip as error:
        raise error if str(folder) in str(error) else BadClip(f"{folder}: {error}") from error
    except (TypeError, AttributeError, *UNREADABLE) as error:
        raise BadClip(f"episode folder {folder} cannot be read ({type(error).__name__}: {error})") from error


def check_sums(folder: Path) -> None:
    """Raises BadClip naming the first of a folder's files that is missing, torn, changed or not in SHA256SUMS."""
    file = folder / SUMS
    if not file.is_file():
        raise BadClip(f"{folder} has no {SUMS}: it is half-written, or older than checksums")
    *lines, rest = file.read_bytes().decode(errors="replace").split("\n")
    parts = [line.partition("  ") for line in lines]
    listed = {name: wanted for wanted, _, name in parts}
    if rest or any(not name or "/" in name or "\0" in name for name in listed):
        raise BadClip(f"{file} is torn, or was changed")
    for name, wanted in listed.items():
        if not (folder / name).is_file():
            raise BadClip(f"{folder} lacks {name}, which {SUMS} lists: lost, or half-written")
        if _sum(folder / name) != wanted:
            raise BadClip(f"{folder / name} is torn, or was changed since it was written: its checksum is another")
    ours = {found.name for found in folder.iterdir() if found.suffix in (".npz", ".json", ".mp4")}
    if ours - set(listed):
        raise BadClip(f"{folder / min(ours - set(listed))} is not listed in {SUMS}: added, or the list is torn")


def _sum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _alike(camera: str, frames: FrameSource) -> Iterator[NDArray[np.uint8]]:
    """The encoder would scale a picture of another size, and say nothing."""
    shape = frames[0].shape
    for t in range(len(frames)):
        image = frames[t]
        if image.shape != shape or image.dtype != np.uint8:
            raise BadClip(f"camera {camera}: picture {t} is {image.shape} {image.dtype}, the first {shape} uint8")
        yield image
