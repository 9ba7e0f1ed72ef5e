"""LeRobot data sets as others write them: tasks by frame, cameras, shapes, rates, formats 2 and 3."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from mpr.cli import main as mpr
from mpr.core.data.boundaries import STAMPS, Boundaries
from mpr.core.errors import UserError
from tests.toy_sources import dump, film, read
from tracking.sources import lerobot
from tracking.sources.lerobot_info import height_width
from tracking.sources.query import Query
from tracking.sources.video_info import VideoInfo
from tracking.sources.windows import widened

pa = pytest.importorskip("pyarrow", reason="pyarrow, the extra `lerobot`, is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

FRONT = "observation.images.front"
COLOUR = {"dtype": "video", "shape": [480, 640, 3], "names": ["height", "width", "channels"]}
TASKS = ["open the drawer", "pick up the cup"]


def table(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)


def frames(episode: int, by_frame: str) -> list[dict]:
    return [{"episode_index": episode, "frame_index": k, "task_index": int(t)} for k, t in enumerate(by_frame)]


def v3(root: Path, *by_frame: str, fps: float = 10, data: bool = True, **changes: Any) -> Path:
    """Episodes told by the task of each frame ("0011"), one after the other in one video file."""
    features = {FRONT: COLOUR, "action": {"dtype": "float32", "shape": [6], "names": None}}
    info = {"codebase_version": "v3.0", "fps": fps, "features": features,
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"}  # fmt: skip
    dump(root / "meta/info.json", {**info, **changes})
    place, at, rows = f"videos/{FRONT}", 0, []
    for number, tasks in enumerate(by_frame):
        rows.append({
            "episode_index": number, "tasks": [TASKS[int(t)] for t in sorted(set(tasks))], "length": len(tasks),
            "data/chunk_index": 0, "data/file_index": 0, f"{place}/chunk_index": 0, f"{place}/file_index": 0,
            f"{place}/from_timestamp": at / fps, f"{place}/to_timestamp": (at + len(tasks)) / fps,
        })  # fmt: skip
        at += len(tasks)
    table(root / "meta/episodes/chunk-000/file-000.parquet", rows)
    table(root / "meta/tasks.parquet", [{"task_index": k, "__index_level_0__": text} for k, text in enumerate(TASKS)])
    if data:
        shuffled = [row for number, tasks in enumerate(by_frame) for row in frames(number, tasks)][::-1]
        table(root / "data/chunk-000/file-000.parquet", shuffled)
    return root


def v2(root: Path, *by_frame: str, fps: float = 10) -> Path:
    info = {"codebase_version": "v2.1", "fps": fps, "chunks_size": 2, "features": {FRONT: COLOUR},
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"}  # fmt: skip
    dump(root / "meta/info.json", info)
    lines = [{"episode_index": n, "tasks": [TASKS[int(t)] for t in sorted(set(tasks))], "length": len(tasks)}
             for n, tasks in enumerate(by_frame)]  # fmt: skip
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "meta/tasks.jsonl").write_text(
        "".join(json.dumps({"task_index": k, "task": text}) + "\n" for k, text in enumerate(TASKS))
    )
    for number, tasks in enumerate(by_frame):
        table(root / f"data/chunk-{number // 2:03d}/episode_{number:06d}.parquet", frames(number, tasks))
    return root


# Tasks


@pytest.mark.parametrize("fps", [10, 12.5, 30])
def test_an_action_is_a_stretch_of_one_task(fps, tmp_path):
    found, reasons = read(lerobot.lerobot_actions, v3(tmp_path / "set", "0000", "000110", "1111", fps=fps), "")
    told = [(a.uid, a.narration, int(a.boundaries.start), int(a.boundaries.stop)) for a in found]
    assert told == [
        ("set-000000", TASKS[0], 0, 4),
        ("set-000001-0", TASKS[0], 4, 7),
        ("set-000001-1", TASKS[1], 7, 9),
        ("set-000001-2", TASKS[0], 9, 10),
        ("set-000002", TASKS[1], 10, 14),
    ]
    assert [a.group for a in found[1:4]] == ["set-000001"] * 3, "a split keeps an episode together"
    assert [(a.start_s, a.stop_s) for a in found[1:3]] == [
        (pytest.approx(4 / fps), pytest.approx(7 / fps)), (pytest.approx(7 / fps), pytest.approx(9 / fps))
    ]  # fmt: skip
    assert not any(Query("open cup").matches(a) for a in found) and not reasons
    assert all(a.info == VideoInfo(None, fps, 640, 480) for a in found)


def test_format_2_says_the_same_of_videos_of_their_own(tmp_path):
    root = v2(tmp_path / "set", "0000", "0011", "1111", fps=12.5)
    film(root / f"videos/chunk-000/{FRONT}/episode_000001.mp4", frames=4, rate=12.5)
    found, _ = read(lerobot.lerobot_actions, root, "")
    told = [(a.uid, a.narration, int(a.boundaries.start), int(a.boundaries.stop)) for a in found]
    assert told == [("set-000000", TASKS[0], 0, 4), ("set-000001-0", TASKS[0], 0, 2), ("set-000001-1", TASKS[1], 2, 4),
                    ("set-000002", TASKS[1], 0, 4)]  # fmt: skip
    assert found[3].video == root / f"videos/chunk-001/{FRONT}/episode_000002.mp4"
    assert mpr(["find", "--lerobot", str(root), "--query", "cup", "--sheet", "0", "--out", str(tmp_path / "run")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run/manifest.jsonl").read_text().splitlines()]
    assert [(e["start_s"], e["stop_s"]) for e in lines] == [
        (pytest.approx(1.5 / 12.5), pytest.approx(3.5 / 12.5)), (0.0, pytest.approx(3.5 / 12.5))
    ]  # fmt: skip


def test_a_task_of_one_frame_is_left_out_and_not_handed_to_tracking(tmp_path, capsys):
    root = v3(tmp_path / "set", "0001", "0011")
    film(root / f"videos/{FRONT}/chunk-000/file-000.mp4", frames=8, rate=10.0)
    assert mpr(["find", "--lerobot", str(root), "--sheet", "0", "--out", str(tmp_path / "run")]) == 0
    assert "1 left out: one frame, a transition needs two" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "run/manifest.jsonl").read_text().splitlines()]
    assert [e["uid"] for e in lines] == ["set-000000-0", "set-000001-0", "set-000001-1"]


@pytest.mark.parametrize(
    ("stop", "stop_included", "named"),
    [(1.1, False, 1), (1.2, False, 2), (1.0, False, 0), (1.1, True, 2), (1.004, True, 1), (0.9, True, 0)],
)
def test_frames_that_stamps_name_are_counted_at_the_videos_rate(tmp_path, stop, stop_included, named):
    (whole,), _ = read(lerobot.lerobot_actions, v3(tmp_path / "set", "0" * 40), "")
    action = replace(whole, start_s=1.0, stop_s=stop, boundaries=Boundaries(STAMPS, 1.0, stop, stop_included))
    widened(action, action.info, reasons := Counter())
    assert (
        reasons
        == {0: {"left out: empty window": 1}, 1: {"left out: one frame, a transition needs two": 1}, 2: {}}[named]
    )


@pytest.mark.parametrize("odd", ["7", "-1"])
def test_a_frame_of_a_task_that_is_not_listed_leaves_out_its_episode_alone(tmp_path, odd):
    root = v3(tmp_path / "set", "0011", "01")
    rows = [{**row, "task_index": int(odd) if row["frame_index"] == 1 else 0} for row in frames(0, "0011")]
    table(root / "data/chunk-000/file-000.parquet", rows + frames(1, "01"))
    found, _ = read(lerobot.lerobot_actions, root, "")
    assert [bool(a.unfit) for a in found] == [True, False, False]
    assert f"task_index {odd}, which meta/tasks does not list" in found[0].unfit


def test_an_episode_that_lists_no_task_has_those_of_its_frames(tmp_path):
    root = v3(tmp_path / "set", "0000", "0011")
    rows = parquet.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    table(root / "meta/episodes/chunk-000/file-000.parquet", [{**row, "tasks": []} for row in rows])
    found, _ = read(lerobot.lerobot_actions, root, "")
    assert [a.narration for a in found] == [TASKS[0], *TASKS] and not any(a.unfit for a in found)


def test_the_missing_list_of_tasks_is_named(tmp_path, capsys):
    root = v3(tmp_path / "set", "0011")
    (root / "meta/tasks.parquet").unlink()
    assert mpr(["find", "--lerobot", str(root), "--sheet", "0", "--out", str(tmp_path / "a")]) == 2
    error = capsys.readouterr().err
    assert "meta/tasks.parquet, which says what each task is, is not there" in error and len(error.splitlines()) == 1


def test_several_tasks_without_their_frames_are_taken_whole_and_said(tmp_path, capsys):
    root = v3(tmp_path / "set", "0000", "0011", data=False)
    asked = ["find", "--lerobot", str(root), "--sheet", "0"]
    assert mpr([*asked, "--out", str(tmp_path / "a")]) == 0
    why = "of several tasks, taken whole: data/chunk-000/file-000.parquet, which tells when each is done, is not there"
    assert f"1 {why}" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "a/manifest.jsonl").read_text().splitlines()]
    assert [(e["narration"], e["boundaries"]["start"], e["boundaries"]["stop"]) for e in lines] == [
        (TASKS[0], 0, 4), ("; ".join(TASKS), 4, 8)
    ]  # fmt: skip
    assert mpr([*asked, "--out", str(tmp_path / "b"), "--query", "cup"]) == 0
    assert mpr([*asked, "--out", str(tmp_path / "c"), "--query", "open cup"]) == 2, "no task opens a cup"
    table(root / "data/chunk-000/file-000.parquet", frames(1, "001"))
    found, _ = read(lerobot.lerobot_actions, root, "")
    assert [a.unfit for a in found] == ["", found[1].unfit] and "more or fewer frames" in found[1].unfit


# Cameras


@pytest.mark.parametrize(
    "depth",
    [{"info": {"is_depth_map": True}}, {"info": {"video.is_depth_map": True}},
     {"video_info": {"video.is_depth_map": True}}],
)  # fmt: skip
def test_a_depth_map_is_no_camera(depth, tmp_path):
    features = {FRONT: {**COLOUR, "info": {"is_depth_map": False}}, "depth": {**COLOUR, **depth}}
    root = v3(tmp_path / "set", "0000", features=features)
    assert {a.extra["camera"] for a in read(lerobot.lerobot_actions, root, "")[0]} == {FRONT}
    with pytest.raises(
        UserError, match=rf"choose a --camera; the video features are {FRONT} \(depth: depth, no camera"
    ):
        read(lerobot.lerobot_actions, root, "depth")
    with pytest.raises(UserError, match=r"no video of a camera \(depth: depth, no camera\)"):
        read(lerobot.lerobot_actions, v3(tmp_path / "set", "0000", features={"depth": features["depth"]}), "")


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"action": {"dtype": "float32", "shape": [6]}}, "has no video of a camera: there is nothing to track"),
        ({"front": {**COLOUR, "dtype": "image"}}, r"has no video of a camera; images kept one by one .*\(front\)"),
    ],
)
def test_a_set_without_video_says_so(features, words, tmp_path):
    with pytest.raises(UserError, match=words):
        read(lerobot.lerobot_actions, v3(tmp_path / "set", "0000", features=features), "")


# Shapes

TOLD = {"info": {"video.height": 480, "video.width": 640}}
SIZES = {"height": 480, "width": 640, "channels": 3}


@pytest.mark.parametrize("order", list(permutations(SIZES)))
@pytest.mark.parametrize(
    "named", [str, str.capitalize, lambda n: n[0], lambda n: n.removesuffix("s"), lambda n: n[0].upper()]
)
def test_a_shape_is_read_with_its_names(order, named):
    feature = {"shape": [SIZES[name] for name in order], "names": [named(name) for name in order]}
    assert height_width("front", feature) == (480, 640)


@pytest.mark.parametrize(
    ("shape", "names", "more", "size"),
    [
        ([480, 640], ["height", "width"], {}, (480, 640)),
        ([640, 480], ["width", "height"], {}, (480, 640)),
        ([480, 640], None, {}, (480, 640)),
        ([480, 640, 3], None, {}, (480, 640)),
        ([3, 480, 640], None, {}, (480, 640)),
        ([1, 480, 640], [], {}, (480, 640)),
        ([480, 640, 3], {"axes": ["height", "width", "channels"]}, {}, (480, 640)),
        ([10, 3, 480, 640], ["time", "c", "h", "w"], {}, (480, 640)),
        ([3, 480, 640], ["height", "width", "channel"], TOLD, (480, 640)),
        ([3, 480, 3], None, {"info": {"video.height": 480, "video.width": 3}}, (480, 3)),
        ([3, 480, 3], None, {}, None),
        ([480, 640, 720], None, {}, None),
        ([640], ["width"], {}, None),
        ([3, 480, 640], ["height", "width", "channel"], {}, None),  # from before it was turned round
        ([3, 480, 640], ["height", "height", "width"], {}, None),
        ([480, 640, 3], ["height", "width"], {}, None),
    ],
)  # fmt: skip
def test_a_shape_that_leaves_a_choice_is_refused_by_name(shape, names, more, size):
    feature = {"shape": shape, "names": names, **more}
    if size is not None:
        assert height_width("front", feature) == size
        return
    with pytest.raises(UserError, match=r"shape \[.*\] of 'front' with names"):
        height_width("front", feature)


def test_channels_first_are_large_enough_for_r3m(tmp_path):
    features = {FRONT: {**COLOUR, "shape": [3, 480, 640], "names": ["channels", "height", "width"]}}
    root = v3(tmp_path / "set", "0000000", features=features)
    assert mpr(["find", "--lerobot", str(root), "--check", "--sheet", "0", "--out", str(tmp_path / "run")]) == 0
    verdicts = json.loads((tmp_path / "run/summary.json").read_text())["r3m"]
    assert [v["verdict"] for v in verdicts if "224" in v["need"]] == ["met"]
