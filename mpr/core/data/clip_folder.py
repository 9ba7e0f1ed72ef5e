"""Clip folders on disk: frames.mp4, masks.npz, tracks.npz and clip.json, which is written last and holds checksums.

A folder appears under its name only when it is whole; a folder that lost or changed a file is refused by name.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mpr.core.checksums import sha256
from mpr.core.data.clip import CROP_SIZE, ClipSource, Square, TrackedClip, TrackSegment
from mpr.core.data.review import rejected
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UNREADABLE, BadClip, UserError
from mpr.core.json_files import check_json, read_object, shortly
from mpr.core.runs import atomic_folder

_FORMAT = 1
_FILES = ("frames.mp4", "masks.npz", "tracks.npz")  # of every clip folder


class _Formatted(TypedDict):
    format: int


class ClipFile(_Formatted):
    """What clip.json holds."""

    rate_hz: float
    crop: Square
    mask_shape: tuple[int, int]
    source: ClipSource
    sha256: dict[str, str]  # of the files beside it, by name


class StoredMasks:
    """Lazy MaskSource over masks.npz: one bit-packed member a frame."""

    def __init__(self, path: Path, length: int, shape: tuple[int, int]) -> None:
        self.path, self.length, self.shape = path, length, shape

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        h, w = self.shape
        t = range(self.length)[t]
        try:
            with np.load(self.path, allow_pickle=False) as z:
                bits = z[f"{t:06d}"]
                if bits.shape != (-(-h * w // 8),):
                    raise ValueError(f"{bits.size} bytes are no {h} x {w} pixels")
                return np.unpackbits(bits, count=h * w).astype(bool).reshape(h, w)
        except UNREADABLE as error:
            raise BadClip(f"{self.path}: mask {t} cannot be read ({error}); make the clip again") from error


def save_clip(clip: TrackedClip, folder: Path, recording: SceneRecording | None = None) -> None:
    """Write a clip folder, whole or not at all; an existing one is replaced.

    Raises BadClip for masks of another size than the crop's.
    """
    from mpr.core.data.video import write_video  # PyAV, which names and clip.json do without

    with atomic_folder(folder) as temporary:
        write_video(temporary / "frames.mp4", (clip.frames[t] for t in range(len(clip.times))), clip.times)
        with zipfile.ZipFile(temporary / "masks.npz", "w", zipfile.ZIP_DEFLATED) as masks:  # an .npz, mask by mask
            for t in range(len(clip.times)):
                mask = np.asarray(clip.masks[t])
                if mask.shape != (CROP_SIZE, CROP_SIZE):
                    raise BadClip(
                        f"clip {clip.source.uid}: mask {t} is {mask.shape}, the crop {CROP_SIZE} x {CROP_SIZE}"
                    )
                with masks.open(f"{t:06d}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.packbits(mask))
        _write_tracks(temporary, clip.times, clip.segments)
        if recording is not None:
            (temporary / "recording.npz").write_bytes(recording.to_bytes())
        about = {
            "rate_hz": clip.rate_hz,
            "crop": dataclasses.asdict(clip.crop),
            "mask_shape": [CROP_SIZE, CROP_SIZE],
            "source": dataclasses.asdict(clip.source),
        }
        _write_about(temporary, about)


def save_tracks(folder: Path, out: Path, segments: Sequence[TrackSegment], tracker: str) -> None:
    """Write clip folder `folder` again as `out` with other tracks; frames, masks and recording byte for byte.

    Its source's `extra` says what it was made of (`clip_digest`).
    """
    about, tracked_from = clip_info(folder), clip_digest(folder)
    clip = dataclasses.replace(load_clip(folder), segments=tuple(segments))  # refuses segments that do not fit
    with atomic_folder(out) as temporary:
        for name in about["sha256"]:
            if name != "tracks.npz":
                shutil.copyfile(folder / name, temporary / name)
        _write_tracks(temporary, clip.times, clip.segments)
        extra = {**about["source"]["extra"], "tracked_from": tracked_from}
        _write_about(temporary, {**about, "source": {**about["source"], "tracker": tracker, "extra": extra}})


def _write_tracks(folder: Path, times: NDArray, segments: Sequence[TrackSegment]) -> None:
    arrays: dict[str, NDArray] = {"times": times, "starts": np.array([s.start for s in segments])}
    for k, segment in enumerate(segments):
        arrays[f"points_{k}"], arrays[f"visible_{k}"] = segment.points, np.packbits(segment.visible, axis=None)
    np.savez_compressed(folder / "tracks.npz", **arrays)  # type: ignore[arg-type]


def _write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """clip.json, with checksums of all that stands beside it."""
    sums = {f.name: sha256(f) for f in sorted(folder.iterdir())}
    about = {**about, "format": _FORMAT, "sha256": sums}
    (folder / "clip.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def load_clip(folder: Path, verify: bool = False) -> TrackedClip:
    """Open a clip folder; frames and masks stay on disk. `verify` also compares checksums.

    Raises BadClip naming the folder and what is wrong with it.
    """
    about = clip_info(folder)
    for name, digest in about["sha256"].items():
        file = folder / name
        if not file.is_file():
            raise BadClip(f"clip folder {folder} is half-written: {name} is missing; make it again")
        if verify and sha256(file) != digest:
            raise BadClip(f"clip folder {folder} is damaged: {name} is not what was written; make it again")
    try:
        with np.load(folder / "tracks.npz", allow_pickle=False) as z:
            times = z["times"]
            if times.ndim != 1 or times.dtype != np.float64:
                raise ValueError(f"times are {times.shape} {times.dtype}")
            segments = []
            for k, start in enumerate(z["starts"]):
                points = z[f"points_{k}"]
                if points.dtype.kind != "f":
                    raise ValueError(f"points are {points.dtype}")
                s, n = points.shape[:2]
                visible = np.unpackbits(z[f"visible_{k}"], count=s * n).astype(bool).reshape(s, n)
                segments.append(TrackSegment(int(start), points, visible))
    except BadClip as error:
        raise BadClip(f"clip folder {folder}: {error}") from error
    except UNREADABLE as error:
        raise BadClip(f"clip folder {folder}: tracks.npz cannot be read ({error}); make it again") from error
    from mpr.core.data.video import VideoFrames  # PyAV, which names and clip.json do without

    h, w = about["mask_shape"]
    try:
        return TrackedClip(
            frames=VideoFrames(folder / "frames.mp4"),
            masks=StoredMasks(folder / "masks.npz", len(times), (h, w)),
            segments=tuple(segments),
            times=times,
            rate_hz=about["rate_hz"],
            crop=Square(**about["crop"]),
            source=ClipSource(**about["source"]),
        )
    except BadClip as error:
        raise BadClip(f"clip folder {folder}: {error}") from error


def stands(folder: Path, **said: str) -> bool:
    """Whether a clip is there, whole and undamaged, and its source's `extra` says this of it (made_of=digest)."""
    try:
        extra = load_clip(folder, verify=True).source.extra
        return all(extra.get(name) == value for name, value in said.items())
    except (BadClip, AttributeError):
        return False


def clip_digest(folder: Path) -> str:
    """Of all that is in a clip folder: its clip.json holds checksums of the rest. Raises BadClip where it has none."""
    try:
        return sha256(folder / "clip.json")
    except OSError as error:
        raise BadClip(f"{folder} is no clip folder, or half-written: it has no clip.json") from error


def clip_info(folder: Path) -> dict:
    """clip.json of a clip folder (`ClipFile`), without opening anything else. Raises BadClip."""
    try:
        about = read_object(folder / "clip.json", _Formatted)
        if about["format"] != _FORMAT:
            raise BadClip(f"clip folder {folder} has format {about['format']}, this version reads {_FORMAT}")
        check_json(about, ClipFile)
        if names := [name for name in _FILES if name not in about["sha256"]]:
            raise ValueError(f"sha256 does not list {names[0]}")
        if names := [name for name in about["sha256"] if "/" in name or "\0" in name or not 0 < len(name) < 256]:
            raise ValueError(f"sha256 lists {shortly(names[0])}, no file of a clip")
        if about["rate_hz"] <= 0 or about["crop"]["size"] <= 0:
            raise ValueError("its rate or its square is nothing")
        if list(about["mask_shape"]) != [CROP_SIZE, CROP_SIZE]:
            raise ValueError(f"its masks are {about['mask_shape']}, a clip's are {CROP_SIZE} x {CROP_SIZE}")
        return about
    except FileNotFoundError as error:
        raise BadClip(f"{folder} is no clip folder, or half-written: it has no clip.json") from error
    except ValueError as error:
        raise BadClip(f"clip folder {folder}: clip.json cannot be read ({error}); make it again") from error


def load_recording(folder: Path) -> SceneRecording | None:
    """The scene recording of a synthetic clip or episode folder, if it has one."""
    file = folder / "recording.npz"
    return SceneRecording.from_bytes(file.read_bytes()) if file.exists() else None


def clip_folders(root: Path) -> list[Path]:
    """All whole clip folders right below `root` that no person rejected (`mpr.core.data.review`), sorted.

    Raises UserError where there is none.
    """
    out = rejected(root)
    found = [folder for folder in written(root) if folder.name not in out]
    if not found:
        there = f"no clips in {root}{', but rejected ones' if out else ''}"
        raise UserError(f"{there}: make some with `mpr synth --out {root}` or `mpr track`")
    return found


def written(root: Path) -> list[Path]:
    """All clip folders right below `root`, rejected or not, sorted; those that are being written are hidden."""
    return sorted(f.parent for f in Path(root).glob("*/clip.json") if not f.parent.name.startswith("."))


def put_aside(folder: Path, aside: Path) -> None:
    """Move a clip folder into the folder `aside`, where training does not find it, in the place of an older one."""
    shutil.rmtree(aside / folder.name, ignore_errors=True)
    aside.mkdir(parents=True, exist_ok=True)
    folder.replace(aside / folder.name)


def left_aside(aside: Path, made: Sequence[str]) -> list[str]:
    """Names of the clips put aside; those of them that have been made anew are deleted."""
    for name in made:
        shutil.rmtree(aside / name, ignore_errors=True)
    return sorted(folder.name for folder in aside.glob("*"))
