"""`mpr find` from the command line: manifest, numbers, contact sheet, R3M's data needs."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.video import VideoFrames
from mpr.core.errors import BadVideo, MissingWeights
from tests.toy_sources import dump, film
from tracking.sources import check
from tracking.sources.action import VideoAction
from tracking.sources.contact_sheet import HEIGHT, SHEET_COLUMNS, STRIP, WIDTH, choose, draw_sheet, middle
from tracking.sources.embed import SentenceModel, Similarity
from tracking.sources.manifest import Entry, read_manifest
from tracking.sources.query import Query
from tracking.sources.search import Alike, SearchResult, search
from tracking.sources.tables import load_json
from tracking.sources.video_info import VideoInfo

COLUMN = ("video", "start", "end", "text", "licence", "consent", "perspective")
ROWS = [
    ("a.mp4", 0.0, 1.0, "#C C opens the microwave", "CC BY 4.0", "signed", "head"),
    ("a.mp4", 1.5, 9.0, "opening a microwave door", "CC BY 4.0", "signed", "head"),
    ("a.mp4", 5.0, 6.0, "open microwave, after the end", "CC BY 4.0", "signed", "head"),
    ("b.mp4", 0.0, 1.0, "closes the microwave", "CC BY 4.0", "signed", "head"),
    ("gone.mp4", 0.0, 4.0, "opens the microwave", "", "", ""),
    ("broken.mp4", 0.0, 1.0, "opens the microwave", "", "", ""),
]


@pytest.fixture
def videos(tmp_path) -> Path:
    root = tmp_path / "mine"
    film(root / "a.mp4", frames=20, rate=10.0, h=256, w=320)
    film(root / "b.mp4")
    (root / "broken.mp4").write_bytes((root / "b.mp4").read_bytes()[:200])
    with (root / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMN, *ROWS])
    return root


def test_find_writes_a_manifest_and_counts_what_it_left_out(videos, tmp_path, capsys):
    out = tmp_path / "run"
    asked = ["find", "--folder", str(videos), "--query", "open microwave", "--out", str(out), "--check"]
    assert mpr(asked) == 0
    entries = read_manifest(out / "manifest.jsonl")
    assert [(Path(e.video).name, e.start_s, e.stop_s) for e in entries] == [
        ("a.mp4", 0.0, 1.0),
        ("a.mp4", 1.5, pytest.approx(2.0, abs=0.05)),
        ("gone.mp4", 0.0, 4.0),
    ]
    summary = json.loads((out / "summary.json").read_text())
    numbers = summary["sources"]["folder"]
    assert (numbers["actions"], numbers["matched"], numbers["videos"], numbers["videos_on_disk"]) == (6, 3, 2, 1)
    assert numbers["median_s"] == 1.0 and numbers["longest_s"] == 4.0 and numbers["groups"] == 2
    assert numbers["noted"] == {
        "cut: stops after the video": 1,
        "left out: at or beyond the video's end": 1,
        "left out: the video cannot be read": 1,
    }
    assert summary["contact_sheet"] == {"shown": 2, "missing": 1, "unreadable": 0}
    assert (out / "missing_videos.txt").read_text() == "gone\n"
    verdicts = {v["need"].split()[0]: v["verdict"] for v in summary["r3m"]}
    assert verdicts == {"first": "unknown", "at": "unknown", "5": "not met", "timed": "met", "consent": "not met",
                        "licence": "not met"}  # fmt: skip
    said = capsys.readouterr().out
    assert "folder        6      3  5.5 s" in said and "1 left out: the video cannot be read" in said
    film(videos / "gone.mp4", frames=50)  # downloaded meanwhile: the same command takes it in
    assert mpr(asked) == 0
    assert json.loads((out / "summary.json").read_text())["contact_sheet"]["shown"] == 3


@pytest.mark.parametrize(("said", "read"), [("\ud83d\U0001f600", "?\U0001f600"), ("\U0001f600\ude00", "\U0001f600?")])
def test_half_a_character_is_told_from_a_whole_one(tmp_path, said, read):
    assert load_json(dump(tmp_path / "t.json", [said, "\U0001f600"])) == [read, "\U0001f600"]


def test_what_no_file_can_be_called_is_left_out_and_what_no_text_can_hold_is_written_otherwise(tmp_path, capsys):
    film(tmp_path / "mine/a.mp4", rate=10.0)
    row = {"video": "a", "start_s": 0, "stop_s": 1, "narration": "opens the drawer"}
    unsaid = {"consent": float("nan"), "perspective": float("nan"), "licence": float("nan")}
    odd = [{"video": "a\0b"}, {"video": "a\ud800"}, {"video": "."}, {"video": "/"}, unsaid, {"group": "\ud800"}]
    odd += [{"licence": "\ud800\0", "consent": "\ud83d"}, {"narration": "opens \ud800 \U0001f600"}, {"uid": "\udfff"}]
    table = dump(tmp_path / "mine/t.json", [row | change for change in odd])
    table.write_bytes(table.read_bytes().replace(b'"group": "\\ud800"', b'"group": "\xed\xa0\x80"'))  # in UTF-8
    assert mpr(["find", "--folder", str(tmp_path / "mine"), "--out", str(tmp_path / "run"), "--check"]) == 0
    entries = read_manifest(tmp_path / "run/manifest.jsonl")
    assert [Path(e.video).name for e in entries] == ["a?", "mine", "", *["a.mp4"] * 5]
    assert [e.group for e in entries[3:]] == ["a", "?", "a", "a", "a"]
    assert [(e.licence, dict(e.extra)) for e in entries[3:6]] == [
        ("unknown", {}),
        ("unknown", {}),
        ("?\0", {"consent": "?"}),
    ]
    assert entries[6].narration == "opens ? \U0001f600" and entries[7].uid == "_"
    assert "1 left out: its video is not fit for a manifest" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["9" * 300, "a/" * 3000 + "b"])
def test_a_video_whose_name_is_too_long_for_a_file_is_missing_and_stops_no_other(tmp_path, capsys, name):
    film(tmp_path / "mine/a.mp4", rate=10.0)
    row = {"start_s": 0, "stop_s": 1, "narration": "opens the drawer"}
    dump(tmp_path / "mine/t.json", [row | {"video": name}, row | {"video": "a"}])
    assert mpr(["find", "--folder", str(tmp_path / "mine"), "--out", str(tmp_path / "run"), "--check"]) == 0
    entries = read_manifest(tmp_path / "run/manifest.jsonl")
    assert sorted(Path(e.video).name == "a.mp4" for e in entries) == [False, True]
    with pytest.raises(BadVideo, match="does not exist"):
        VideoFrames(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a source: --ego4d, --epic"),
        (["--folder", "DIR", "--query", "zebra"], "nothing found among 6 actions"),
        (["--folder", "DIR", "--query", "#C C"], "no word in the text '#C C'"),
        (["--folder", "DIR", "--videos", "DIR"], "--videos goes with --ego4d or --epic"),
        (["--folder", "DIR", "--embed", "DIR"], "--embed needs a --query"),
        (["--folder", "DIR", "--query", "x", "--embed", "DIR"], "no sentence model weights at"),
        (["--folder", "DIR", "--max_seconds", "0"], "--max_seconds 0.0: it is above 0"),
        (["--folder", "DIR", "--similar", "2"], "--similar 2.0: it is at least -1 and at most 1"),
        (["--folder", "DIR", "--table", "DIR/gone.csv"], "gone.csv does not exist"),
        (["--epic", "DIR/t.csv"], "has no column 'narration_id'"),
        (["--ego4d", "DIR/t.csv"], "not JSON"),
        (["--clips", "DIR"], "no clips in"),
        (["--lerobot", "DIR"], "info.json does not exist"),
    ],
)
def test_what_cannot_be_searched_is_one_line_and_leaves_no_run(videos, tmp_path, capsys, arguments, words):
    out = tmp_path / "run"
    assert mpr(["find", *(a.replace("DIR", str(videos)) for a in arguments), "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1] and said[-1].startswith("mpr: ")
    assert not out.exists()


def test_a_dry_run_touches_nothing_and_other_settings_another_folder(videos, tmp_path, capsys):
    asked = ["find", "--folder", str(videos), "--query", "close", "--out", str(tmp_path / "run")]
    assert mpr([*asked, "--dry-run"]) == 0
    assert not (tmp_path / "run").exists() and "input folder" in capsys.readouterr().out
    assert mpr([*asked, "--sheet", "0"]) == 0
    assert not (tmp_path / "run/contact_sheet.jpg").exists()
    assert mpr([*asked, "--verb", "close"]) == 2
    assert "holds a run with other settings (verb" in capsys.readouterr().err


def test_a_data_set_read_twice_is_listed_once(videos, tmp_path):
    lta = {"video_uid": "v", "clip_uid": "c", "clip_parent_start_sec": 0.0, "action_clip_start_sec": 1.0,
           "action_clip_end_sec": 2.0, "verb": "open", "noun": "box", "action_idx": 7}  # fmt: skip
    file = dump(tmp_path / "lta.json", {"clips": [lta, lta]})
    out = tmp_path / "run"
    assert mpr(["find", "--ego4d", str(file), "--folder", str(videos), "--noun", "box", "--out", str(out)]) == 0
    assert [e.uid for e in read_manifest(out / "manifest.jsonl")] == ["c-lta-0007"]
    numbers = json.loads((out / "summary.json").read_text())["sources"]
    assert numbers["ego4d"]["noted"] == {"left out: the same uid again": 1} and numbers["folder"]["matched"] == 0


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch, capsys):
    dump(tmp_path / "meta/info.json", {"codebase_version": "v3.0"})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert mpr(["find", "--lerobot", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "needs pyarrow, the extra 'lerobot'" in capsys.readouterr().err


# The contact sheet


def entry(video: Path | str, start: float, stop: float, uid: str = "u") -> Entry:
    return Entry("d", uid, str(video), start, stop, "opens the door", "open", "door", "l", "g")


def test_the_sheet_shows_each_windows_middle_frame_in_the_order_found(tmp_path):
    video = film(tmp_path / "a.mp4", frames=20, rate=10.0)  # frame t has brightness 10 t
    entries = [entry(video, t / 10 - 0.05, t / 10 + 0.05, f"u{t}") for t in (15, 3, 8, 19, 11, 6, 2)]
    drawn = draw_sheet(tmp_path / "s.jpg", entries, 7)
    sheet = cv2.imread(str(tmp_path / "s.jpg"))
    assert drawn == {"shown": 7, "missing": 0, "unreadable": 0} and sheet is not None
    assert sheet.shape == (2 * (HEIGHT + STRIP), SHEET_COLUMNS * WIDTH, 3)
    centres = [
        sheet[k // SHEET_COLUMNS * (HEIGHT + STRIP) + HEIGHT // 2, k % SHEET_COLUMNS * WIDTH + WIDTH // 2].mean()
        for k in range(7)
    ]
    assert np.allclose(centres, [150, 30, 80, 190, 110, 60, 20], atol=6)


def test_a_sheet_is_no_wider_than_what_there_is_and_spreads_over_all(tmp_path):
    film(tmp_path / "a.mp4")
    (tmp_path / "torn.mp4").write_bytes(b"torn")
    entries = [entry(tmp_path / name, 0, 1, name[:4]) for name in ("gone.mp4", "torn.mp4", "a.mp4")]
    assert draw_sheet(tmp_path / "s.jpg", entries, 9) == {"shown": 1, "missing": 1, "unreadable": 1}
    sheet = cv2.imread(str(tmp_path / "s.jpg"))
    assert sheet is not None and sheet.shape[1] == 3 * WIDTH


def test_a_sheet_takes_some_of_each_data_set_and_first_what_can_be_seen(tmp_path):
    here, gone = film(tmp_path / "a.mp4"), tmp_path / "gone.mp4"
    entries = [entry(here if k in (1, 7, 8) else gone, k, k + 1, f"u{k}") for k in range(10)]
    entries.append(replace(entry(gone, 0, 1, "other"), dataset="small"))
    assert {e.uid for e in choose(entries, 11)} == {e.uid for e in entries}
    assert [e.uid for e in choose(entries, 6)] == ["u0", "u1", "u7", "u8", "u9", "other"]
    assert [e.uid for e in choose(entries, 3)] == ["u1", "u8", "other"]
    assert [e.uid for e in choose(entries, 1)] == ["u1"]


def test_the_middle_frame_is_nearest_in_time_not_in_number():
    times = np.array([0.0, 0.1, 0.2, 1.0, 2.0])
    assert middle(times, 0.0, 2.0) == 3
    assert middle(times, 10.0, 12.0) == 4


# R3M's data needs

GOOD = replace(entry("v.mp4", 0, 2), licence="CC BY 4.0", extra={"perspective": "first person", "consent": "informed"})
INFO = VideoInfo(60.0, 30.0, 1920, 1080)


def verdict(need: str, *found: tuple[Entry, VideoInfo | None]) -> str:
    return next(v.word for v in check.check_videos(found) if need in v.need)


def test_a_corpus_that_meets_every_need():
    assert {v.word for v in check.check_videos([(GOOD, INFO)] * 3)} == {"met"}


@pytest.mark.parametrize(
    ("need", "changes", "info", "word"),
    [
        ("first", {"extra": {}}, INFO, "unknown"),
        ("first", {"extra": {"perspective": "robot's camera"}}, INFO, "not met"),
        ("first", {"extra": {"perspective": "Egocentric"}}, INFO, "met"),
        ("pixels", {}, VideoInfo(9, 30, 640, 223), "not met"),
        ("pixels", {}, VideoInfo(9, 30, 224, 224), "met"),
        ("pixels", {}, None, "unknown"),
        ("frames", {}, VideoInfo(9, 4.5, 640, 480), "not met"),
        ("frames", {}, VideoInfo(9, 5.0, 640, 480), "met"),
        ("frames", {}, VideoInfo(9, 59.94, 640, 480), "met"),  # sampled down
        ("frames", {"stop_s": 0.15}, INFO, "not met"),  # five frames
        ("frames", {}, None, "unknown"),
        ("narrations", {"verb": "", "narration": "walks around"}, INFO, "not met"),
        ("narrations", {"verb": "", "narration": "picked the cup"}, INFO, "met"),
        ("narrations", {"narration": ""}, INFO, "not met"),
        ("narrations", {"narration": "open " * 50}, INFO, "not met"),
        ("consent", {"extra": {"consent": "no"}}, INFO, "not met"),
        *(
            ("consent", {"extra": {"consent": said}}, INFO, "not met")
            for said in ("refused", "no consent", "not given", "withdrawn", "n/a", "pending", "Denied")
        ),
        ("consent", {"extra": {"consent": "signed, on paper"}}, INFO, "met"),
        ("first", {"extra": {"perspective": "not first person"}}, INFO, "not met"),
        ("first", {"extra": {"perspective": "non-egocentric"}}, INFO, "not met"),
        ("licence", {"licence": "unknown"}, INFO, "not met"),
    ],
)
def test_a_need_that_one_action_does_not_meet(need, changes, info, word):
    assert verdict(need, (replace(GOOD, **changes), info)) == word
    assert verdict(need, *[(GOOD, INFO)] * 3, (replace(GOOD, **changes), info)) == word


def test_a_few_looks_about_do_not_spoil_the_narrations():
    looks = (replace(GOOD, verb="", narration="looks around"), INFO)
    assert verdict("narrations", *[(GOOD, INFO)] * 9, looks) == "met"
    assert verdict("narrations", *[(GOOD, INFO)] * 8, looks) == "not met"


# Sentence embeddings


@pytest.fixture(scope="module")
def sentence_model(tmp_path_factory) -> Path:
    """A tiny BERT with random weights and a vocabulary of a few words."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path_factory.mktemp("bert")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "open",
        "opens",
        "the",
        "door",
        "microwave",
        "cuts",
        "carrot",
    ]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_sentence_is_the_mean_of_its_tokens_whatever_stands_beside_it(sentence_model):
    import torch

    model = SentenceModel(sentence_model)
    sentences = ["open the microwave door", "cuts", "opens"]
    together = model.embed(sentences)
    assert together.shape == (3, 16) and np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for sentence, embedding in zip(sentences, together, strict=True):
        with torch.no_grad():
            alone = model.model(**model.tokenizer(sentence, return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
        assert np.allclose(embedding, alone / np.linalg.norm(alone), atol=1e-5)
        assert np.allclose(embedding, model.embed([sentence])[0], atol=1e-5)


def test_what_means_the_same_is_found_whatever_its_words_and_said_how_near(sentence_model):
    model = SentenceModel(sentence_model)
    said = ["opens the door", "cuts the carrot", "open microwave", "opens the door"]
    actions = [VideoAction("d", f"u{k}", Path("v.mp4"), 0, 1, text, (), (), "l", "g") for k, text in enumerate(said)]
    similarity = Similarity(model, "open microwave")
    near = similarity(said)
    assert near[2] == pytest.approx(1, abs=1e-5) and near[0] == near[3] and len(similarity.known) == 3
    between = sorted(set(near))[1]
    for least, expected in ((-1.0, {0, 1, 2, 3}), (between, {k for k in range(4) if near[k] >= between}), (1.1, {2})):
        found = SearchResult()
        search(actions, Query("open microwave"), Alike(similarity, least), 30.0, found, set())
        assert {int(e.uid[1:]) for e in found.entries} == expected  # its own words are found at any threshold
        assert all(e.extra["similarity"] == round(near[int(e.uid[1:])], 4) for e in found.entries)


def test_missing_weights_are_named_with_licence_and_what_serves_without(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingWeights, match=r"no sentence model weights.*Apache-2\.0.*words are matched without"):
        SentenceModel(tmp_path)
