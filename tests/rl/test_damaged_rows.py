"""Raw rows of experiments and of the rewards' bench that are damaged: refused in a line that names the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.core.errors import UserError
from mpr.core.runs import read_lines
from rl.experiments.calibration_table import calibration_lines, calibration_summary, remake_calibration
from rl.experiments.learner_table import LearnerPlan, write_learner_table
from rl.reward_bench.figures import RewardBenchRow, paid_by

GOAL = {"task": "microwave", "part": "base", "goal_travel": 0.6, "shown_travel": 0.45, "step_limit": 200}
GOAL |= {"residual_scale": 0.2, "ajar": True, "seed": 0, "success": True, "furthest_travel": 0.6, "beyond_shown": 0.5}
SCORED = {"situation": "opening", "number": 0, "travel": [0.0, 1.0], "scores": [0.5, 1.0]}


def refusal(told: pytest.ExceptionInfo[UserError]) -> str:
    said = str(told.value)
    assert "\n" not in said and len(said) < 500
    return said


@pytest.mark.parametrize("name", GOAL)
@pytest.mark.parametrize("odd", ["x", [], {"a": 1}, float("nan"), 10**400])
def test_a_row_of_a_calibration_that_holds_something_else_is_refused(name: str, odd: Any, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    file = tmp_path / "raw" / "microwave.jsonl"
    file.write_text(json.dumps(GOAL) + "\n" + json.dumps({**GOAL, name: odd}) + "\n")
    if name in ("task", "part") and odd == "x":
        file.write_text(json.dumps(GOAL) + "\n" + json.dumps({k: v for k, v in GOAL.items() if k != name}) + "\n")
    with pytest.raises(UserError) as told:
        remake_calibration(tmp_path)
    assert "line 2" in refusal(told)


def test_rows_of_a_calibration_that_are_whole_are_read(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "microwave.jsonl").write_text(json.dumps(GOAL | {"step_limit": None}) + "\n")
    lines = remake_calibration(tmp_path)
    assert lines[0].startswith("# microwave: shown to 0.45 rad, broken off in motion, doors ajar, 150 steps")
    assert calibration_lines([GOAL], 1) and calibration_summary([GOAL], 1)


@pytest.mark.parametrize(
    "odd",
    [{"scores": "x"}, {"scores": [None]}, {"number": []}, {"travel": [1.0]}, {"travel": 0.5}, {"situation": {}},
     {"reward": 3}, {"scores": [float("nan")] * 2}, {"latency_s": 0.1},
     {"cpu_s": ["x"]}, {"view": 3}, {"task": None}, {"last": "x"}],
)  # fmt: skip
def test_a_row_of_the_rewards_bench_that_holds_something_else_is_refused(odd: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({**SCORED, "reward": "motion", **odd}) + "\n")
    with pytest.raises(UserError) as told:
        read_lines(tmp_path / "metrics.jsonl", RewardBenchRow)
    assert "line 1" in refusal(told)


@pytest.mark.parametrize("moved", [[], [{}], [{"scores": [0.5]}], [{"number": 1}], [{"scores": []}]])
def test_an_episode_without_its_share_of_what_moved_is_refused_by_name(moved: list[dict[str, Any]]) -> None:
    rows = [{**SCORED, "reward": "motion"}, *({**SCORED, "reward": "any_motion", **one} for one in moved)]
    if moved == [{}]:
        assert len(paid_by(rows, "motion", "opening")) == 1
        return
    with pytest.raises(UserError) as told:
        paid_by(rows, "motion", "opening")
    assert "opening, episode 0: motion has 2 steps" in refusal(told)


@pytest.mark.parametrize(
    "odd",
    [{"tasks": ["x"]}, {"tasks": ["a\0b"]}, {"tasks": ["9" * 5000]}, {"episodes": 0}, {"episodes": -1},
     {"episodes": 2**62}, {"seeds": 0}, {"seeds": 2**40}, {"variants": None}, {"tasks": "microwave"}],
)  # fmt: skip
def test_a_plan_that_no_experiment_makes_is_refused(odd: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    plan = LearnerPlan(["microwave"], ["none"], 2, 40).as_json()
    (tmp_path / "raw" / "plan.json").write_text(json.dumps({**plan, **odd}))
    with pytest.raises(UserError) as told:
        write_learner_table(tmp_path)
    refusal(told)


def test_a_plan_whose_plain_learner_was_lost_still_has_a_table(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    plan = LearnerPlan(["microwave"], ["none utd=2"], 1, 40)
    (tmp_path / "raw" / "plan.json").write_text(json.dumps(plan.as_json()))
    write_learner_table(tmp_path)
    assert "| none utd=2 | 0 |" in (tmp_path / "table.md").read_text()
