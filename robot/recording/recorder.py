"""The episodes of a session on disk: each is whole, flushed and checksummed before the next begins.

    ROOT/episode_000000/   mpr.core.data.episode's folder, written beside and renamed
    ROOT/episodes.jsonl    a line an episode, for people and tables

The truth is in the folders: the log is mended from them, and its last line may be torn. It only adds the numbers that
were given to folders since removed: no number is given twice. Knows no arm and no camera.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import check_filmable, frame_size, save_episode
from mpr.core.data.video import VideoFrames
from mpr.core.errors import NO_ROOM, BadClip, UserError
from mpr.core.json_files import check_json, parsed
from mpr.core.runs import free_bytes, own, write_atomic
from robot.hardware.camera import CameraFeatures
from robot.recording.recorded import load_recorded

_PREFIX = "episode_"
LOG = "episodes.jsonl"
STEP_BYTES = 8192  # of a step beside its images: states, actions, times, a frame's heads
_SPARE = 1_000_000  # bytes: checksums, the log, the folder itself


class DiskFull(UserError):
    """No room for an episode: how many bytes it may need and how many are free."""

    reason = "disk full"


def episode_folder(root: Path, number: int) -> Path:
    """Where episode `number` lies below `root`."""
    return Path(root) / f"{_PREFIX}{number:06d}"


def episode_folders(root: Path) -> dict[int, Path]:
    """All that is called episode_NUMBER right below `root`, whole or not, by number."""
    found = {p: re.fullmatch(rf"{_PREFIX}(\d+)", p.name) for p in Path(root).glob(f"{_PREFIX}*")}
    return dict(sorted((int(match[1]), path) for path, match in found.items() if match))


def close_videos(episode: Episode) -> None:
    """Let go of its decoders; they open again when asked. Each holds some ten megabytes."""
    for frames in episode.frames.values():
        if isinstance(frames, VideoFrames):
            frames.close()


def most_bytes(steps: int, sizes: Mapping[str, tuple[int, int]]) -> int:
    """What an episode of so many actions, seen in images of these heights and widths, takes on disk at most.

    H.264 writes no block larger than raw 4:2:0: 1.5 bytes a pixel, in blocks of 16 x 16. Usual images take a tenth.
    """
    pixels = sum(-(-height // 16) * -(-width // 16) * 256 for height, width in sizes.values())
    return _SPARE + (steps + 1) * (STEP_BYTES + int(1.55 * pixels))


class Recorder:
    """Adds episodes to a folder, one process at a time. Raises UserError where another process records there.

    Opening it reads every episode there is. One that is damaged is named and left as it is; what a killed process left
    half-written was in no listing, is named and removed.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        own(self.root)
        self.leftovers = _remove_leftovers(self.root)  # names: numbers of episodes that were being saved
        self.whole: dict[int, Path] = {}
        self.damaged: dict[int, str] = {}  # number -> one line
        self._rows, torn = _read_log(self.root / LOG)
        for number, folder in episode_folders(self.root).items():
            try:
                episode = load_recorded(folder, verify=True)
            except BadClip as error:
                self.damaged[number] = str(error)
                continue
            self.whole[number], row = folder, _row(number, folder, episode)
            torn |= self._rows.get(number) != row
            self._rows[number] = row
        if torn:
            write_atomic(self.root / LOG, "".join(json.dumps(row) + "\n" for _, row in sorted(self._rows.items())))

    @property
    def next_number(self) -> int:
        """Above all numbers there are, and all that the log has ever named."""
        return 1 + max([-1, *episode_folders(self.root), *self._rows])

    def report(self) -> list[str]:
        """What is there, in lines for the screen."""
        marked = sum(self._rows[number]["success"] for number in self.whole)
        lines = [f"{self.root}: {len(self.whole)} episodes, {marked} of them successes; the next is {self.next_number}"]
        lines += [f"{name} was half-written when its process ended: removed" for name in self.leftovers]
        return lines + [f"episode {n} is damaged and left out: {why}" for n, why in self.damaged.items()]

    def check_room(self, steps: int, cameras: Iterable[CameraFeatures]) -> None:
        """To be called before an episode of at most so many steps begins.

        Raises DiskFull where it might not fit, BadClip for a camera whose images cannot be kept.
        """
        sizes = {camera.name: (camera.height, camera.width) for camera in cameras}
        check_filmable(sizes)
        needed, free = most_bytes(steps, sizes), free_bytes(self.root)
        if free < needed:
            what = f"an episode of {steps} steps seen by {', '.join(sizes) or 'no camera'}"
            raise DiskFull(f"{self.root} has {_mb(free)} free, {what} may need {_mb(needed)}: free some space")

    def save(self, episode: Episode) -> Path:
        """Write an episode under the next number. When this returns, it is on disk, closed and checksummed.

        Raises DiskFull, with nothing of it left and the same number next; BadClip as `save_episode` does.
        """
        number = self.next_number
        folder = episode_folder(self.root, number)
        try:
            save_episode(episode, folder)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            shutil.rmtree(folder, ignore_errors=True)  # refused is refused
            sizes = {camera: frame_size(frames[0]) for camera, frames in episode.frames.items()}
            raise DiskFull(
                f"episode {number} is not saved: {self.root} has {_mb(free_bytes(self.root))} free, it may need "
                f"{_mb(most_bytes(len(episode), sizes))}; the {len(self.whole)} before it are whole. Free some "
                "space"
            ) from error
        self.whole[number] = folder
        self._rows[number] = _row(number, folder, episode)
        self._log(self._rows[number])
        return folder

    def _log(self, row: Mapping[str, Any]) -> None:
        try:
            with (self.root / LOG).open("a") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in NO_ROOM:  # the episode is whole: the log is mended from it when there is room
                raise


def _remove_leftovers(root: Path) -> list[str]:
    """Only this recorder writes here: whoever wrote these is gone."""
    names = []
    for left in sorted(root.glob(".episode*.tmp")):
        names.append(left.name.split(".")[1])
        shutil.rmtree(left)
    return names


class _Line(TypedDict):
    """What a line of the log is asked for."""

    episode: int
    success: bool


def _read_log(file: Path) -> tuple[dict[int, dict[str, Any]], bool]:
    """Rows by their episode's number, and whether there was a line that is none."""
    rows, torn = {}, False
    lines = file.read_bytes().split(b"\n") if file.exists() else [b""]
    for line in lines[:-1]:
        try:
            row = parsed(line)
            check_json(row, _Line)
            rows[row["episode"]] = row
        except ValueError:
            torn = True
    return rows, torn or lines[-1] != b""


def _row(number: int, folder: Path, episode: Episode) -> dict[str, Any]:
    return {
        "episode": number,
        "task": episode.task,
        "success": bool(episode.success),
        "steps": len(episode),
        "seconds": round(float(episode.times[-1] - episode.times[0]), 3),
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
    }


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
