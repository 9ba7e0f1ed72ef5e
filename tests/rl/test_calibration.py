"""`mpr experiment calibration`: which goals serve, what is played and what not, and the table out of raw rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.config import parse_config
from mpr.core.errors import UserError
from mpr.core.runs import read_metrics
from rl.environments.kitchen.opening import beyond_shown
from rl.experiments import calibration_runs
from rl.experiments.calibration import CALIBRATION_PARTS, CalibrationConfig
from rl.experiments.calibration_runs import calibrate
from rl.experiments.calibration_table import calibration_lines, calibration_summary, refused

ASKED: dict[str, Any] = {"shown_travel": 0.45, "step_limit": 200, "residual_scale": 0.2, "ajar": True}


def rows(part: str, goal: float, furthest: list[float]) -> list[dict[str, Any]]:
    return [
        {
            **ASKED,
            "rest_steps": 8,
            "task": "microwave",
            "part": part,
            "goal_travel": goal,
            "seed": seed,
            "success": travel >= goal,
        }
        | {"furthest_travel": travel, "beyond_shown": beyond_shown(travel, 0.45, goal)}
        for seed, travel in enumerate(furthest)
    ]


def of_20(part: str, goal: float, won: int) -> list[dict[str, Any]]:
    """The others come half of the way to what is shown."""
    return rows(part, goal, [goal] * won + [0.22] * (20 - won))


@pytest.mark.parametrize(
    ("part", "won", "serves"),
    [
        *(("expert", 19, True), ("expert", 18, False)),
        *(("limited", 16, True), ("limited", 15, False)),
        *(("dense", 10, True), ("dense", 9, False)),
    ],
)
def test_a_part_refuses_a_goal_that_too_few_episodes_reach(part: str, won: int, serves: bool) -> None:
    assert (refused(of_20(part, 0.7, won), part) == "") is serves


def test_a_base_policy_is_to_reach_what_is_shown_and_hardly_more() -> None:
    """0.45 rad are shown, the goal is 0.95 rad: half a radian beyond."""
    assert refused(rows("base", 0.95, [0.45, 0.5, 0.1, 0.1]), "base") == ""
    assert "reaches what is shown in 0.25" in refused(rows("base", 0.95, [0.45, 0.44, 0.1, 0.1]), "base")
    assert "comes 0.25 of the way, over 0.2" in refused(rows("base", 0.95, [0.45, 0.7]), "base")


def test_where_a_price_on_time_finds_the_goal_rewards_are_not_told_apart() -> None:
    assert refused(rows("none", 0.95, [0.45, 0.75]), "none") == ""
    assert refused(rows("none", 0.95, [0.45, 0.8]), "none") == "none comes 0.35 of the way, over 0.3"


def served(goal: float) -> list[dict[str, Any]]:
    told = [of_20(part, goal, 20) for part in ("expert", "limited", "dense")]
    told += [rows(part, goal, [0.46] * 20) for part in ("base", "none")]
    return [row for some in told for row in some]


def test_the_furthest_goal_that_serves_is_chosen() -> None:
    told = served(0.6) + served(0.7) + of_20("expert", 0.8, 12)
    lines = calibration_lines(told, 20)
    held = "held there for 8 steps"
    assert lines[0] == f"# microwave: shown to 0.45 rad, {held}, doors ajar, 200 steps, residual scale 0.2"
    assert lines[4].startswith("| 0.6 rad | 1.00 [") and lines[4].endswith("| serves |")
    assert lines[6].startswith("| 0.8 rad | 0.60 [") and "| – |" in lines[6]
    assert lines[6].endswith("| left out: expert 0.60, under 0.95 |")
    assert lines[-2:] == ["Chosen: a goal of 0.7, the furthest that serves.", "Full: 220 episodes."]
    assert calibration_summary(told, 20)["settings"][0]["chosen"] == 0.7


def test_a_task_without_such_a_goal_is_left_out_and_that_is_said() -> None:
    lines = calibration_lines(of_20("expert", 0.7, 18) + of_20("expert", 0.8, 3), 20)
    assert lines[-2:] == ["None of these goals serves: with this setting microwave is left out.", "Full: 40 episodes."]


def test_a_table_that_is_half_full_says_how_full_and_judges_nothing_by_half_a_part() -> None:
    told = of_20("expert", 0.7, 20) + rows("limited", 0.7, [0.1, 0.1])
    lines = calibration_lines(told, 20)
    assert lines[4].endswith("| open: 78 episodes to come |")
    assert lines[-2:] == ["No goal is known to serve yet.", "22 episodes played, 78 still to come at most."]
    assert calibration_lines([], 20) == ["No episode has been played yet."]


def test_settings_that_differ_beside_the_goal_are_tables_of_their_own() -> None:
    other = [row | {"residual_scale": 0.4} for row in of_20("expert", 0.7, 20)]
    heads = [line for line in calibration_lines(of_20("expert", 0.7, 20) + other, 20) if line.startswith("# ")]
    assert [head.rpartition(" ")[2] for head in heads] == ["0.2", "0.4"]


# --- what is played ---------------------------------------------------------------------------------------------------


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """In place of the kitchen: the expert comes to 0.75 rad, held to a residual as far, base to 0.46, practice too."""
    found: list[tuple[Any, ...]] = []

    @contextmanager
    def kitchen(setting: Any) -> Iterator[Any]:
        yield setting

    def reached(setting: Any, seed: int, travel: float, part: str) -> dict[str, Any]:
        found.append((part, setting.goal_travel, seed, str(setting.base), setting.residual_scale))
        beyond = beyond_shown(travel, setting.shown_travel, setting.goal_travel)
        return {"success": travel >= setting.goal_travel, "steps": 9, "furthest_travel": travel, "beyond_shown": beyond}

    monkeypatch.setattr(calibration_runs, "kitchen_with_base", kitchen)
    monkeypatch.setattr(calibration_runs, "expert_episode", lambda at, seed: reached(at, seed, 0.75, "expert"))
    monkeypatch.setattr(
        calibration_runs,
        "play_episode",
        lambda at, residual, seed: SimpleNamespace(row=reached(at, seed, 0.46, "dense" if residual else "base")),
    )
    monkeypatch.setattr(calibration_runs, "finetune", lambda run: found.append(("practice", run.goal_travel)))
    monkeypatch.setattr(calibration_runs, "load_residual_policy", lambda run: (object(), {}))
    monkeypatch.setattr(calibration_runs, "base_digest", lambda base: str(base))
    return found


def config(out: Path, **asked: Any) -> CalibrationConfig:
    given = {"goals": [0.8, 0.7], "base": Path("some"), "episodes": 2, "ajar": True, "out": out} | ASKED
    return CalibrationConfig(**given | asked)


def test_cheap_parts_come_first_and_a_refused_goal_is_asked_no_further(
    tmp_path: Path, played: list[tuple[Any, ...]]
) -> None:
    calibrate(config(tmp_path))
    near = [("expert", 0.7, "zero", 1.0), ("expert", 0.7, "some", 0.2), ("base", 0.7, "some", 0.2)]
    near += [("practice", 0.7), ("dense", 0.7, "some", 0.2)]
    told = [one if one[0] == "practice" else (*one[:2], *one[3:]) for one in played]
    assert list(dict.fromkeys(told)) == [*near, ("expert", 0.8, "zero", 1.0)]
    kept = [(row["part"], row["goal_travel"], row["seed"]) for row in read_metrics(tmp_path)]
    assert kept == [(part, 0.7, seed) for part in CALIBRATION_PARTS[:4] for seed in (500_000, 500_001)] + [
        ("expert", 0.8, seed) for seed in (500_000, 500_001)
    ]
    assert "| left out: dense 0.00, under 0.5 |" in (tmp_path / "table.md").read_text()


def test_a_killed_run_plays_what_is_missing_and_more_can_be_asked_later(
    tmp_path: Path, played: list[tuple[Any, ...]]
) -> None:
    calibrate(config(tmp_path / "whole"))
    whole = (tmp_path / "whole" / "metrics.jsonl").read_text()
    calibrate(config(tmp_path / "run", parts=["expert"], episodes=1))
    run = tmp_path / "run" / "metrics.jsonl"
    run.write_text(run.read_text() + whole.splitlines()[1][:30])  # killed while writing
    played.clear()
    calibrate(config(tmp_path / "run"))
    assert sorted(run.read_text().splitlines()) == sorted(whole.splitlines())
    assert [one[2] for one in played if one[0] == "expert" and one[3] == "zero"] == [500_001, 500_001]
    for name in ("table.md", "summary.json"):
        assert (tmp_path / "run" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_rows_of_another_base_policy_are_not_mixed(tmp_path: Path, played: list[tuple[Any, ...]], monkeypatch) -> None:
    calibrate(config(tmp_path))
    monkeypatch.setattr(calibration_runs, "base_digest", lambda base: "trained anew")
    with pytest.raises(UserError, match="holds limited episodes of another base policy than some"):
        calibrate(config(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"goals": []}, "--goals (or --goal_travel) is needed"),
        ({"shown_travel": None}, "--shown_travel is needed"),
        ({"goals": [0.4]}, "short of the goal, which is 0.4 rad"),
        ({"goals": [3.0]}, "opens no further than 2.094 rad"),
        ({"parts": ["experts"]}, "--parts experts: there is expert, limited, base, dense, none"),
        ({"seed": 699_999}, "chosen on 500,000 to 699,999"),
        ({"seed": 10_000}, "chosen on 500,000 to 699,999"),
        ({"settings": "demos=none"}, "'demos=none' is decided by the experiment"),
        ({"settings": "goal_travel=0.9"}, "is decided by the experiment"),
        ({"settings": "utd=much"}, "a number is needed"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as refusal:
        config(tmp_path, **wrong)
    assert says in str(refusal.value)


def test_its_price_is_told_before_it_is_paid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--shown_travel", "0.45", "--goals", "0.6", "0.7", "--out", str(tmp_path / "run")]
    assert main(["experiment", "calibration", *words, "--parts", "expert", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "episodes at most: 40\n" in told and "core-hours at most, about: 0.01\n" in told
    assert not (tmp_path / "run").exists()
    assert main(["experiment", "calibration", *words, "--parts", "dense", "--dry-run"]) == 2
    found, _ = parse_config(CalibrationConfig, ["--shown_travel", "0.1", "--goal_travel", "0.6"], "calibration")
    assert found.candidates == (0.6,)


def test_from_demonstrations_to_a_table(tmp_path: Path) -> None:
    """For real, one episode of everything that costs little; an actor that never learned does not reach the goal."""
    asked = ["--task", "slide", "--ajar", "true", "--shown_travel", "0.08"]
    demos = ["--goal_travel", "0.2", "--num_demos", "1", "--out", str(tmp_path / "demos")]
    assert main(["demos", *asked, *demos]) == 0
    asked += ["--goals", "0.12", "--parts", "expert", "dense", "--episodes", "1", "--practice_episodes", "1"]
    asked += ["--base", "zero", "--demos", str(tmp_path / "demos"), "--settings", "utd=0 pretrain=0 buffer=150"]
    for _ in range(2):
        assert main(["experiment", "calibration", *asked, "--out", str(tmp_path / "run")]) == 0
    expert, dense = read_metrics(tmp_path / "run")
    assert expert["success"] and expert["furthest_travel"] >= 0.12 and expert["beyond_shown"] == 1
    assert not dense["success"] and dense["steps"] == 150 and dense["part"] == "dense"
    (practised,) = read_metrics(tmp_path / "run" / "dense" / "goal_0.12")
    assert 0 <= practised["beyond_shown"] <= 1 and practised["furthest_travel"] < 0.12
