"""EPIC-KITCHENS-100's tables."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mpr.core.errors import UserError
from tests.toy_sources import film, read
from tracking.sources import epic
from tracking.sources.query import Query
from tracking.sources.video_info import VideoInfo

HEADING = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
ROWS = (
    "P01_11_1,P01,P01_11,00:09:02.880,00:09:01.88,00:09:04.26,32512,32655,open cupboard,open,3,cupboard,3,"
    "['cupboard'],[3]\n"
    "P01_11_2,P01,P01_11,00:09:05.000,01:00:05.00,01:00:06.50,5,6,put cutting board into cupboard,put-into,5,"
    "board:cutting,18,\"['board:cutting', 'cupboard']\",\"[18, 3]\"\n"
)


def epic_table(folder: Path, text: str = HEADING + ROWS) -> Path:
    (folder / "EPIC_100_train.csv").write_text(text)
    return folder / "EPIC_100_train.csv"


def test_epic_takes_time_stamps_not_frame_numbers(tmp_path):
    film(tmp_path / "P01/videos/P01_11.MP4")
    found, reasons = read(epic.epic_actions, epic_table(tmp_path), None)
    assert [(a.start_s, a.stop_s) for a in found] == [(541.88, 544.26), (3605.0, 3606.5)]  # 32512 / 60 is 541.87
    assert found[0].uid == "P01_11_1" and found[0].group == "P01" and found[0].licence == "CC BY-NC 4.0"
    assert found[0].video == tmp_path / "P01/videos/P01_11.MP4"
    assert found[1].verbs == ("put into",) and found[1].nouns == ("cutting board",)
    assert not reasons


def test_a_cupboard_is_what_its_noun_class_calls_it(tmp_path):
    file = epic_table(tmp_path)
    assert not any(Query("open door").matches(a) for a in read(epic.epic_actions, file, None)[0])
    classes = "id,key,instances,category\n3,cupboard,\"['cupboard', 'cabinet', 'door', 'content:fridge']\",storage\n"
    (tmp_path / "EPIC_100_noun_classes_v2.csv").write_text(classes)
    (tmp_path / "EPIC_100_video_info.csv").write_text(
        "video_id,duration,fps,resolution\nP01_11,1652.2,59.94,1920x1080\n"
    )
    found, _ = read(epic.epic_actions, file, tmp_path / "elsewhere")
    assert [a.uid for a in found if Query("open door").matches(a)] == ["P01_11_1"]
    assert not any(Query(noun="fridge").matches(a) for a in found)  # content:fridge is no name of a cupboard
    assert found[0].info == VideoInfo(1652.2, 59.94, 1920, 1080)
    assert found[0].video == tmp_path / "elsewhere/P01/videos/P01_11.MP4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has no column 'narration_id'"),
        (HEADING + ROWS[:60], "line 2: not 15 columns"),
        (HEADING + ROWS.replace("00:09:01.88", "541.88"), "line 2: 'start_timestamp' is '541.88', not a time"),
        (HEADING + ROWS.replace("01:00:06.50", "1:x:6"), "line 3: 'stop_timestamp' is '1:x:6'"),
        (HEADING + ROWS.replace("open cupboard,open", ",open"), "line 2: 'narration' is missing"),
        (HEADING + "\xff", "cannot be read"),
    ],
)
def test_a_table_that_is_not_epics_is_refused_by_line(tmp_path, text, words):
    epic_table(tmp_path).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        read(epic.epic_actions, tmp_path / "EPIC_100_train.csv", None)
    assert "EPIC_100_train.csv" in str(caught.value) and words in str(caught.value)


@pytest.mark.parametrize("instances", ["'door'", "3", "door", "{1: 2}"])
def test_names_of_a_noun_class_are_a_list(tmp_path, instances):
    file = epic_table(tmp_path)
    (tmp_path / "EPIC_100_noun_classes_v2.csv").write_text(f"id,key,instances,category\n3,door,{instances},storage\n")
    with pytest.raises(UserError, match="line 2: 'instances' is no list of names"):
        read(epic.epic_actions, file, None)


@pytest.mark.shared_data
def test_the_real_table_holds_what_a_plain_count_finds(shared_data):
    file = shared_data / "annotations/epic100_validation_part.csv"
    with file.open() as lines:
        table = list(csv.DictReader(lines))
    found, _ = read(epic.epic_actions, file, None)
    assert len(found) == len(table) == 658 and len({a.uid for a in found}) == 658
    assert all(0 < a.stop_s - a.start_s < 120 for a in found)
    for query, verb, noun in (("open microwave", "open", "microwave"), ("closes drawers", "close", "drawer")):
        plain = {r["narration_id"] for r in table if r["verb"] == verb and noun in r["noun"].split(":")}
        assert plain and plain <= {a.uid for a in found if Query(query).matches(a)}
    rates = [int(r["start_frame"]) / a.start_s for r, a in zip(table, found, strict=True) if a.start_s > 60]
    assert set(np.round(rates)) <= {50, 60}  # what the frame numbers count: not the videos' own rate
    assert {a.numbering.rate_hz for a in found if a.numbering} == {60} and not any(a.unfit for a in found)
