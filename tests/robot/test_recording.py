"""Episodes on disk: whole or not at all, whatever happens to the process, the disk or a byte."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpr.core.checksums import CHECKSUM_FILE
from mpr.core.data.episode_folder import load_episode, save_episode
from mpr.core.errors import BadClip
from robot.hardware.camera import CameraFeatures
from robot.recording.recorder import DiskFull, Recorder, episode_folders, most_bytes
from tests.toy_robot_episodes import robot_episode, same_arrays, texture

CAMERAS = ("world", "wrist")
WORLD = CameraFeatures("world", 480, 640, 30.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "episode"
    save_episode(robot_episode(cameras=CAMERAS), folder)
    return folder


def misuse(*arguments: str) -> dict[str, int]:
    """In a process of its own: it forks, and is killed."""
    command = [sys.executable, "-m", "tests.toy_robot_episodes", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# The folder of an episode


def test_an_episode_keeps_its_numbers_exactly_and_its_images_in_their_places(saved):
    made, loaded = robot_episode(cameras=CAMERAS), load_episode(saved, verify=True)
    assert same_arrays(made, loaded) and loaded.success and loaded.terminated and not loaded.truncated
    assert sorted(loaded.frames) == sorted(CAMERAS)
    for camera, frames in loaded.frames.items():
        assert len(frames) == len(made) + 1
        for t in range(len(frames)):
            off = [np.abs(frames[t].astype(int) - made.frames[camera][i]).mean() for i in range(len(frames))]
            assert np.argmin(off) == t and off[t] < np.sort(off)[1] / 3, "each image is its own, and no other's"
        np.testing.assert_allclose(frames.times, made.times - made.times[0], atol=1e-5)  # pyright: ignore


def test_how_much_the_codec_takes(tmp_path):
    """As the docstring of save_episode has it."""
    y = np.random.default_rng(0).integers(0, 256, (6, 96, 128, 3), np.uint8)
    frames = {"texture": np.stack([texture(0, t, 96, 128) for t in range(6)]), "noise": y}
    save_episode(robot_episode(frames=frames), tmp_path / "e")
    loaded = load_episode(tmp_path / "e").frames
    off = {c: np.mean([np.abs(loaded[c][t].astype(int) - frames[c][t]).mean() for t in range(6)]) for c in frames}
    assert 1 < off["texture"] < 6 and 40 < off["noise"] < 50, off


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this machine")
def test_the_checksums_are_those_of_sha256sum(saved):
    done = subprocess.run(["sha256sum", "-c", CHECKSUM_FILE], cwd=saved, capture_output=True, text=True, check=True)
    there = {p.name for p in saved.iterdir()} - {CHECKSUM_FILE}
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == there and len(there) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames": {"world": np.zeros((6, 48, 63, 3), np.uint8)}}, "camera world: images of 63 x 48 .* even"),
        ({"frames": {"world": np.zeros((5, 48, 64, 3), np.uint8)}}, "need 6 frames of camera world, got 5"),
        ({"frames": {"../up": np.zeros((6, 48, 64, 3), np.uint8)}}, "a camera cannot be called '../up'"),
        ({"frames": {"world": [texture(0, 0)] * 5 + [texture(0, 0, 24)]}}, r"world: image 5 is \(24, 64, 3\)"),
        ({"frames": {"world": [texture(0, 0)] * 5 + [texture(0, 0) / 255]}}, "image 5 is .* float64"),
        ({"times": np.array([0, 0.1, 0.2, 0.2, 0.3, 0.4])}, "times do not increase"),
    ],
)
def test_images_that_no_video_can_hold_are_refused_and_leave_nothing(tmp_path, changes, says):
    with pytest.raises(BadClip, match=says):
        save_episode(robot_episode(**changes), tmp_path / "e")
    assert not list(tmp_path.iterdir())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_lost_or_added_byte_is_refused_by_name(saved, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("torn") / "e"
    shutil.copytree(saved, folder)
    file = folder / data.draw(st.sampled_from(sorted(p.name for p in saved.iterdir())), "file")
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1), "byte")
    harm = data.draw(st.sampled_from(["cut", "change", "add"]), "harm")
    if harm == "cut":
        del content[at:]
    elif harm == "change":
        content[at] ^= data.draw(st.integers(1, 255), "by")
    else:
        content += data.draw(st.binary(min_size=1, max_size=80), "more")
    file.write_bytes(content)
    with pytest.raises(BadClip) as refusal:
        load_episode(folder, verify=True)
    assert str(folder) in str(refusal.value)
    assert file.name in str(refusal.value) or file.name == CHECKSUM_FILE, refusal.value


@pytest.mark.parametrize("name", ["arrays.npz", "episode.json", "world.mp4", "wrist.mp4"])
def test_a_lost_file_and_one_that_is_not_listed_are_refused_by_name(saved, tmp_path, name):
    shutil.copytree(saved, tmp_path / "lost")
    (tmp_path / "lost" / name).unlink()
    for verify in (False, True):
        with pytest.raises(BadClip, match=name.replace(".", r"\.")):
            load_episode(tmp_path / "lost", verify)
    shutil.copytree(saved, tmp_path / "cut")
    lines = (saved / CHECKSUM_FILE).read_text().splitlines(keepends=True)
    (tmp_path / "cut" / CHECKSUM_FILE).write_text("".join(line for line in lines if name not in line))
    with pytest.raises(BadClip, match=f"{name} is not listed"):
        load_episode(tmp_path / "cut", verify=True)


# The recorder


def test_numbers_go_up_and_no_number_is_given_twice(tmp_path):
    recorder = Recorder(tmp_path)
    assert [recorder.save(robot_episode(n)).name for n in range(3)] == [f"episode_00000{n}" for n in range(3)]
    shutil.rmtree(tmp_path / "episode_000002")  # by hand
    (tmp_path / "episode_000007").mkdir()  # by whom?
    again = Recorder(tmp_path)
    assert list(again.whole) == [0, 1] and "episode_000007 has no SHA256SUMS" in again.damaged[7]
    assert again.save(robot_episode(3, cameras=())).name == "episode_000008"
    shutil.rmtree(tmp_path / "episode_000008")
    assert Recorder(tmp_path).next_number == 9
    assert not list((tmp_path / "episode_000007").iterdir()), "left as it is"


def test_what_is_there_is_said(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.save(robot_episode(0))
    recorder.save(robot_episode(1, success=False))
    torn = recorder.save(robot_episode(2)) / "world.mp4"
    torn.write_bytes(torn.read_bytes()[:-100])
    (tmp_path / ".episode_000003.99999999.tmp").mkdir()
    (tmp_path / ".episode_000003.99999999.tmp" / "arrays.npz").write_bytes(b"half")
    first, left, damaged = (again := Recorder(tmp_path)).report()
    assert first.endswith("2 episodes, 1 of them successes; the next is 3")
    assert left == "episode_000003 was half-written when its process ended: removed"
    assert damaged.startswith("episode 2 is damaged and left out") and "world.mp4 is torn" in damaged
    assert not list(tmp_path.glob(".episode*")) and torn.exists() and again.next_number == 3
    assert same_arrays(load_episode(episode_folders(tmp_path)[0], verify=True), robot_episode(0))


@pytest.mark.parametrize("harm", ["torn", "lost", "changed", "no rows"])
def test_the_log_is_mended_from_the_folders(tmp_path, harm):
    recorder, log = Recorder(tmp_path), tmp_path / "episodes.jsonl"
    for n in range(3):
        recorder.save(robot_episode(n, success=n != 1))
    whole = log.read_text()
    assert [json.loads(line)["episode"] for line in whole.splitlines()] == [0, 1, 2]
    harmed = {"torn": whole[:-30], "changed": whole.replace("false", "true"), "no rows": "[]\n{}\n", "lost": ""}
    log.write_text(harmed[harm])
    if harm == "lost":
        log.unlink()
    assert "2 of them successes" in Recorder(tmp_path).report()[0]
    assert log.read_text() == whole


def test_an_episode_that_may_not_fit_is_refused_before_it_begins(tmp_path, monkeypatch):
    recorder, usage = Recorder(tmp_path), shutil.disk_usage(tmp_path)
    recorder.check_room(200, [WORLD])
    with pytest.raises(BadClip, match="camera odd: images of 63 x 48"):
        recorder.check_room(200, [CameraFeatures("odd", 48, 63, 30.0)])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50_000_000))
    with pytest.raises(DiskFull, match=r"has 50\.0 MB free, an episode of 200 steps seen by world may need 98\.4 MB"):
        recorder.check_room(200, [WORLD])
    recorder.check_room(50, [WORLD])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([(16, 16), (48, 64), (34, 50), (96, 130)]), st.integers(1, 12))
def test_no_episode_takes_more_than_was_asked_for(tmp_path_factory, seed, size, steps):
    noise = np.random.default_rng(seed).integers(0, 2, (steps + 1, *size, 3), np.uint8) * 255  # nothing is harder
    folder = tmp_path_factory.mktemp("noise") / "e"
    save_episode(robot_episode(steps=steps, frames={"world": noise}), folder)
    taken = sum(file.stat().st_size for file in folder.iterdir())
    assert taken < most_bytes(steps, {"world": size}) - 900_000, "with hardly anything of what is spare"


# Faults


def test_a_disk_that_fills_up_at_any_flush_loses_nothing_else(tmp_path, monkeypatch):
    recorder, flush = Recorder(tmp_path), os.fsync
    recorder.save(robot_episode(0, cameras=CAMERAS))
    for most in range(20):
        left = [most]

        def full(handle: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            flush(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                recorder.save(robot_episode(1, cameras=CAMERAS))
                break  # only the log could not be written
            except DiskFull as error:
                assert "episode 1 is not saved" in str(error) and "the 1 before it are whole" in str(error)
        assert set(os.listdir(tmp_path)) == {".lock", "episodes.jsonl", "episode_000000"} and recorder.next_number == 1
    assert most == 7, "five files and two folders"
    (again := Recorder(tmp_path)).save(robot_episode(2))
    assert list(again.whole) == [0, 1, 2] and not again.damaged
    assert [json.loads(line)["episode"] for line in (tmp_path / "episodes.jsonl").open()] == [0, 1, 2]


def test_another_error_than_a_full_disk_is_not_called_one(tmp_path, monkeypatch):
    def broken(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    recorder = Recorder(tmp_path)
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        recorder.save(robot_episode())
    assert recorder.next_number == 0


def test_files_that_cannot_grow_are_never_taken_for_whole(tmp_path):
    found = misuse("starve", str(tmp_path))
    assert found["refused"] == found["tried"] > 10


def test_killed_at_every_phase_no_saved_episode_is_lost_or_half_read(tmp_path):
    found = misuse("phases", str(tmp_path))
    assert found["kills"] > 15 and found["leftovers"] > 5 and found["told"] == 1, found


def test_killed_at_random_no_saved_episode_is_lost_or_half_read(tmp_path):
    found = misuse("random", str(tmp_path))
    assert found["told"] > 1 and found["leftovers"] > 0, found
