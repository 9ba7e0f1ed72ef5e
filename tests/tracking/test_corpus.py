"""A manifest's actions: tracked once, whatever is spoiled among them, by one process or several."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import clip_folders, load_clip
from mpr.core.data.video import write_video
from tests.apart import apart
from tests.tracking.moving_scenes import shifted, texture
from tracking.sources.manifest import Entry, write_manifest

H, W, FRAMES, RATE = 96, 160, 10, 10.0


def video(path: Path, seed: int = 0, frames: int = FRAMES, rate: float = RATE) -> Path:
    """A textured patch slides over another texture."""
    ground, thing = texture(seed, H + 40, W + 40), texture(seed + 1000, 40, 48)[..., ::-1]

    def frame_at(t: int) -> np.ndarray:
        image = shifted(ground, 0, 0, H, W)
        image[30:70, 30 + 3 * t % 60 : 78 + 3 * t % 60] = thing
        return image

    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (frame_at(t) for t in range(frames)), np.arange(frames) / rate)
    return path


def sound(path: Path) -> Path:
    """A second of silence, and no image."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path


def entry(path: Path, uid: str, **other) -> Entry:
    values = {"start_s": 0.0, "stop_s": 100.0, "extra": {"box": [26, 26, 82, 74]}} | other
    return Entry(
        "toy", uid, str(path), narration="slide it", verb="slide", noun="it", licence="none", group=uid, **values
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """manifest.jsonl of three good actions and as many kinds of bad ones as one can think of."""
    root = tmp_path_factory.mktemp("corpus")
    good = [entry(video(root / f"good_{k}.mp4", k), f"good_{k}") for k in range(2)]
    good.append(entry(video(root / "ünüsual näme.mp4", 7), "unusual"))
    whole = (root / "good_0.mp4").read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (root / "empty.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("not a video")
    video(root / "one_frame.mp4", frames=1)
    sound(root / "sound.mp4")
    bad = [
        entry(root / f"{name}.mp4", name) for name in ("truncated", "empty", "text", "one_frame", "sound", "missing")
    ]
    bad.append(entry(root / "good_0.mp4", "no_box", extra={}))
    bad.append(entry(root / "good_0.mp4", "far_box", extra={"box": [900, 900, 950, 950]}))
    bad.append(entry(root / "good_0.mp4", "late", start_s=50.0))
    write_manifest(root / "manifest.jsonl", [*bad[:4], *good, *bad[4:]])
    return root


def tracked(corpus: Path, out: Path, *more: str) -> list[str]:
    return ["track", "--manifest", str(corpus / "manifest.jsonl"), "--overlay", "false", *more, "--out", str(out)]


def contents(out: Path) -> dict[str, str]:
    files = [file for file in (out / "clips").rglob("*") if file.is_file()]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "whole"
    assert mpr(tracked(corpus, out)) == 0
    return out


def test_the_good_are_there_and_the_bad_are_named(whole: Path) -> None:
    assert [folder.name for folder in clip_folders(whole / "clips")] == ["good_0", "good_1", "unusual"]
    rows = {row["uid"]: row for row in map(json.loads, (whole / "metrics.jsonl").read_text().splitlines())}
    reasons = {uid: row["reason"] for uid, row in rows.items() if "reason" in row}
    videos = dict.fromkeys(("truncated", "empty", "text", "one_frame", "sound", "missing"), "bad video")
    assert reasons == {**videos, "no_box": "no box", "far_box": "refused", "late": "refused"}
    for uid, word in {
        "truncated": "truncated.mp4",
        "one_frame": "one frame",
        "sound": "no video stream",
        "missing": "not exist",
    }.items():
        assert word in rows[uid]["message"] and "details" not in rows[uid]
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["clips"] == 3 and summary["left_out"] == {"bad video": 6, "refused": 2, "no box": 1}
    clip = load_clip(whole / "clips" / "good_0", verify=True)
    assert clip.source.licence == "none" and clip.source.group == "good_0" and clip.source.narration == "slide it"
    quality = rows["good_1"]["clips"][0]["quality"]
    assert quality["motion"] > 1 and quality["background_left"] < 0.5


def test_nothing_is_done_twice_and_what_changed_is_done_again(corpus: Path, whole: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "corpus", tmp_path / "out"
    shutil.copytree(corpus, mine)
    entries = [entry(mine / f"good_{k}.mp4", f"good_{k}") for k in range(2)]
    write_manifest(mine / "manifest.jsonl", entries)
    assert mpr(tracked(mine, out)) == 0
    stamps = {folder.name: (folder / "clip.json").stat().st_mtime_ns for folder in clip_folders(out / "clips")}

    def redone() -> set[str]:
        assert mpr(tracked(mine, out)) == 0
        now = {folder.name: (folder / "clip.json").stat().st_mtime_ns for folder in clip_folders(out / "clips")}
        found = {name for name in now if now[name] != stamps.get(name)}
        stamps.update(now)
        return found

    assert redone() == set()
    video(mine / "good_1.mp4", 5)  # another video under the same name
    assert redone() == {"good_1"}
    shutil.rmtree(out / "clips" / "good_0")
    assert redone() == {"good_0"}
    (out / "clips" / "good_0" / "frames.mp4").unlink()
    (out / "clips" / "good_1" / "tracks.npz").write_bytes(b"torn")
    assert redone() == {"good_0", "good_1"}
    write_manifest(mine / "manifest.jsonl", [entries[0], entry(mine / "good_1.mp4", "good_1", stop_s=0.7)])
    assert redone() == {"good_1"}
    video(mine / "later.mp4", 6)
    write_manifest(
        mine / "manifest.jsonl", [*entries, entry(mine / "later.mp4", "later"), entry(mine / "no.mp4", "no")]
    )
    assert redone() == {"good_1", "later"}
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_run_that_is_done_again_is_not_complete_before_it_is(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, out = tmp_path / "corpus", tmp_path / "out"
    shutil.copytree(corpus, mine)
    write_manifest(mine / "manifest.jsonl", [entry(mine / "good_0.mp4", "good_0")])
    asked = ["track", "--manifest", str(mine / "manifest.jsonl"), "--out", str(out)]
    assert mpr(asked) == 0 and len(list((out / "overlays").iterdir())) == 2
    video(mine / "good_0.mp4", 5)

    def killed(folder: Path, aside: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracking.clips.actions.put_aside", killed)
    assert mpr(asked) == 130
    assert not (out / "summary.json").exists()
    assert not list((out / "overlays").iterdir()), "of the old video: they would stay beside the new clip"
    monkeypatch.undo()
    (mine / "good_0.mp4").write_bytes(b"")
    assert mpr(asked) == 2 and not (out / "summary.json").exists()


@pytest.mark.parametrize("line", [{"video": "x\0.mp4"}, {"video": "\ud800.mp4"}, {"stop_s": 10**400}])
def test_a_line_that_names_no_file_or_time_is_refused_with_its_place(
    line: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = dataclasses.asdict(entry(tmp_path / "none.mp4", "none")) | line
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    assert mpr(tracked(tmp_path, tmp_path / "out")) == 2
    error = capsys.readouterr().err.strip()
    assert "manifest.jsonl, line 1" in error and "\n" not in error


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_killed_with_its_workers_it_goes_on_and_ends_the_same(
    corpus: Path, whole: Path, tmp_path: Path, engine: str
) -> None:
    asked = tracked(corpus, tmp_path / "out", "--workers", "2", "--engine", engine)
    command = subprocess.Popen([sys.executable, "-m", "mpr.cli", *asked])
    until = time.monotonic() + 120
    while not list((tmp_path / "out").glob("clips/*/clip.json")) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    time.sleep(3)  # workers end with it
    assert apart(mpr, asked) == 0
    assert contents(tmp_path / "out") == contents(whole)
    rows = [json.loads(line)["uid"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(rows) == sorted(set(rows)) and len(rows) == 12


def test_long_actions_are_cut(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", [entry(video(tmp_path / "long.mp4", frames=18), "long")])
    assert mpr(tracked(tmp_path, tmp_path / "out", "--longest", "1")) == 0
    clips = [load_clip(folder) for folder in clip_folders(tmp_path / "out" / "clips")]
    assert [clip.source.uid for clip in clips] == ["long~0", "long~1"]
    assert clips[0].source.start_s == 0 and clips[1].source.stop_s == pytest.approx(1.7)
    assert clips[0].source.stop_s == clips[1].source.start_s, "no transition is lost or shown twice"
    write_manifest(tmp_path / "manifest.jsonl", [entry(tmp_path / "long.mp4", "long", stop_s=0.5)])
    assert mpr(tracked(tmp_path, tmp_path / "out", "--longest", "1")) == 0
    assert [folder.name for folder in clip_folders(tmp_path / "out" / "clips")] == ["long"], "for training to find"
    assert sorted(p.name for p in (tmp_path / "out" / "put_aside").iterdir()) == ["long~0", "long~1"]


def test_wrong_requests_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(tmp_path / "manifest.jsonl", [entry(tmp_path / "none.mp4", "none")])
    asked = tracked(tmp_path, tmp_path / "out")
    for more, words in (
        (["--clips", str(tmp_path)], "give one of"),
        (["--workers", "0"], "at least 1"),
        (["--engine", "abacus"], "there is local, ray"),
        (["--threshold", "nan"], "--threshold 'nan': a number is needed"),
        ([], "none of the 1 actions gave a clip; most often: video"),
    ):
        assert mpr([*asked, *more]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert words in error
    assert mpr([*asked, "--dry-run"]) == 0 and "videos that are there" in capsys.readouterr().out
