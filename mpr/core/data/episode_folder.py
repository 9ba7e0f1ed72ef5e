"""An episode's folder on disk: one format for a robot's attempts, a simulator's and demonstrations.

arrays.npz          states, times, actions, and the log step by step ("log/..."): exact
episode.json        how it ended, what it shows, its seed and cameras, and what else there is to say about it
recording.npz       what a simulator saw, where there was one
CAMERA.mp4          what a camera saw: a video, with loss
frames_CAMERA.npy   or the very pixels: without loss, read from disk one by one
SHA256SUMS          of the files above, for `sha256sum -c`

Folders of before are read as they are (`old_episode_folder`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from mpr.core.checksums import CHECKSUM_FILE, read_sums, sha256, write_sums
from mpr.core.data import old_episode_folder as old
from mpr.core.data.clip import FrameSource
from mpr.core.data.episode import EPISODE_ARRAYS, OPTIONAL, Episode
from mpr.core.data.scene import SceneRecording
from mpr.core.data.step_log import StepLog
from mpr.core.errors import UNREADABLE, BadClip, BadVideo
from mpr.core.json_files import check_json, parsed
from mpr.core.runs import atomic_folder

_FORMAT = 2
ABOUT, LOG = "episode.json", "log/"
TICK = 1 / 90_000  # seconds: a video's stamps are whole numbers of it


class _Said(TypedDict):
    """What episode.json says."""

    format: int
    terminated: bool
    truncated: bool
    success: bool
    seed: int | None
    task: str
    rate_hz: float
    cameras: list[str]
    frames: Literal["video", "lossless"]
    recorded: bool
    about: dict[str, Any]


def save_episode(episode: Episode, folder: Path, lossless: bool = False) -> None:
    """Write an episode folder, whole or not at all; what stands there is replaced.

    The same episode gives the same bytes. Arrays, log and recording are exact. Frames are a video a camera: H.264 4:2:0
    at crf 14 is off by 2 to 6 of 255 on average for textures, and by 45 where each pixel has a colour of its own
    (tests/robot/test_recording.py). Image t has the time times[t]. `lossless` keeps the very pixels: some thirty
    times larger, for what policies learn from, which are shown the same pixels rendered at evaluation, and read any of
    them at any time.

    Raises BadClip for frames that no such video holds: of odd size, or of times that do not increase enough.
    """
    if not lossless:
        check_filmable({camera: frame_size(frames[0]) for camera, frames in episode.frames.items()})
        if episode.frames and not (np.diff(np.round((episode.times - episode.times[0]) / TICK)) > 0).all():
            raise BadClip(f"episode: its times do not increase by {TICK:.1e} s from image to image")
    with atomic_folder(folder) as temporary:
        arrays: dict[str, Any] = {**episode.arrays}
        arrays |= {f"{LOG}{name}": array for name, array in episode.log.arrays.items()}
        np.savez_compressed(temporary / "arrays.npz", **arrays)
        if episode.recording is not None:
            (temporary / "recording.npz").write_bytes(episode.recording.to_bytes())
        for camera, frames in episode.frames.items():
            if lossless:
                _write_pixels(_pixels_file(temporary, camera), camera, frames)
            else:
                _write_video(temporary / f"{camera}.mp4", camera, frames, episode.times)
        (temporary / ABOUT).write_text(json.dumps(_said(episode, lossless), indent=2) + "\n")
        write_sums(temporary)


def _said(episode: Episode, lossless: bool) -> _Said:
    return {
        "format": _FORMAT,
        "terminated": bool(episode.terminated),
        "truncated": bool(episode.truncated),
        "success": bool(episode.success),
        "seed": None if episode.seed is None else int(episode.seed),
        "task": episode.task,
        "rate_hz": float(episode.rate_hz),
        "cameras": sorted(episode.frames),
        "frames": "lossless" if lossless else "video",
        "recorded": episode.recording is not None,
        "about": dict(episode.about),
    }


def frame_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width in pixels of an image [H, W, 3]."""
    return image.shape[0], image.shape[1]


def check_filmable(sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raises BadClip for a camera whose frames, of that height and width, no video holds."""
    for camera, (height, width) in sizes.items():
        if not camera.isidentifier():
            raise BadClip(f"a camera cannot be called '{camera}': only letters, digits and _")
        if height % 2 or width % 2:
            raise BadClip(f"camera {camera}: images of {width} x {height} pixels; H.264 needs even numbers, cut them")


def load_episode(folder: Path, verify: bool = False) -> Episode:
    """Open an episode folder; frames are read or decoded when asked for.

    With `verify` every byte is read, and a file that is not what was written is refused by name. Raises BadClip naming
    what is wrong with the folder, OddLengths where that is its lengths.
    """
    folder = Path(folder)
    try:
        if verify:
            check_sums(folder)
        if (folder / old.DEMONSTRATION).is_file():
            return old.demonstration(folder)
        said = parsed((folder / ABOUT).read_bytes())
        if isinstance(said, dict) and "format" not in said:
            return old.episode(folder, said)
        return _episode(folder, said)
    except FileNotFoundError as error:
        raise BadClip(f"{folder} is no episode folder, or half-written: {error.filename} is missing") from error
    except BadVideo as error:
        raise BadClip(f"episode folder {folder}: {error}") from error
    except BadClip as error:
        raise error if str(folder) in str(error) else type(error)(f"{folder}: {error}") from error
    except UNREADABLE as error:
        raise BadClip(f"episode folder {folder} cannot be read ({type(error).__name__}: {error})") from error


def _episode(folder: Path, said: Any) -> Episode:
    check_json(said, _Said)
    if said["format"] != _FORMAT:
        raise BadClip(f"it has format {said['format']}, this version reads those up to {_FORMAT}")
    with np.load(folder / "arrays.npz", allow_pickle=False) as z:
        arrays = {name: z[name] for name in EPISODE_ARRAYS if name in z or name not in OPTIONAL}
        log = StepLog.of({name.removeprefix(LOG): z[name] for name in z.files if name.startswith(LOG)})
    frames = {camera: _frames(folder, camera, said["frames"] == "lossless") for camera in said["cameras"]}
    more = {name: said[name] for name in ("terminated", "truncated", "success", "seed", "task", "rate_hz", "about")}
    recording = SceneRecording.from_bytes((folder / "recording.npz").read_bytes()) if said["recorded"] else None
    return Episode(**arrays, **more, frames=frames, recording=recording, log=log)


def _frames(folder: Path, camera: str, lossless: bool) -> FrameSource:
    if lossless:
        return np.load(_pixels_file(folder, camera), mmap_mode="r", allow_pickle=False)
    from mpr.core.data.video import VideoFrames  # PyAV, in every command that knows episodes

    return VideoFrames(folder / f"{camera}.mp4")


def check_sums(folder: Path) -> None:
    """Raises BadClip naming the first of a folder's files that is missing, torn, changed or not in SHA256SUMS."""
    file = folder / CHECKSUM_FILE
    if not file.is_file():
        raise BadClip(f"{folder} has no {CHECKSUM_FILE}: it is half-written, or older than checksums")
    try:
        listed = read_sums(folder)
    except ValueError as error:
        raise BadClip(f"{file.parent}: {error}") from error
    for name, wanted in listed.items():
        if not (folder / name).is_file():
            raise BadClip(f"{folder} lacks {name}, which {CHECKSUM_FILE} lists: lost, or half-written")
        if sha256(folder / name) != wanted:
            raise BadClip(f"{folder / name} is torn, or was changed since it was written: its checksum is another")
    ours = {found.name for found in folder.iterdir() if found.suffix in (".npz", ".npy", ".json", ".mp4")}
    if ours - set(listed):
        raise BadClip(
            f"{folder / min(ours - set(listed))} is not listed in {CHECKSUM_FILE}: added, or the list is torn"
        )


def _write_video(file: Path, camera: str, frames: FrameSource, times: NDArray[np.float64]) -> None:
    from mpr.core.data.video import write_video

    write_video(file, _alike(camera, frames), times)


def _write_pixels(file: Path, camera: str, frames: FrameSource) -> None:
    written = np.lib.format.open_memmap(file, "w+", np.uint8, (len(frames), *frames[0].shape))
    for t, image in enumerate(_alike(camera, frames)):
        written[t] = image
    written.flush()


def _alike(camera: str, frames: FrameSource) -> Iterator[NDArray[np.uint8]]:
    """The encoder would scale an image of another size, and say nothing."""
    shape = frames[0].shape
    for t in range(len(frames)):
        image = frames[t]
        if image.shape != shape or image.dtype != np.uint8:
            raise BadClip(f"camera {camera}: image {t} is {image.shape} {image.dtype}, the first {shape} uint8")
        yield image


def _pixels_file(folder: Path, camera: str) -> Path:
    return folder / f"frames_{camera}.npy"
