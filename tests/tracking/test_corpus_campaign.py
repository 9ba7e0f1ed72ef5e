"""Two hundred actions, ten of them spoiled, tracked by both engines while workers and the command itself are killed.
Takes minutes: run with --slow."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import clip_folders, load_clip
from mpr.core.data.video import VideoFrames, write_video
from tests.apart import apart
from tests.core.test_video import patched
from tests.tracking.test_corpus import contents, entry, sound, tracked
from tracking.sources.manifest import Entry, write_manifest

pytestmark = pytest.mark.slow
GOOD, SECONDS = 190, 1.2
REFUSED = {"truncated", "no_frames", "sound", "text_called_mp4", "one_frame", "a_folder", "rate_30000"}
SHORT = {"large", "rate_30000"}  # over before the good one's box was drawn


def action(clip_folder: Path) -> Entry:
    """The start of a synthetic clip, with a box around its object on the frame that shows most of it."""
    clip = load_clip(clip_folder)
    shown = range(int(np.searchsorted(clip.times, SECONDS)))
    at = max(shown, key=lambda t: int(clip.masks[t].sum()))
    y, x = np.nonzero(clip.masks[at])
    box = [int(v) for v in (x.min(), y.min(), x.max(), y.max())]
    extra = {"box": box, "box_s": float(clip.times[at])}
    return entry(clip_folder / "frames.mp4", clip_folder.name, stop_s=SECONDS, extra=extra)


def spoiled(root: Path, good: Entry) -> list[Entry]:
    """Ten videos made of a good one."""
    video = VideoFrames(Path(good.video))
    frames = [video[t] for t in range(15)]
    times = video.times[:15]
    x0, y0, x1, y1 = good.extra["box"]
    side = frames[0].shape[0]

    def turn(data: bytearray, at: int) -> None:
        data[at + 40 : at + 76] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)

    whole = Path(good.video).read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    write_video(root / "no_frames.mp4", iter(()), np.array([0.0, 0.1]))
    sound(root / "sound.mp4")
    (root / "text_called_mp4.mp4").write_text("microwave")
    write_video(root / "one_frame.mp4", iter(frames[:1]), times[:1])
    (root / "a_folder.mp4").mkdir()
    write_video(root / "rate_30000.mp4", iter(frames), np.arange(15) / 30000)
    write_video(root / "upright.mp4", iter(frames), times)
    patched(root / "upright.mp4", b"tkhd", turn).rename(root / "rotated.mp4")
    large = (cv2.resize(frame, (3840, 2160)) for frame in frames[:8])
    write_video(root / "large.mp4", large, times[:8])
    shutil.copy(good.video, root / "Mikrowelle öffnen 微波炉.mp4")
    grown = [v * f for v, f in zip((x0, y0, x1, y1), (3840 / side, 2160 / side) * 2, strict=True)]
    turned = [side - 1 - y1, x0, side - 1 - y0, x1]
    boxes = {"large": grown, "rotated": turned}
    names = ["truncated", "no_frames", "sound", "text_called_mp4", "one_frame", "a_folder", "rate_30000", "rotated"]
    names += ["large", "Mikrowelle öffnen 微波炉"]
    return [
        dataclasses.replace(
            good,
            uid=f"bad_{number}_{name}" if name.isascii() else f"bad_{number}",
            video=str(root / f"{name}.mp4"),
            extra={"box": boxes.get(name, good.extra["box"]), "box_s": 0.0 if name in SHORT else good.extra["box_s"]},
        )
        for number, name in enumerate(names)
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("campaign")
    assert mpr(["synth", "--clips", str(GOOD), "--seed", "40000", "--workers", "2", "--out", str(root / "synth")]) == 0
    entries = [action(folder) for folder in clip_folders(root / "synth")]
    for at, bad in enumerate(spoiled(root, entries[0])):
        entries.insert(17 * at + 3, bad)
    write_manifest(root / "manifest.jsonl", entries)
    return root


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "whole"
    assert mpr(tracked(corpus, out, "--workers", "2")) == 0
    return out


def reasons(out: Path) -> dict[str, str]:
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return {row["uid"]: f"{row['reason']}: {row['message']}" for row in rows if "reason" in row}


def test_all_that_can_be_read_is_there_and_the_rest_is_named(corpus: Path, whole: Path) -> None:
    named = reasons(whole)
    print(json.dumps(named, indent=1, ensure_ascii=False))
    assert {uid.split("_", 2)[2] for uid in named} == REFUSED
    there = {folder.name for folder in clip_folders(whole / "clips")}
    assert len([name for name in there if not name.startswith("bad")]) == GOOD and len(there) == 200 - len(REFUSED)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_kill_9_of_workers_and_of_the_command_changes_nothing(
    corpus: Path, whole: Path, tmp_path: Path, engine: str
) -> None:
    """Three workers and two commands are killed along the way; then it is left to end."""
    asked = tracked(corpus, tmp_path / "out", "--workers", "2", "--engine", engine)
    chance = random.Random(0)
    done = 0
    for _ in range(2):
        command = psutil.Popen([sys.executable, "-m", "mpr.cli", *asked], stderr=subprocess.DEVNULL)
        for kills in range(3):
            wait_for_clips(tmp_path / "out", done + 12 * (kills + 1), command)
            if kills < 2:
                os.kill(chance.choice(workers_of(command, engine)), signal.SIGKILL)
        command.kill()
        command.wait()
        time.sleep(3)
        done = len(list((tmp_path / "out").glob("clips/*/clip.json")))
        assert done < 190, "it was killed before the end"
    assert apart(mpr, asked) == 0
    assert contents(tmp_path / "out") == contents(whole)
    assert reasons(tmp_path / "out") == reasons(whole)


def wait_for_clips(out: Path, count: int, command: psutil.Popen) -> None:
    until = time.monotonic() + 300
    while len(list(out.glob("clips/*/clip.json"))) < count and time.monotonic() < until:
        assert command.poll() is None, "it ended before it was killed"
        time.sleep(0.05)


def workers_of(command: psutil.Popen, engine: str) -> list[int]:
    """Of a pool, or Ray's, whose titles begin so; not Ray's agents, with which its whole machine goes down."""
    found = []
    for process in psutil.Process(command.pid).children(recursive=True):
        line = process.cmdline() or [""]
        of_ray = line[0].startswith("ray::") and "Agent" not in line[0]
        if of_ray if engine == "ray" else any("spawn_main" in word for word in line):
            found.append(process.pid)
    assert found
    return found
