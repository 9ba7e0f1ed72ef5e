"""A table's own seconds win over its frame numbers, whatever its columns are called."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from tests.toy_sources import dump, film, read
from tests.tracking.test_ego4d import METADATA, V1, fho_action
from tests.tracking.test_epic import HEADING, epic_table
from tracking.sources import ego4d, epic, folder
from tracking.sources.times import parse_seconds, time_columns

NTSC = 30000 / 1001
ROWS = [(10.0, 12.0), (13.0, 14.5)]


def clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds // 60) % 60:02d}:{seconds % 60:05.2f}"


def write(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def found(root: Path, *more: str) -> tuple[list[tuple[float, float]], dict[str, int]]:
    """What `mpr find --folder` lists: seconds, and what it says beside."""
    assert mpr(["find", "--folder", str(root), "--sheet", "0", "--out", str(root / "run"), *more]) == 0
    entries = [json.loads(line) for line in (root / "run/manifest.jsonl").read_text().splitlines()]
    noted = json.loads((root / "run/summary.json").read_text())["sources"]["folder"]["noted"]
    return [(e["start_s"], e["stop_s"]) for e in entries], noted


@settings(deadline=None)
@given(st.integers(0, 30 * 3600 * 100))
def test_a_time_is_the_same_in_every_form(hundredths):
    seconds = hundredths / 100
    whole, rest = divmod(hundredths, 6000)
    short = f"{whole}:{rest // 100}.{rest % 100:02d}" if whole < 10000 else clock(seconds)
    for form in (seconds, str(seconds), f" {clock(seconds)} ", clock(seconds).replace(".", ","), short):
        assert parse_seconds(form) == pytest.approx(seconds, abs=1e-9)
    assert parse_seconds(f"1 days {clock(seconds)}") == pytest.approx(seconds + 86400, abs=1e-9)


@pytest.mark.parametrize(
    "wrong", ["noon", "1:2:3:4", "1:x:6", ":5", "5:", "1:-2:3", "9" * 30 + ":00:00", True, [1], None]
)
def test_what_is_no_time_is_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        parse_seconds(wrong)


@pytest.mark.parametrize(
    ("start", "stop", "form"),
    [
        ("start_timestamp", "stop_timestamp", clock),
        ("start_timestamp", "end_timestamp", float),
        ("start_timestamp", "stop_timestamp", float),
        ("start_time", "end_time", float),
        ("start_time", "stop_time", clock),
        ("start_sec", "end_sec", float),
        ("start_seconds", "stop_seconds", float),
        ("startTime", "endTime", float),
        ("Start Time (s)", "End Time (s)", float),
        ("timestamp_start", "timestamp_end", clock),
        ("t_start", "t_end", float),
        ("video_start_sec", "video_end_sec", float),
        ("start_ms", "end_ms", lambda s: int(1000 * s)),
        ("begin", "end", float),
        ("start_us", "stop_us", lambda s: int(1e6 * s)),
        ("start_time_ns", "end_time_ns", lambda s: int(1e9 * s)),
        ("start_minutes", "end_minutes", lambda s: s / 60),
        ("starttime", "endtime", clock),
        ("STARTTIME", "ENDTIME", float),
        ("tstart", "tend", float),
        ("from_timestamp", "to_timestamp", float),
        ("from_s", "until_s", float),
        ("start_hms", "end_hms", clock),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_seconds_win_over_frame_numbers_whatever_they_are_called(start, stop, form, kind, tmp_path):
    film(tmp_path / "P10_04.MP4", times=np.arange(450) / NTSC)
    rows = [
        {"video_id": "P10_04", "narration": "open microwave", start: form(a), stop: form(b),
         "start_frame": round(60 * a), "stop_frame": round(60 * b)} for a, b in ROWS
    ]  # fmt: skip
    if kind == "csv":
        write(tmp_path / "t.csv", rows)
    elif kind == "jsonl":
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        dump(tmp_path / "t.json", rows)
    assert found(tmp_path) == (
        ROWS, {"rows number 60 frames a second, not as their video does: their seconds are taken": 2}
    )  # fmt: skip


def test_of_two_names_of_one_time_the_clearer_is_read_and_other_words_are_no_times():
    columns = time_columns(
        ("segment_end_s", "end", "end_time", "end_s", "frame_end", "end_effector", "weekend", "verb")
    )
    assert [c.name for c in columns.stop] == ["end_s", "end_time", "end", "segment_end_s"] and not columns.start
    assert [c.name for c in columns.stop_frame] == ["frame_end"] and columns.others == ()


def test_units_in_names_that_say_no_start_and_words_that_look_like_one_are_no_times():
    columns = time_columns(("to", "from", "from_room", "minutes", "us", "weekends", "tender", "target", "startsmart"))
    assert columns.all == ()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"start_min": 1, "start_sec": 5, "end_min": 1, "end_sec": 7}, "'start_sec' is 5 and 'start_min' is 1"),
        ({"start_sec": 5, "start_ms": 250, "end_sec": 7, "end_ms": 0}, "'start_sec' is 5 and 'start_ms' is 250"),
        ({"start_min": 0, "start_sec": 5, "end_min": 1, "end_sec": 7}, "'end_sec' is 7 and 'end_min' is 1"),
        ({"start_min": 0, "start_sec": 5, "end_min": 0, "end_sec": 7}, (5.0, 7.0)),
        ({"start_min": 1.1, "start_sec": 66, "end_min": 1.2, "end_sec": 72}, (66.0, 72.0)),
        ({"start_s": 1, "start_ms": 600, "end_s": 3, "end_ms": 2600}, (1.0, 3.0)),
        ({"start_minute": 1, "start_time": "1:05", "end_minute": 1, "end_time": "1:07"}, (65.0, 67.0)),
    ],
)
def test_a_time_in_parts_is_refused_and_one_told_twice_is_taken(cells, said, tmp_path, capsys):
    write(tmp_path / "t.csv", [{"video": "a", "text": "opens it", **cells}])
    if not isinstance(said, str):
        assert found(tmp_path)[0] == [said]
        return
    assert mpr(["find", "--folder", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert f"line 2: {said}: two times, or parts of one?" in capsys.readouterr().err


def test_frame_numbers_that_agree_with_the_video_are_no_news(tmp_path):
    film(tmp_path / "a.mp4", times=np.arange(450) / NTSC)
    rows = [{"video": "a", "text": "opens it", "start": a, "end": b, "start_frame": round(NTSC * a),
             "end_frame": round(NTSC * b)} for a, b in ROWS]  # fmt: skip
    write(tmp_path / "t.csv", rows)
    assert found(tmp_path) == (ROWS, {})


def test_frame_numbers_of_an_uneven_video_agree_by_its_stamps(tmp_path):
    times = np.cumsum([0.0] + [0.1] * 30 + [0.3] * 30)
    film(tmp_path / "a.mp4", times=times)
    pairs = [(5, 25), (10, 50), (40, 58)]
    rows = [{"video": "a", "text": "opens it", "start_s": round(times[a], 2), "stop_s": round(times[b], 2),
             "start_frame": a, "end_frame": b} for a, b in pairs]  # fmt: skip
    write(tmp_path / "t.csv", [*rows, {**rows[0], "start_frame": 30}])
    windows, noted = found(tmp_path)
    assert len(windows) == 3 and noted["left out: its seconds and its frame numbers contradict each other"] == 1


def test_a_row_that_contradicts_itself_is_left_out_and_the_others_stay(tmp_path):
    film(tmp_path / "a.mp4", times=np.arange(450) / NTSC)
    row = {"video": "a", "text": "opens it"}
    rows = [{**row, "start_s": a, "stop_s": b, "start_frame": 60 * a, "stop_frame": 60 * b} for a, b in ROWS]
    rows = [{**rows[0], "stop_frame": 900}, *rows, {**rows[0], "start_frame": 720, "stop_frame": 600}, rows[0]]
    rows += [{**rows[1], "start_frame": 150, "stop_frame": 180}, {**rows[1], "start_s": 12, "stop_s": 10}]
    rows += [{**rows[1], "start_s": 12, "stop_s": 10, "start_frame": 720, "stop_frame": 600}]
    write(tmp_path / "t.csv", rows)
    windows, noted = found(tmp_path)
    assert windows == [*ROWS, ROWS[0]]
    assert noted["left out: its seconds and its frame numbers contradict each other"] == 4
    assert noted["left out: empty window"] == 1
    assert noted["rows number 60 frames a second, not as their video does: their seconds are taken"] == 4


def test_times_that_are_not_read_are_named_once(tmp_path):
    row = {"video": "a", "text": "opens it", "start_s": 1, "end_s": 2, "narration_timestamp": "00:00:07.0",
           "clip_start_sec": 0.5, "duration": 1, "start_time": 3, "end_effector": 1, "seconds": ""}  # fmt: skip
    write(tmp_path / "t.csv", [row, row])
    windows, noted = found(tmp_path)
    assert windows == [(1.0, 2.0)] * 2
    unread = "start_time, narration_timestamp, clip_start_sec, duration"
    assert noted == {f"with times in columns that are not read: {unread}": 2}


@pytest.mark.parametrize("name", ["narration_timestamp", "timestamp", "clip_start_sec", "duration", "frame_start_ms"])
def test_a_point_alone_is_no_window(name, tmp_path, capsys):
    write(tmp_path / "t.csv", [{"video": "a", "text": "opens it", name: 3}])
    assert mpr(["find", "--folder", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "line 2: no window" in said and f"({name}: which these mean is not known)" in said


def test_frame_numbers_alone_count_at_the_rate_of_the_tables_other_rows(tmp_path):
    film(tmp_path / "a.mp4", times=np.arange(450) / NTSC)
    rows = [{"video": "a", "text": "opens it", "start_s": a, "stop_s": b, "start_frame": 60 * a, "stop_frame": 60 * b}
            for a, b in ROWS]  # fmt: skip
    write(tmp_path / "t.csv", [*rows, {**rows[0], "start_s": "", "stop_s": ""}])
    windows, _ = found(tmp_path)
    assert windows[2] == pytest.approx((10.0, 12.0), abs=0.05)


def test_an_activity_may_last_to_the_end(tmp_path):
    film(tmp_path / "a.mp4", frames=50, rate=10.0)
    row = {"video_id": "a", "high_level_activity_label": "Brew tea", "start_time": 2.0, "end_time": "end"}
    write(tmp_path / "t.csv", [row, {**row, "video_id": "gone"}])
    windows, noted = found(tmp_path)
    assert windows == [(2.0, pytest.approx(5.0, abs=0.05))]
    assert noted == {"left out: it lasts to the end of a video that is not there": 1}


# EPIC-KITCHENS


def epic_row(number: int, video: str, start: str, stop: str, frames: str) -> str:
    return (
        f"{video}_{number},{video[:3]},{video},00:00:00.500,{start},{stop},{frames},open cupboard,open,3,cupboard,3,"
        "['cupboard'],[3]\n"
    )


ROWS_EPIC = [
    epic_row(0, "P01_01", "00:10:00.00", "00:10:02.00", "36000,36120"),
    epic_row(1, "P01_01", "00:00:00.00", "00:00:02.50", "1,150"),
    epic_row(2, "P01_101", "00:10:00.00", "00:10:02.00", "30000,30100"),
]


@pytest.mark.parametrize("told", [False, True])
def test_epics_frames_count_sixty_a_second_and_the_extensions_its_own(told, tmp_path):
    file = epic_table(tmp_path, HEADING + "".join(ROWS_EPIC))
    if told:
        (tmp_path / "EPIC_100_video_info.csv").write_text(
            "video_id,duration,fps,resolution\nP01_01,900,59.9400599400599,1920x1080\nP01_101,900,50.0,1920x1080\n"
        )
    run = tmp_path / "run"
    assert mpr(["find", "--epic", str(file), "--sheet", "0", "--out", str(run)]) == 0
    noted = json.loads((run / "summary.json").read_text())["sources"]["epic"]["noted"]
    unread = {"with times in columns that are not read: narration_timestamp": 3}
    if told:
        assert noted == {
            "rows number 60 frames a second, not as their video does: their seconds are taken": 2, **unread
        }  # fmt: skip
    else:
        rest = "and their video's rate is not known: their seconds are taken"
        assert noted == {f"rows number {r} frames a second, {rest}": n for r, n in ((50, 1), (60, 2))} | unread


def test_epics_seconds_may_be_plain_numbers(tmp_path):
    rows = HEADING + epic_row(0, "P01_01", "600.0", "602.25", "36000,36135")
    actions, _ = read(epic.epic_actions, epic_table(tmp_path, rows), None)
    assert (actions[0].start_s, actions[0].stop_s) == (600.0, 602.25)


def test_epic_55_is_read_as_epic_100_is(tmp_path):
    heading = (
        "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,verb,verb_class,"
        "noun,noun_class,all_nouns,all_noun_classes\n"
    )
    row = "101,P10,P10_04,open microwave,00:00:10.00,00:00:12.00,600,720,open,2,microwave,41,['microwave'],[41]\n"
    (tmp_path / "EPIC_train_action_labels.csv").write_text(heading + row)
    (tmp_path / "EPIC_video_info.csv").write_text("video,resolution,duration,fps\nP10_04,1920x1080,3359.8,29.97\n")
    (tmp_path / "EPIC_noun_classes.csv").write_text("noun_id,class_key,nouns\n41,microwave,\"['microwave', 'oven']\"\n")
    actions, _ = read(epic.epic_actions, tmp_path / "EPIC_train_action_labels.csv", None)
    one = actions[0]
    assert (one.dataset, one.uid, one.start_s, one.stop_s) == ("epic55", "101", 10.0, 12.0)
    assert one.nouns == ("microwave", "oven") and one.info is not None and one.info.rate_hz == 29.97
    assert one.numbering is not None and one.numbering.rate_hz == 60 and not one.numbering.agrees(29.97)


def test_hd_epics_columns_are_a_folders(tmp_path):
    row = {"unique_narration_id": "P01-20240202-110250-1", "participant_id": "P01", "video_id": "P01-20240202-110250",
           "narration": "Open the upper cupboard.", "start_timestamp": 7.44, "end_timestamp": 8.75,
           "narration_timestamp": 8.0}  # fmt: skip
    write(tmp_path / "t.csv", [row])
    actions, _ = read(folder.folder_actions, tmp_path, None)
    assert [(a.uid, a.group, a.start_s, a.stop_s) for a in actions] == [("P01-20240202-110250-1", "P01", 7.44, 8.75)]
    assert actions[0].unread == ("narration_timestamp",)


# Ego4D


def test_ego4ds_frames_count_as_its_own_seconds_say(tmp_path):
    at_25 = fho_action(start_frame=500, end_frame=700, critical_frames={"pre_frame": 550, "post_frame": 600})
    wrong = fho_action(end_frame=500)
    video = {"video_metadata": METADATA, "annotated_intervals": [{"narrated_actions": [fho_action(), at_25, wrong]}]}
    file = dump(tmp_path / "fho.json", {"videos": [{"video_uid": V1, **video}]})
    actions, _ = read(ego4d.ego4d_actions, file, tmp_path)
    assert [(a.start_s, a.stop_s, a.boundaries.rate_hz) for a in actions[:2]] == [
        (22.0, 24.0, 30.0),
        (22.0, 24.0, 25.0),
    ]
    assert actions[1].numbering is not None and actions[1].numbering.rate_hz == 25
    assert actions[2].unfit == "its seconds and its frame numbers contradict each other"
    said = {"timestamp_sec": 10.0, "timestamp_frame": 600, "narration_text": "#C C opens the door"}
    odd = dump(tmp_path / "n.json", {V1: {"narration_pass_1": {"narrations": [said]}}})
    narrated, _ = read(ego4d.ego4d_actions, odd, tmp_path)
    assert narrated[0].numbering is not None and narrated[0].numbering.rate_hz == 60
