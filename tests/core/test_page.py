"""Pages: one file, everything in it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from mpr.core.errors import UserError
from mpr.core.report.page import media_markdown, write_page


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]


def test_a_page_holds_its_tables_images_and_films_and_asks_for_nothing(tmp_path):
    files = [tmp_path / "a & b.png", tmp_path / "c.mp4"]
    for file in files:
        file.write_bytes(b"\x89\x00\xff" * 10)
    text = "# <Title>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n" + media_markdown(files[0], Path("c.mp4"))
    write_page(tmp_path / "page.html", text)
    text = (tmp_path / "page.html").read_text()
    page = Read(text)
    assert page.tags.count("td") == 2 and {"h1", "img", "video"} <= set(page.tags)
    assert [source[:15] for source in page.sources] == ["data:image/png;", "data:video/mp4;"]
    assert "<title>&lt;Title&gt;</title>" in text and "a &amp; b" in text


def test_another_kind_of_file_is_refused_and_no_page_is_left(tmp_path):
    (tmp_path / "x.exe").write_bytes(b"")
    with pytest.raises(UserError, match=r"x.exe.*\.png"):
        write_page(tmp_path / "page.html", "# t\n\n![a program](x.exe)\n")
    assert not (tmp_path / "page.html").exists()
