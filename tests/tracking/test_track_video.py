"""Re-timing, and `mpr track`, on small videos drawn here."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from mpr.core.data.clip import CROP_SIZE
from mpr.core.data.clip_folder import clip_digest, clip_folders, load_clip, save_clip
from mpr.core.data.retime import pick_frames
from mpr.core.data.video import write_video
from mpr.core.errors import BadVideo, UserError
from tests.tracking.moving_scenes import BOX, Moving
from tracking.clips import again
from tracking.clips.from_video import track_video
from tracking.motion.compensation import mean_background, object_motion
from tracking.motion.points import Transition

# Re-timing


@given(
    gaps=st.lists(st.floats(0.01, 0.2), min_size=3, max_size=40),
    share=st.floats(0.1, 1.0),
)
@settings(max_examples=100, deadline=None)
def test_re_timing_picks_the_nearest_true_frame_in_order(gaps, share):
    times = np.concatenate([[0], np.cumsum(gaps)])
    rate = share / np.median(np.diff(times))
    if int(times[-1] * rate) < 1:
        return
    picked = pick_frames(times, 0.0, np.inf, rate)
    assert (np.diff(picked) > 0).all() and picked[0] == 0
    ticks = np.arange(int(times[-1] * rate + 1e-6) + 1) / rate
    worst = np.abs(times[None] - ticks[:, None]).min(1)
    assert np.allclose(np.abs(times[picked][None] - ticks[:, None]).min(1), worst)


def test_re_timing_refuses_what_is_not_there():
    times = np.arange(30) / 30
    assert pick_frames(times, 0.0, np.inf, 0.0).tolist() == list(range(30))
    assert pick_frames(times, 0.1, 0.2, 0.0).tolist() == [3, 4, 5]
    assert pick_frames(times, 0.0, np.inf, 10.0).tolist() == list(range(0, 30, 3))
    with pytest.raises(UserError, match="above the video's own 30 Hz"):
        pick_frames(times, 0.0, np.inf, 60.0)
    with pytest.raises(UserError, match="5 to 6 s holds 0"):
        pick_frames(times, 5.0, 6.0, 0.0)


# A whole video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "door.mp4"
    scene = Moving(16, step=(1.0, 0.0), pan=(1.0, -1.0))
    write_video(path, (scene[t] for t in range(16)), np.arange(16) / 20)
    return path


def test_an_object_in_a_video_is_tracked_and_the_camera_taken_off(video):
    clip = track_video(video, (55, 25, 105, 71))
    assert clip.frames[3].shape == (CROP_SIZE, CROP_SIZE, 3) and clip.masks[3].shape == (CROP_SIZE, CROP_SIZE)
    assert (clip.rate_hz, len(clip.times)) == (pytest.approx(20), 16)
    scale = CROP_SIZE / clip.crop.size
    raw, own = [], []
    for t in range(15):
        transition = Transition.of(clip, t)
        assert transition.object.sum() > 10 and transition.background.sum() > 10
        raw.append(np.median(transition.delta[transition.object], 0) / scale)
        own.append(raw[-1] - mean_background(transition) / scale)
    assert np.mean(raw, 0) == pytest.approx((2, -1), abs=0.15)
    assert np.mean(own, 0) == pytest.approx((1, 0), abs=0.25)


def test_a_stretch_at_another_rate_keeps_true_times(video):
    clip = track_video(video, (55, 25, 110, 71), start_s=0.1, stop_s=0.6, rate_hz=10)
    assert clip.times.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5]) and clip.rate_hz == 10


def run_mpr(*argv) -> int:
    return mpr([str(a) for a in argv])


def test_track_writes_a_clip_and_images_and_resumes(video, tmp_path, capsys):
    out = tmp_path / "run"
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", out) == 0
    clip = load_clip(out / "clip", verify=True)
    assert clip.source.tracker == "lucas_kanade" and "GrabCut" in clip.source.masks
    assert {"overlay.mp4", "overlay.png", "review.html", "summary.json", "config.yaml"} <= set(os.listdir(out))
    figures = json.loads((out / "summary.json").read_text())
    assert figures["frames"] == len(clip.times) and figures["object_points"] > 0 and "there_and_back" in figures
    before = (out / "clip" / "clip.json").stat().st_mtime_ns
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", out) == 0
    assert (out / "clip" / "clip.json").stat().st_mtime_ns == before
    assert run_mpr("track", "--video", video, "--box", "50,25,105,71", "--out", out) == 2
    assert "other settings (box" in capsys.readouterr().err


def test_the_plan_of_track_touches_nothing(video, tmp_path, capsys):
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--dry-run") == 0
    assert "16 frames, 160 x 96 pixels, 20 Hz" in capsys.readouterr().out
    assert run_mpr("track", "--clips", tmp_path / "gone", "--out", tmp_path / "run", "--dry-run") == 2
    assert os.listdir(tmp_path) == []


def one_frame(path):
    write_video(path, [np.zeros((16, 16, 3), np.uint8)], np.array([0.0, 0.1]))


FAULTS = {
    "empty": (lambda path, video: path.write_bytes(b""), "cannot be read"),
    "truncated": (lambda path, video: path.write_bytes(video.read_bytes()[:2000]), "cannot be read"),
    "text": (lambda path, video: path.write_text("no video" * 99), "cannot be read"),
    "one frame": (lambda path, video: one_frame(path), "one frame"),
    "missing": (lambda path, video: None, "does not exist"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_video_is_one_line_status_2_and_leaves_no_run(fault, video, tmp_path, capsys):
    path = tmp_path / "bad.mp4"
    make, words = FAULTS[fault]
    make(path, video)
    assert run_mpr("track", "--video", path, "--box", "1,1,12,12", "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "bad.mp4" in said and "\n" not in said
    assert not (tmp_path / "run").exists()
    with pytest.raises(BadVideo):
        track_video(path, (1, 1, 12, 12))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--box", "300,10,400,50"), "outside the image"),
        (("--box", "-90,10,-20,50"), "outside the image"),
        (("--box", BOX, "--tracker", "cotracker9"), "no tracker 'cotracker9'"),
        (("--box", BOX, "--batch", "4"), "--batch goes with --clips"),
        (("--box", BOX, "--clips", "x"), "give one of"),
        (("--box", BOX, "--rate_hz", "50"), "above the video's own"),
        (("--box", BOX, "--start", "9"), "two are needed"),
        ((), "needs --box"),
    ],
)
def test_a_bad_request_is_one_line_status_2_and_leaves_no_run(argv, words, video, tmp_path, capsys):
    assert run_mpr("track", "--video", video, *argv, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert not (tmp_path / "run").exists()


# Clips tracked again


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_clips_are_tracked_again_and_one_bad_clip_does_not_stop_the_run(batch, video, tmp_path, capsys):
    clips = tmp_path / "clips"
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false") == 0
    for name in ("a", "b", "c"):
        shutil.copytree(tmp_path / "run" / "clip", clips / name)
    (clips / "b" / "frames.mp4").write_bytes((clips / "b" / "frames.mp4").read_bytes()[:500])
    out = tmp_path / "again"
    assert run_mpr("track", "--clips", clips, "--out", out, "--batch", batch) == 0
    said = capsys.readouterr()
    assert "2 clips tracked by lucas_kanade, 1 left out" in said.out and "b is damaged: frames.mp4" in said.err
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["a", "c"]
    first, second = load_clip(clips / "a"), load_clip(out / "a", verify=True)
    assert (out / "a" / "frames.mp4").read_bytes() == (clips / "a" / "frames.mp4").read_bytes()
    assert np.array_equal(second.times, first.times)

    shutil.rmtree(clips / "b")
    shutil.copytree(clips / "a", clips / "b")
    kept = (out / "a" / "clip.json").stat().st_mtime_ns
    assert run_mpr("track", "--clips", clips, "--out", out) == 0  # resumes: only b is new
    assert "3 clips tracked" in capsys.readouterr().out
    assert (out / "a" / "clip.json").stat().st_mtime_ns == kept

    for folder in clips.iterdir():
        (folder / "tracks.npz").write_bytes(b"")
    assert run_mpr("track", "--clips", clips, "--out", tmp_path / "none") == 2
    assert "none of the 3 clips" in capsys.readouterr().err


def test_a_clip_that_was_rejected_or_changed_is_not_kept_as_it_was(video, tmp_path, capsys):
    clips, out = tmp_path / "clips", tmp_path / "again"
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false") == 0
    for name in ("a", "b", "c"):
        shutil.copytree(tmp_path / "run" / "clip", clips / name)
    assert run_mpr("track", "--clips", clips, "--out", out) == 0
    clip = load_clip(clips / "a")
    save_clip(replace(clip, source=replace(clip.source, licence="CC BY-NC 4.0")), clips / "a")
    (clips / "review.json").write_text(json.dumps({"rejected": ["b"]}))
    (out / "c" / "tracks.npz").write_bytes(b"")
    assert run_mpr("track", "--clips", clips, "--out", out) == 0
    assert [folder.name for folder in clip_folders(out)] == ["a", "c"]
    assert load_clip(out / "a").source.licence == "CC BY-NC 4.0"
    assert load_clip(out / "c", verify=True).source.extra["tracked_from"] == clip_digest(clips / "c")
    assert [folder.name for folder in (out / "put_aside").iterdir()] == ["b"], "a and c were made anew"
    assert "2 clips tracked by lucas_kanade, 0 left out, 1 put aside" in capsys.readouterr().out


def test_whatever_a_library_makes_of_one_clip_the_others_are_tracked(video, tmp_path, monkeypatch, capsys):
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false") == 0
    for name in ("a", "b"):
        shutil.copytree(tmp_path / "run" / "clip", tmp_path / "clips" / name)

    def breaks(tracker, out, folders, real=again._track_together):
        if any(folder.name == "a" for folder in folders):
            raise cv2.error("an odd image")
        real(tracker, out, folders)

    monkeypatch.setattr(again, "_track_together", breaks)
    assert run_mpr("track", "--clips", tmp_path / "clips", "--out", tmp_path / "out", "--batch", "2") == 0
    said = capsys.readouterr()
    assert "1 clips tracked" in said.out and "1 left out" in said.out and "an odd image" in said.err
    (row,) = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    assert row["clip"] == "a" and row["reason"] == "error" and "Traceback" in row["details"]


def test_a_video_that_was_replaced_or_a_clip_that_was_torn_is_not_taken_for_done(video, tmp_path, capsys):
    mine = Path(shutil.copy(video, tmp_path / "mine.mp4"))
    asked = ("track", "--video", mine, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false")
    assert run_mpr(*asked) == 0
    (tmp_path / "run" / "clip" / "frames.mp4").unlink()
    assert run_mpr(*asked) == 0 and load_clip(tmp_path / "run" / "clip", verify=True)
    mine.write_bytes(mine.read_bytes() + b"more")
    assert run_mpr(*asked) == 2
    assert "holds a run with other settings (video_digest" in capsys.readouterr().err


# Real video


@pytest.mark.shared_data
def test_a_still_apple_under_a_moving_camera_moves_less_once_the_camera_is_taken_off(shared_data):
    clip = track_video(shared_data / "video" / "handheld_apple.mp4", (330, 125, 655, 450), stop_s=1.5)
    raw, own = [], []
    for t in range(len(clip.times) - 1):
        transition = Transition.of(clip, t)
        delta = transition.delta[transition.object]
        raw += list(np.linalg.norm(delta, axis=1))
        own += list(np.linalg.norm(delta - mean_background(transition), axis=1))
    assert np.mean(own) < 0.75 * np.mean(raw)


@pytest.mark.shared_data
def test_what_compensation_leaves_of_the_still_apple_is_parallax(shared_data):
    """The background's points say along which lines a thing at rest moves: across them the apple hardly does."""
    clip = track_video(shared_data / "video" / "handheld_apple.mp4", (330, 125, 655, 450), stop_s=1.5)
    left, across = [], []
    for t in range(len(clip.times) - 1):
        points = Transition.of(clip, t)
        lines = cv2.findFundamentalMat(points.before[points.background], points.after[points.background], cv2.FM_LMEDS)
        before, after = (np.column_stack([p[points.object], np.ones(points.object.sum())])
                         for p in (points.before, points.after))  # fmt: skip
        there, back = before @ lines[0].T, after @ lines[0]
        scale = np.sqrt((there[:, :2] ** 2).sum(1) + (back[:, :2] ** 2).sum(1))
        across += list(np.abs((after * there).sum(1)) / scale)
        left += list(np.linalg.norm(object_motion(points, "homography"), axis=1))
    assert np.mean(across) < 0.4 * np.mean(left)  # 0.27 when written; in any direction it would be 2 / pi = 0.64 of it
