"""Clip folders: what is read is what was written; half-written, damaged and truncated ones are refused by name."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from mpr.core.data.clip import ClipSource, Square, TrackedClip, TrackSegment
from mpr.core.data.clip_folder import clip_folders, load_clip, save_clip, save_tracks
from mpr.core.errors import BadClip, UserError

SIZE, T, N = 256, 6, 9
CORNER, TRACKER = Square(-3.5, 2.25, 41.0), "exact, privileged"


def some_clip(seed: int = 0) -> TrackedClip:
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.integers(0, 255, (T, SIZE // 8, SIZE // 8, 3), np.uint8), 8, 1).repeat(8, 2)
    segments = []
    for start, stop in ((0, 2), (2, 5)):
        points = rng.uniform(0, SIZE, (stop - start + 1, N, 2)).astype(np.float32)
        visible = rng.random(points.shape[:2]) < 0.8
        points[~visible] = np.nan
        segments.append(TrackSegment(start, points, visible))
    source = ClipSource("synth", f"clip{seed}", 0.0, 0.6, "open", "none", "drawn", TRACKER, extra={"hinge": "left"})
    times = np.array([0, 0.1, 0.19, 0.3, 0.42, 0.5])
    masks = list(rng.random((T, SIZE, SIZE)) < 0.3)
    return TrackedClip(frames, masks, tuple(segments), times, 10.0, CORNER, source)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path):
    save_clip(some_clip(), tmp_path / "clip")
    return tmp_path / "clip"


def test_a_clip_comes_back_as_it_was(folder):
    clip, back = some_clip(), load_clip(folder, verify=True)
    assert (back.source, back.crop, back.rate_hz) == (clip.source, clip.crop, clip.rate_hz)
    assert np.array_equal(back.times, clip.times)
    for t in range(T):
        assert np.array_equal(back.masks[t], clip.masks[t])
        assert np.abs(back.frames[t].astype(int) - clip.frames[t]).mean() < 8  # H.264 4:2:0
    for a, b in zip(back.segments, clip.segments, strict=True):
        assert a.start == b.start and np.array_equal(a.visible, b.visible)
        assert np.array_equal(a.points, b.points, equal_nan=True)


def test_the_same_clip_is_the_same_bytes(folder, tmp_path):
    save_clip(some_clip(), tmp_path / "again")
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_masks_are_read_one_at_a_time(folder):
    assert not any(isinstance(value, np.ndarray) for value in load_clip(folder).masks.__dict__.values())


def test_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError):
        save_clip(some_clip(), tmp_path / "clip")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["clip.json", "frames.mp4", "masks.npz", "tracks.npz"])
def test_a_half_written_folder_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(BadClip, match="half-written") as error:
        load_clip(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("keep", [0, 1, 40, 0.5, -30])
@pytest.mark.parametrize("name", ["clip.json", "tracks.npz"])
def test_a_truncated_file_is_refused(folder, name, keep):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(BadClip, match=r"clip folder .* cannot be read"):
        load_clip(folder)


def test_truncated_masks_are_refused_when_read(folder):
    data = (folder / "masks.npz").read_bytes()
    (folder / "masks.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadClip, match=r"masks\.npz"):
        load_clip(folder).masks[3]


@pytest.mark.parametrize("name", ["masks.npz", "tracks.npz"])
def test_an_array_whose_header_breaks_off_is_refused(folder, name):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,\n"
    with zipfile.ZipFile(folder / name, "w") as arrays:
        for member in ("000000.npy", "times.npy"):
            arrays.writestr(member, b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    with pytest.raises(BadClip, match=name):
        load_clip(folder).masks[0]


@pytest.mark.parametrize("name", ["frames.mp4", "masks.npz", "tracks.npz"])
def test_one_changed_byte_is_found_when_asked_to_verify(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BadClip, match=f"damaged: {name}"):
        load_clip(folder, verify=True)


@pytest.mark.parametrize(
    "change", [lambda a: a.pop("source"), lambda a: a.pop("sha256"), lambda a: a.update(format=99), lambda a: a.clear()]
)
def test_a_clip_json_of_another_kind_is_refused(folder, change):
    about = json.loads((folder / "clip.json").read_text())
    change(about)
    (folder / "clip.json").write_text(json.dumps(about))
    with pytest.raises(BadClip, match="clip folder"):
        load_clip(folder)
    (folder / "clip.json").write_text("[1, 2]")
    with pytest.raises(BadClip, match="clip folder"):
        load_clip(folder)


@pytest.mark.parametrize("shape", [(128, 128), (256, 255), (512, 512)])
def test_masks_of_another_size_than_the_crop_are_neither_written_nor_read(folder, tmp_path, shape):
    """Points would be asked for on other pixels than they lie on: other scores, without a word."""
    odd = dataclasses.replace(load_clip(folder), masks=[np.zeros(shape, bool)] * T)
    with pytest.raises(BadClip, match=r"mask 0 is \(.*\), the crop 256 x 256"):
        save_clip(odd, tmp_path / "odd")
    assert not (tmp_path / "odd").exists()
    about = json.loads((folder / "clip.json").read_text()) | {"mask_shape": list(shape)}
    (folder / "clip.json").write_text(json.dumps(about))
    with pytest.raises(BadClip, match=r"its masks are .*, a clip's are 256 x 256"):
        load_clip(folder)


def test_nan_tracks_are_refused_naming_the_folder(folder):
    clip = some_clip()
    save_clip(clip, folder)
    with np.load(folder / "tracks.npz") as z:
        arrays = dict(z)
    arrays["points_1"][:] = np.nan
    np.savez_compressed(folder / "tracks.npz", **arrays)
    with pytest.raises(BadClip, match="NaN") as error:
        load_clip(folder)
    assert str(folder) in str(error.value)


def test_other_tracks_leave_everything_else_byte_for_byte(folder, tmp_path):
    (segment,) = (TrackSegment(0, np.ones((T, 4, 2), np.float32), np.ones((T, 4), bool)),)
    save_tracks(folder, tmp_path / "other", [segment], "another tracker")
    for name in ("frames.mp4", "masks.npz"):
        assert (tmp_path / "other" / name).read_bytes() == (folder / name).read_bytes()
    clip = load_clip(tmp_path / "other", verify=True)
    assert clip.source.tracker == "another tracker" and clip.source.uid == "clip0"
    assert np.array_equal(clip.segments[0].points, segment.points) and len(clip.segments) == 1
    assert load_clip(folder, verify=True).source.tracker == TRACKER
    with pytest.raises(BadClip, match="segment"):
        save_tracks(folder, tmp_path / "short", [TrackSegment(0, segment.points[:3], segment.visible[:3])], "x")
    assert not (tmp_path / "short").exists()


def test_only_whole_folders_are_clips(folder, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / ".clip.1.tmp").mkdir()
    (tmp_path / ".clip.1.tmp" / "clip.json").write_text("{}")
    assert clip_folders(tmp_path) == [folder]
    with pytest.raises(UserError, match="no clips"):
        clip_folders(tmp_path / "half")
