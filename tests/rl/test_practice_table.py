"""What an experiment of practice reports, made of raw numbers alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mpr.core.errors import UserError
from mpr.core.report.intervals import (
    UNIT_RANGE,
    difference_over_runs,
    mean,
    mean_over_runs,
    probability_of_improvement,
    success_rate,
)
from rl.environments.play import BASE_NAME
from rl.evaluation.outcomes import contrast, of_runs
from rl.experiments.practice_table import PracticeRaw, contrast_lines, lines, practice_summary, read_raw, remake

WON = {  # by final policy: successes on ten starts
    BASE_NAME: "1111000000",
    "dense_seed_0": "1111111100",
    "dense_seed_1": "1111110000",
    "motion,tracker=exact_seed_0": "1111111110",
    "motion,tracker=exact_seed_1": "1110000000",
    "motion,tracker=exact_seed_2": "1111000000",
}
PRACTISED = {"dense_seed_0": "0011", "dense_seed_1": "0111"}


def written(folder: Path) -> Path:
    """A raw folder, its evaluation's lines in no order."""
    folder.mkdir()
    rows = [(name, seed, won == "1") for name, all_won in WON.items() for seed, won in enumerate(all_won)]
    rows = sorted(rows, key=lambda row: (row[1] % 3, row[0] != BASE_NAME, row[0]))
    text = "\n".join(json.dumps({"policy": p, "seed": s, "success": won, "steps": 9}) for p, s, won in rows)
    (folder / "evaluation.jsonl").write_text(text + "\n")
    for name, won in PRACTISED.items():
        practised = "\n".join(json.dumps({"episode": k, "success": w == "1"}) for k, w in enumerate(won))
        (folder / f"practice_{name}.jsonl").write_text(practised + "\n")
    return folder


def bits(word: str) -> list[float]:
    return [float(bit) for bit in word]


@pytest.fixture
def raw(tmp_path) -> PracticeRaw:
    return read_raw(written(tmp_path / "raw"))


def test_raw_numbers_are_read_by_arm_and_run(raw):
    assert {variant: len(runs) for variant, runs in raw.variants.items()} == {"dense": 2, "motion tracker=exact": 3}
    assert raw.rates("dense").tolist() == [0.8, 0.6] and raw.base == 0.4
    assert raw.areas("dense").tolist() == [0.5, 0.75] and raw.areas("motion tracker=exact").size == 0
    assert of_runs(raw.rows, [BASE_NAME]).tolist() == [bits(WON[BASE_NAME])]  # in the order of the starts


def test_area_profile_and_chance_stand_beside_final_success(raw):
    text = lines(raw, "dense")
    area, better = mean([0.5, 0.75], UNIT_RANGE), probability_of_improvement([0.8, 0.6], [0.4])
    assert f"| dense | {area} | 0.50, 0.75 | {better} |" in text
    assert any(line.startswith("| motion tracker=exact | – |  | 0.50 [") for line in text)  # one above, one as good
    above = [success_rate([1, 1]), success_rate([1, 1]), success_rate([1, 0]), success_rate([0, 0])]
    assert "| dense | " + " | ".join(map(str, above)) + " |" in text  # 0.25, 0.5, 0.75, 0.9
    figures = practice_summary(raw)["variants"]["dense"]
    assert figures["while_practising"]["value"] == 0.625 and figures["better_than_base"]["value"] == 1


def test_what_was_evaluated_on_the_way_is_told_last_and_best(raw, tmp_path):
    assert not any("best evaluation" in line for line in lines(raw)), "nothing was"
    for name, won in {"dense_seed_0": ["00", "11", "01"], "dense_seed_1": ["01", "00"]}.items():
        rows = [
            {
                "success": False,
                "evaluated_at": 50 * k,
                "evaluated": [{"seed": 0, "success": bit == "1"} for bit in some],
            }
            for k, some in enumerate(won, 1)
        ]
        text = "\n".join(json.dumps(row) for row in [{"success": True}, *rows])
        (tmp_path / "raw" / f"practice_{name}.jsonl").write_text(text + "\n")
    found = lines(read_raw(tmp_path / "raw"))
    last, best = mean_over_runs([[0, 1], [0, 0]]), mean_over_runs([[1, 1], [0, 1]])
    assert f"| dense | 150 | {last} | {best} |" in found
    assert "| motion tracker=exact | – | – | – |" in found
    figures = practice_summary(read_raw(tmp_path / "raw"))["variants"]
    assert figures["dense"]["best_evaluation"]["value"] == best.value
    assert "best_evaluation" not in figures["motion tracker=exact"]


def test_arms_are_contrasted_on_the_same_starts_and_not_by_training_seed(raw):
    names = [name for name in WON if name.startswith("motion")]
    found = contrast(raw.rows, names, ["dense_seed_0", "dense_seed_1"])
    motion, dense = ([bits(WON[name]) for name in some] for some in (names, ("dense_seed_0", "dense_seed_1")))
    assert found == difference_over_runs(motion, dense)
    assert found == contrast(raw.rows, names, ["dense_seed_1", "dense_seed_0"])
    better = probability_of_improvement([0.9, 0.3, 0.4], [0.8, 0.6])
    assert better.value == pytest.approx(2 / 6)
    assert contrast_lines(raw, "dense")[-1] == f"| motion tracker=exact | {found} | {better} | – |"
    assert contrast_lines(raw, "") == []


def test_tables_and_images_are_made_again_from_raw_numbers(raw, tmp_path):
    made = remake(tmp_path / "raw", tmp_path / "out", "dense", "toy")
    assert (tmp_path / "out" / "table.md").read_text() == "\n".join(["# toy", "", *made]) + "\n"
    assert made == lines(raw, "dense")
    for name in ("curves.png", "profiles.png"):
        assert (tmp_path / "out" / name).stat().st_size > 5_000
    with pytest.raises(UserError, match=r"holds no evaluation\.jsonl"):
        remake(tmp_path, tmp_path / "out")


def test_one_run_an_arm_has_no_interval_over_runs():
    rows = [{"policy": p, "seed": s, "success": s < 5, "steps": 9} for p in (BASE_NAME, "a_seed_0") for s in range(10)]
    raw = PracticeRaw(rows, {"a": ["a_seed_0"]}, {"a": [np.ones(4)]})
    text = "\n".join(lines(raw))
    assert "| a | 1.00 (n = 1: no interval) | 1.00 | 0.50 (n = 1: no interval) |" in text
    assert f"| a | {success_rate([1] * 5 + [0] * 5)} | {difference_over_runs([[0] * 10], [[0] * 10])} |" in text


def test_a_reward_of_before_has_its_name_of_today(tmp_path):
    rows = [{"policy": name, "seed": 1, "success": True, "steps": 9} for name in (BASE_NAME, "sparse,utd=2_seed_0")]
    (tmp_path / "evaluation.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert read_raw(tmp_path).variants == {"paper_sparse utd=2": ["sparse,utd=2_seed_0"]}
