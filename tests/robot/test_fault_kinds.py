"""The words for what is wrong are one list: that of watch and guard, of the campaign and of the docs."""

from __future__ import annotations

from pathlib import Path

from robot.faults.catalogue import catalogue
from robot.hardware.fault_kind import FaultKind

DOCS = Path(__file__).resolve().parents[2] / "docs" / "robot.md"


def test_docs_tell_every_kind() -> None:
    told = DOCS.read_text()
    assert [kind for kind in FaultKind if f"`{kind.value}`" not in told] == []


def test_every_fault_of_the_campaign_is_told_as_a_kind_that_there_is() -> None:
    assert {kind for case in catalogue() for kind in case.told_as} <= set(FaultKind)
