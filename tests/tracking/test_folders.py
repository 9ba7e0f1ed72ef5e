"""Folders of videos with a table, LeRobot data sets, clip folders; all made here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpr.core.data.clip_folder import save_clip
from mpr.core.data.retime import pick_frames
from mpr.core.data.video import VideoFrames
from mpr.core.errors import UserError
from tests.toy_clips import toy_clip
from tests.toy_sources import dump, film, read
from tracking.sources import clips, folder, lerobot
from tracking.sources.query import Query
from tracking.sources.video_info import VideoInfo
from tracking.sources.videos import probe, seconds_of


def table_of(folder: Path, name: str, rows: list[dict]) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


R3M = [
    {"video_id": "a", "start_frame": 5, "end_frame": 15, "narration_text": "C opens the drawer"},
    {"video_id": "a", "start_frame": 5, "end_frame": 15, "narration_text": "#C C pulls a handle"},
    {"video_id": "a", "start_frame": 0, "end_frame": 4, "narration_text": "#O man waves"},
    {"video_id": "b", "start_frame": 0, "end_frame": 4, "narration_text": "C waits"},
]


def test_a_box_around_the_object_comes_along(tmp_path):
    film(tmp_path / "mine/a.mp4", rate=10.0)
    row = {"video": "a", "start_s": 0, "stop_s": 1, "narration": "opens the drawer"}
    dump(tmp_path / "mine/t.json", [row | {"box": [1, 2, 30, 40.5]}, row | {"box": "5,6,70,80", "box_s": 0.5}, row])
    found, _ = read(folder.folder_actions, tmp_path / "mine", None)
    assert [a.extra for a in found] == [{"box": [1, 2, 30, 40.5]}, {"box": [5, 6, 70, 80], "box_s": 0.5}, {}]
    for wrong in (
        {"box": "5,6,70"},
        {"box": "a,b,c,d"},
        {"box": 7},
        {"box": "5,6,70,nan"},
        {"box": "5,6,7,8", "box_s": "nan"},
    ):
        dump(tmp_path / "mine/t.json", [row | wrong])
        with pytest.raises(UserError, match=r"item 1: box .* is not x0,y0,x1,y1"):
            read(folder.folder_actions, tmp_path / "mine", None)


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "nested"])
def test_r3ms_form_by_the_videos_own_rate(tmp_path, form):
    film(tmp_path / "mine/a.mp4", rate=10.0)
    if form == "csv":
        table_of(tmp_path / "mine", "t.csv", R3M)
    elif form == "jsonl":
        (tmp_path / "mine/t.jsonl").write_text("\n".join(json.dumps(row) for row in R3M) + "\n")
    else:
        dump(tmp_path / "mine/t.json", R3M if form == "json" else {"version": 1, "annotations": R3M})
    found, reasons = read(folder.folder_actions, tmp_path / "mine", None)
    assert [(a.start_s, a.stop_s, a.narration) for a in found] == [
        (0.5, 1.5, "opens the drawer"),
        (0.5, 1.5, "pulls a handle"),
    ]
    assert [a.uid for a in found] == ["a-0.50-1.50", "a-0.50-1.50-2"]
    assert found[0].dataset == "mine" and found[0].licence == "unknown" and found[0].group == "a"
    assert reasons == {
        "left out: another person's action (#O)": 1,
        "left out: frame numbers without a column fps, and the video is missing": 1,
    }


def test_seconds_come_before_frames_and_a_column_fps_before_the_videos(tmp_path):
    row = {"video": "sub/a.mp4", "start_frame": 50, "end_frame": 100, "fps": 25, "start_sec": "", "end_sec": "",
           "narration": "opens it", "verb": "open", "noun": "box", "license": "CC BY 4.0", "participant": "p1",
           "consent": "signed", "perspective": "head camera"}  # fmt: skip
    timed = {**row, "start_sec": 0, "end_sec": 0.5, "narration": ""}
    table_of(tmp_path, "t.csv", [row, timed])
    found, _ = read(folder.folder_actions, tmp_path, None)
    assert [(a.start_s, a.stop_s) for a in found] == [(2.0, 4.0), (0.0, 0.5)]
    assert found[0].group == "p1" and found[0].licence == "CC BY 4.0" and found[1].narration == "open box"
    assert found[0].extra == {"perspective": "head camera", "consent": "signed"}


def test_frames_of_an_uneven_video_have_their_own_times(tmp_path):
    times = np.cumsum([0.0] + [0.1] * 10 + [0.4] * 9)
    video = film(tmp_path / "a.mp4", times=times)
    assert np.allclose([seconds_of(video, t) for t in range(20)], VideoFrames(video).times)
    assert np.allclose(VideoFrames(video).times, times, atol=1e-3)
    assert seconds_of(video, 22) > times[-1] + 0.2 and seconds_of(video, -1) < 0


def test_one_pause_in_a_long_even_video_moves_all_that_comes_after(tmp_path):
    times = np.arange(2400) / 10.0 + 0.2 * (np.arange(2400) >= 1200)
    video = film(tmp_path / "a.mp4", times=times)
    assert seconds_of(video, 2000) == pytest.approx(200.2, abs=1e-3)


def test_an_even_video_is_known_by_its_header(tmp_path, monkeypatch):
    video = film(tmp_path / "a.mp4", frames=30, rate=12.5)
    monkeypatch.setattr("tracking.sources.videos._times", lambda path: 1 / 0)
    assert seconds_of(video, 20) == pytest.approx(1.6)


def test_a_headers_length_rate_and_size_are_the_videos(tmp_path):
    info = probe(film(tmp_path / "a.mp4", frames=30, rate=12.5))
    assert info == VideoInfo(pytest.approx(2.4, abs=0.1), pytest.approx(12.5), 64, 48)  # type: ignore[arg-type]
    assert probe(tmp_path / "gone.mp4") is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"video_id": "", "start": 0, "end": 1, "text": "t"}, "line 2: no video"),
        ({"video_id": "a", "start": 0, "end": 1}, "line 2: no narration"),
        ({"video_id": "a", "start": 0, "text": "t"}, "line 2: no window"),
        ({"video_id": "a", "start": "soon", "end": 1, "text": "t"}, "line 2: 'start_s' is 'soon', not a number"),
        ({"video_id": "a", "start_frame": 1.5, "end_frame": 3, "text": "t"}, "not whole numbers"),
        ({"video_id": "a", "start_frame": 1, "end_frame": 3, "fps": 0, "text": "t"}, "line 2: fps is 0"),
        ({"video_id": "a", "start_frame": 1, "end_frame": 3, "fps": "30/0", "text": "t"}, "line 2: fps is 0"),
        ({"video_id": "a", "start_frame": 1, "end_frame": 3, "fps": "30/s", "text": "t"}, "line 2: 'rate_hz' is 's'"),
    ],
)
def test_a_row_that_lacks_something_is_refused_by_line(tmp_path, row, words):
    table_of(tmp_path, "t.csv", [row])
    with pytest.raises(UserError, match=words):
        read(folder.folder_actions, tmp_path, None)


def test_a_folder_needs_one_table(tmp_path):
    with pytest.raises(UserError, match=r"needs one table .* there is none"):
        read(folder.folder_actions, tmp_path, None)
    table_of(tmp_path, "a.csv", R3M[:1])
    table_of(tmp_path, "b.csv", [{"video": "a", "start": 1, "end": 2, "text": "opens"}])
    with pytest.raises(UserError, match=r"there is a\.csv, b\.csv: name --table"):
        read(folder.folder_actions, tmp_path, None)
    assert len(read(folder.folder_actions, tmp_path, tmp_path / "b.csv")[0]) == 1
    with pytest.raises(UserError, match="is no folder"):
        read(folder.folder_actions, tmp_path / "a.csv", None)


# LeRobot

CAMERA = "observation.images.front"


@pytest.fixture
def robot_data(tmp_path) -> Iterator[Path]:
    """Three episodes of 15 frames at 10 Hz in one file, in format v3.0."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow, the extra `lerobot`, is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    root = tmp_path / "robot"
    film(root / f"videos/{CAMERA}/chunk-000/file-000.mp4", frames=45, rate=10.0)
    features = {CAMERA: {"dtype": "video", "shape": [48, 64, 3]}, "action": {"dtype": "float32", "shape": [9]}}
    info = {"codebase_version": "v3.0", "fps": 10, "robot_type": "panda", "features": features,
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"}  # fmt: skip
    dump(root / "meta/info.json", info)
    episodes = [
        {"episode_index": e, "tasks": [f"open the microwave {e}"], "length": 15, f"videos/{CAMERA}/chunk_index": 0,
         f"videos/{CAMERA}/file_index": 0, f"videos/{CAMERA}/from_timestamp": 1.5 * e,
         f"videos/{CAMERA}/to_timestamp": 1.5 * (e + 1), "stats/action/mean": [0.0]}
        for e in range(3)
    ]  # fmt: skip
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
    yield root


def test_each_lerobot_episode_holds_its_own_frames_and_no_other(robot_data):
    (robot_data / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# robot\n")
    found, _ = read(lerobot.lerobot_actions, robot_data, "")
    assert [a.uid for a in found] == ["robot-000000", "robot-000001", "robot-000002"]
    times = VideoFrames(found[0].video).times
    taken = [pick_frames(times, a.start_s, a.stop_s, 0).tolist() for a in found]
    assert taken == [list(range(0, 15)), list(range(15, 30)), list(range(30, 45))]
    assert Query("opening microwave").matches(found[1]) and found[1].licence == "apache-2.0"
    assert found[1].info == VideoInfo(None, 10.0, 64, 48) and len({a.group for a in found}) == 3


def test_a_lerobot_data_set_of_another_form_is_refused_by_name(robot_data):
    info = json.loads((robot_data / "meta/info.json").read_text())
    with pytest.raises(UserError, match=f"choose a --camera; the video features are {CAMERA}"):
        read(lerobot.lerobot_actions, robot_data, "side")
    dump(robot_data / "meta/info.json", {**info, "features": {**info["features"], "side": info["features"][CAMERA]}})
    with pytest.raises(UserError, match="choose a --camera"):
        read(lerobot.lerobot_actions, robot_data, "")
    with pytest.raises(UserError, match=r"cannot be read as format v3\.0"):
        read(lerobot.lerobot_actions, robot_data, "side")  # of which meta/episodes says nothing
    dump(robot_data / "meta/info.json", {**info, "codebase_version": "v2.1"})
    with pytest.raises(UserError, match=r"has format v2\.1"):
        read(lerobot.lerobot_actions, robot_data, "")
    dump(robot_data / "meta/info.json", info)
    file = robot_data / "meta/episodes/chunk-000/file-000.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"cannot be read as format v3\.0"):
        read(lerobot.lerobot_actions, robot_data, "")
    file.unlink()
    with pytest.raises(UserError, match="no episodes"):
        read(lerobot.lerobot_actions, robot_data, "")


# Clip folders


def test_clips_say_what_they_are_and_a_damaged_one_is_counted(tmp_path):
    clip = toy_clip(length=6)
    clip = replace(clip, source=replace(clip.source, dataset="synth", extra={"use": "tests only, never training"}))
    save_clip(clip, tmp_path / "one")
    save_clip(clip, tmp_path / "two")
    (tmp_path / "two/clip.json").write_text("{")
    found, reasons = read(clips.folder_of_clips_actions, tmp_path)
    assert [(a.dataset, a.uid, a.licence, a.group) for a in found] == [("synth", "toy-0", "made here", "g0")]
    assert found[0].video == tmp_path / "one/frames.mp4" and found[0].narration == "slide the square"
    assert found[0].extra["use"] == "tests only, never training" and found[0].verbs == ()
    assert found[0].stop_s == pytest.approx(VideoFrames(found[0].video).times[-1], abs=0.1)
    assert found[0].info == VideoInfo(None, clip.rate_hz, 256, 256)
    assert reasons == {"left out: clip.json cannot be read": 1}


def test_tracked_clips_hand_on_what_was_said_of_their_action(tmp_path):
    said = {"verb": "open", "noun": "microwave", "consent": "signed", "perspective": "first person", "word": "oven"}
    save_clip(replace(toy_clip(length=6), source=replace(toy_clip().source, extra=said)), tmp_path / "one")
    found, _ = read(clips.folder_of_clips_actions, tmp_path)
    assert (found[0].verbs, found[0].nouns) == (("open",), ("microwave",))
    kept = {"consent": "signed", "perspective": "first person"}
    assert found[0].extra == {"clip": str(tmp_path / "one"), **kept}
