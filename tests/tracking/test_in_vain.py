"""A search that finds nothing says why: what became of the actions that match, or that none does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpr.cli import main as mpr
from tests.toy_sources import dump, film
from tests.tracking.test_ego4d import NARRATIONS, V1, fho_action, lta
from tests.tracking.test_epic import HEADING, epic_table
from tracking.sources.search import BY_ANNOTATIONS

MICROWAVE = (
    "P07_18_0,P07,P07_18,00:00:01.089,00:00:01.50,00:00:02.50,90,150,open microwave,open,3,microwave,41,"
    "['microwave'],[41]\n"
)
INFO = "video_id,duration,fps,resolution\nP07_18,0.667333,59.94,1920x1080\n"


def told(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line of a search in vain, which leaves no run behind."""
    assert mpr(["find", *arguments, "--out", str(root / "run")]) == 2
    assert not (root / "run").exists()
    said = capsys.readouterr().err.strip().splitlines()
    assert "fewer words" not in said[-1] or "none matches" in said[-1]
    return said[-1]


def in_folder(root: Path, *rows: dict) -> list[str]:
    row = {"video": "a", "start_s": 0.0, "stop_s": 1.0, "text": "opens the drawer"}
    dump(root / "mine/t.json", [row | change for change in rows])
    return ["--folder", str(root / "mine")]


@pytest.mark.parametrize("asked", [[], ["--query", "open microwave"], ["--verb", "opening", "--noun", "microwave"]])
def test_a_video_that_is_too_short_by_hearsay_is_the_reason_and_not_the_words(asked, tmp_path, capsys):
    file = epic_table(tmp_path, HEADING + MICROWAVE)
    (tmp_path / "EPIC_100_video_info.csv").write_text(INFO)
    said = told(tmp_path, capsys, "--epic", str(file), *asked)
    assert f"(1) were left out: 1 at or beyond the video's end, {BY_ANNOTATIONS}" in said
    assert "get the videos, or put right what the annotations say of them" in said
    said = told(tmp_path, capsys, "--epic", str(file), "--query", "open fridge")
    assert "nothing found among 1 actions: none matches; ask with fewer words" in said


def test_a_video_that_is_there_has_its_own_length_and_a_contradiction_is_said(tmp_path):
    file = epic_table(tmp_path, HEADING + MICROWAVE)
    (tmp_path / "EPIC_100_video_info.csv").write_text(INFO)
    film(tmp_path / "P07_18.MP4", frames=180, rate=60.0)
    assert mpr(["find", "--epic", str(file), "--sheet", "0", "--out", str(tmp_path / "run")]) == 0
    entry = json.loads((tmp_path / "run/manifest.jsonl").read_text())
    assert (entry["start_s"], entry["stop_s"]) == (1.5, 2.5)
    noted = json.loads((tmp_path / "run/summary.json").read_text())["sources"]["epic"]["noted"]
    assert noted["whose annotations tell another length of their video than it has: its own is taken"] == 1


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ([{"text": "#O man opens the drawer"}], "1 another person's action (#O)"),
        ([{"start_s": 30.0, "stop_s": 31.0}], "1 at or beyond the video's end; compare the annotations"),
        (
            [{"start_s": 1.0, "stop_s": 0.5}, {"start_s": -2, "stop_s": -1}],
            "1 empty window, 1 before the video's start",
        ),
        ([{"video": "torn"}, {"video": "torn"}], "2 the video cannot be read; get the files anew"),
        (
            [{"start_s": None, "start_frame": 0, "end_frame": 9, "video": "gone"}],
            "1 frame numbers without a column fps, and the video is missing; get the videos, or give a column fps",
        ),
        ([{"start_frame": 600, "end_frame": 10}], "1 its seconds and its frame numbers contradict each other; put the"),
    ],
)
@pytest.mark.parametrize("asked", [[], ["--query", "open drawer"]])
def test_everything_that_matched_was_left_out(rows, reasons, asked, tmp_path, capsys):
    film(tmp_path / "mine/a.mp4")
    (tmp_path / "mine/torn.mp4").write_bytes(b"torn")
    said = told(tmp_path, capsys, *in_folder(tmp_path, *rows), *asked)
    assert f"({len(rows)}) were left out: {reasons}" in said


def test_only_what_matches_is_counted(tmp_path, capsys):
    film(tmp_path / "mine/a.mp4")
    rows = [{"start_s": 30.0, "stop_s": 31.0}, {"text": "#O man opens the drawer"}, {"text": "closes the box"},
            {"text": "#O man waves"}]  # fmt: skip
    source = in_folder(tmp_path, *rows)
    said = told(tmp_path, capsys, *source, "--query", "open drawer")
    assert "all actions that match (2) were left out: 1 " in said and "1 another person's action" in said
    said = told(tmp_path, capsys, *source, "--query", "zebra")
    assert "nothing found among 2 actions: none matches; ask with another word" in said
    assert "besides, 2 left out: another person's action (#O)" in said


@pytest.mark.parametrize(
    ("content", "query", "reason"),
    [
        (NARRATIONS, "waves", "1 another person's action (#O)"),
        (NARRATIONS, "cook", "1 a summary"),
        ({"videos": [{"video_uid": V1, "annotated_intervals": [
            {"narrated_actions": [fho_action(is_rejected=True)]},
            {"redacted": True, "narrated_actions": [fho_action()]}]}]}, "microwave", "1 is_rejected, 1 redacted"),
        ({"clips": [lta(0, verb=None)]}, "", "1 not annotated (test split)"),
    ],
)  # fmt: skip
def test_what_ego4d_calls_invalid_is_the_reason_where_it_is_what_was_asked_for(
    content, query, reason, tmp_path, capsys
):
    file = dump(tmp_path / "a.json", content)
    said = told(tmp_path, capsys, "--ego4d", str(file), *(["--query", query] if query else []))
    assert f"were left out: {reason}" in said


def test_a_source_without_actions_says_so(tmp_path, capsys):
    assert "the sources hold none" in told(tmp_path, capsys, *in_folder(tmp_path))
