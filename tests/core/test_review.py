"""A page to judge clips by, and the judgement obeyed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mpr.core.data.clip_folder import clip_folders, save_clip
from mpr.core.data.review import ShownRows, rejected, write_review
from mpr.core.errors import UserError
from tests.toy_clips import toy_clip


def test_a_rejected_clip_is_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_clip(toy_clip(), tmp_path / name)
    assert [folder.name for folder in clip_folders(tmp_path)] == ["a", "b"]
    (tmp_path / "review.json").write_text(json.dumps({"rejected": ["a", "of another corpus"]}))
    assert [folder.name for folder in clip_folders(tmp_path)] == ["b"]
    (tmp_path / "review.json").write_text(json.dumps({"rejected": ["a", "b"]}))
    with pytest.raises(UserError, match="but rejected ones"):
        clip_folders(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"rejected": [1]}', '{"rejected": 3}', '{"accepted": []}', "\x00"])
def test_what_is_no_review_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "review.json").write_text(text)
    with pytest.raises(UserError, match=r"review\.json is no review"):
        rejected(tmp_path)


def test_the_page_names_every_clip_and_what_was_decided(tmp_path: Path) -> None:
    strange = 'öpen "the" <door> & more'
    clips = [
        ShownRows("a", strange, "a.mp4", "a.png", {"motion": 1.5}),
        ShownRows(strange, "", "b.mp4", "b.png", {"motion": float("nan")}),
    ]
    (tmp_path / "review.json").write_text(json.dumps({"rejected": ["a"]}))
    page = write_review(tmp_path, clips).read_text()
    assert len(re.findall("<article", page)) == 2 and page.count("class=out") == 1
    assert "<door>" not in page and "&lt;door&gt;" in page and "NaN" not in page
    assert 'src="a.mp4"' in page and "preload=none" in page


def test_what_was_rejected_and_is_not_on_the_page_stays_so(tmp_path: Path) -> None:
    strange = "</script>"
    (tmp_path / "review.json").write_text(json.dumps({"rejected": ["a", "of a clip without overlay", strange]}))
    page = write_review(tmp_path, [ShownRows("a", "", "a.mp4", "a.png", {}), ShownRows("b", "", "b.mp4", "b.png", {})])
    (line,) = re.findall("const unseen = (.*);", page.read_text())
    assert json.loads(line) == [strange, "of a clip without overlay"] and strange not in line
