"""Things by name: ours, and those of other packages, found by entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mpr.core.errors import UserError
from mpr.core.registry import Registry
from tests.other_package import installed

KINDS = Registry(
    "kind", "mpr.kinds_of_this_test", {"pi": "math:pi", "join": "os.path:join", "decode": "json:JSONDecoder.decode"}
)


def test_ours_are_imported_on_use():
    assert KINDS.names() == ("pi", "join", "decode")
    assert 3 < KINDS.load("pi") < 4 and callable(KINDS.load("decode"))


def test_a_name_that_nothing_has_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match=r"no kind 'tau'; there is pi, join, decode$"):
        KINDS.load("tau")


def test_another_package_adds_one_and_ours_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = {"kinds_there.py": "tau = 6\npi = 'theirs'\n"}
    installed(tmp_path, monkeypatch, files, {KINDS.group: {"tau": "kinds_there:tau", "pi": "kinds_there:pi"}})
    assert KINDS.names() == ("pi", "join", "decode", "tau")
    KINDS.check("tau")
    assert "kinds_there" not in sys.modules  # checked, not imported
    assert KINDS.load("tau") == 6 and KINDS.load("pi") != "theirs"


@pytest.mark.parametrize("value", ["not_there_at_all:x", "kinds_broken:x", "kinds_lacking:x"])
def test_one_that_cannot_be_imported_is_refused_in_a_line(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = {"kinds_broken.py": "1 / 0\n", "kinds_lacking.py": ""}
    installed(tmp_path, monkeypatch, files, {KINDS.group: {"odd": value}})
    with pytest.raises(UserError, match=rf"kind 'odd' \({value}\) cannot be imported \(") as refused:
        KINDS.load("odd")
    assert "\n" not in str(refused.value)
