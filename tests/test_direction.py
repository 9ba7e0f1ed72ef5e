"""The direction experiment's table, from raw numbers made by hand."""

from __future__ import annotations

import csv

import pytest

from mpr.reward import MOVED_REPORTED
from rl.experiments.direction_table import Raw, direction, opening_minus_closing, write_table
from tracking.errors import UserError

ROWS = {"motion": (0.8, 0.1), "any_motion": (1.0, 1.0), "random_direction": (0.32, 0.32)}


def write_raw(folder, miss: float = 0.0, per_kind: int = 20) -> None:
    (folder / "raw").mkdir(parents=True)
    sums = [f"{name}_{moved}" for moved in MOVED_REPORTED for name in ("agreement", "share")]
    for tracker in ("exact", "lucas_kanade"):
        with (folder / "raw" / f"microwave_{tracker}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            columns = ["task", "kind", "tracker", "row", "episode", "view", "steps", "steps_without_points"]
            writer.writerow([*columns, *sums])
            for row, (opening, closing) in ROWS.items():
                for kind, ratio in (("opening", opening), ("closing", closing), ("miss", None)):
                    for i in range(per_kind):
                        share = 10.0 + i if ratio is not None else 0.0
                        agreement = share * ratio if ratio is not None else 100 * miss
                        view = "held_out_one" if i % 2 else "front"
                        numbers = [agreement, share] * 3
                        writer.writerow(["microwave", kind, tracker, row, i, view, 100, 0, *numbers])


def test_figures_and_aims(tmp_path):
    write_raw(tmp_path)
    raw = Raw(tmp_path)
    at = {"tracker": "exact", "task": "microwave", "row": "motion"}
    assert direction(raw, {**at, "kind": "opening"}).value == pytest.approx(0.8)
    assert direction(raw, {**at, "kind": "opening"}, views="held_out").n == 10
    assert opening_minus_closing(raw, at).value == pytest.approx(0.7)
    summary = write_table(tmp_path)
    assert all(met for _, met in summary["microwave, exact"].values())
    text = (tmp_path / "table.md").read_text()
    assert "| motion | 0.80 [0.80, 0.80] | 0.10 [0.10, 0.10] | 0.70 [0.70, 0.70]" in text
    assert "held-out cameras" in text and "threshold 0.25 px" in text and "nan" not in text


def test_an_aim_that_is_missed_is_said(tmp_path):
    write_raw(tmp_path, miss=0.05)
    summary = write_table(tmp_path)
    figure, met = summary["microwave, lucas_kanade"]["miss <= 0.02"]
    assert not met and figure.startswith("0.0500")
    assert "**no**" in (tmp_path / "table.md").read_text()


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no scores yet"):
        write_table(tmp_path)
