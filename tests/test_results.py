"""Committed tables are what the raw numbers beside them make."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl.experiments.calibration_table import remake_calibration
from rl.experiments.direction_table import write_table
from rl.experiments.practice_table import lines, read_raw

RESULTS = Path(__file__).resolve().parent.parent / "results"
FOLDERS = ("practice/microwave", "practice/slide", "practice/ablation", "practice_last_actor")


@pytest.mark.parametrize("folder", FOLDERS)
def test_tables_of_practice_are_made_of_the_raw_numbers_beside_them(folder):
    written = (RESULTS / folder / "table.md").read_text().split("\n")
    missing = [line for line in lines(read_raw(RESULTS / folder / "raw")) if line not in written]
    assert not missing, "make the table anew: rl.experiments.practice_table.remake"


def test_the_direction_table_is_made_of_the_raw_numbers_beside_it_and_says_how_full_it_is(tmp_path: Path) -> None:
    (tmp_path / "raw").symlink_to(RESULTS / "direction" / "raw")
    write_table(tmp_path)
    written = (RESULTS / "direction" / "table.md").read_text()
    assert (tmp_path / "table.md").read_text() == written
    assert all(line.endswith("episodes of each kind") for line in written.splitlines() if line.startswith("### "))


def test_the_calibration_table_is_made_of_the_raw_numbers_beside_it_and_says_how_full_it_is() -> None:
    written = (RESULTS / "calibration" / "table.md").read_text().splitlines()
    assert written == remake_calibration(RESULTS / "calibration")
    heads = sum(line.startswith("# ") for line in written)
    assert sum(line.startswith("Full: ") or line.endswith("still to come at most.") for line in written) == heads
