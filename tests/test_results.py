"""Committed tables are what the raw numbers beside them make."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpr.core.runs import read_lines
from rl.evaluation.curves import evaluations
from rl.experiments.calibration_table import remake_calibration
from rl.experiments.direction_table import write_table
from rl.experiments.practice_table import lines, read_raw
from rl.reward_bench.config import BENCH_PRESETS, RewardBenchConfig
from rl.reward_bench.report import all_figures, bench_table, refusals

RESULTS = Path(__file__).resolve().parent.parent / "results"
FOLDERS = (
    "calibration/pilot/four_seeds",
    "practice/microwave",
    "practice/slide",
    "practice/ablation",
    "practice_last_actor",
)


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


def test_the_rewards_table_is_made_of_the_raw_rows_beside_it() -> None:
    rows = read_lines(RESULTS / "rewards" / "raw" / "microwave.jsonl")
    names = dict.fromkeys(row["reward"] for row in rows if "reward" in row)
    figures = all_figures(rows, [name for name in names if name not in refusals(rows)])
    made = bench_table(RewardBenchConfig(**BENCH_PRESETS["check"]), figures, {}, "").splitlines()
    written = (RESULTS / "rewards" / "table.md").read_text().splitlines()
    assert [line for line in made if line.startswith("|")] == [line for line in written if line.startswith("|")]


def test_the_evaluations_of_the_papers_protocol_are_those_of_the_raw_rows_beside_them() -> None:
    folder = RESULTS / "paper_simulation"
    told = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith(("| motion", "| none"))]
    made = []
    for variant in ("motion", "none"):
        found = evaluations(read_lines(folder / "raw" / f"practice_{variant}_seed_0.jsonl"))
        made += [f"| {variant} | {at:,} | {won.mean():.2f} |" for at, won in zip(*vars(found).values(), strict=True)]
    assert told == made
