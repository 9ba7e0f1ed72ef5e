"""`mpr experiment learner`: what it runs, what it refuses, its table, and the experiment in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.errors import UserError
from mpr.core.report.intervals import UNIT_RANGE, difference_of_ratios
from rl.data.demonstrations import demonstration_folder, save_demonstration
from rl.environments.kitchen.setting import ACTION, STATE
from rl.experiments.learner import LearnerConfig
from rl.experiments.learner_table import LearnerPlan, minus_base, minus_plain, write_learner_table
from tests.toy_demonstrations import demonstration

CHANGES = ["critic_warmup=9", "signal_share=0.5", "bonus=2 shaping=potential"]


def test_a_reward_without_a_signal_takes_no_change_to_it():
    config = LearnerConfig(changes=CHANGES)
    none = ["none", "none critic_warmup=9", "none bonus=2"]
    assert config.variants() == [*none, "dense", *(f"dense {change}" for change in CHANGES)]


def test_runs_share_no_training_seed_with_what_is_reported_and_every_seed_has_all_variants():
    units = LearnerConfig(changes=CHANGES, tasks=["microwave", "slide"], seeds=2).units()
    assert len(units) == 2 * 2 * 7 and {unit.seed for unit in units[:14]} == {100}
    assert [unit.env for unit in units[:14]] == ["kitchen:microwave"] * 7 + ["kitchen:slide"] * 7
    assert units[0].base == Path("runs/bases/microwave") and units[7].demos == Path("runs/demos/slide")
    assert len({unit.out for unit in units}) == len(units)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"seed": 700_000}, "--seed 700000, 100 episodes: this chooses, and does so on 500,000 to 699,999"),
        ({"seed": 699_950}, "--seed 699950, 100 episodes"),
        ({"tasks": ["kettle"]}, "tasks: unknown 'kettle'; there is microwave"),
        ({"changes": ["utd"]}, "change 'utd': 'utd' lacks its =value"),
        ({"changes": ["bonus=2", "bonus=2"]}, "changes are at least one, each said once"),
        ({"changes": ["bonus=2", "bonus=2.0"]}, "no two mean the same"),
        (
            {"changes": ["signal_weight=100"], "settings": "demos=none"},
            "a --signal_weight above 1, take demonstrations",
        ),
        ({"seeds": 0}, "are at least 1"),
        ({"engine": "mail"}, "engine 'mail'"),
    ],
)
def test_what_cannot_be_measured_is_refused(asked, says):
    with pytest.raises(UserError, match=says):
        LearnerConfig(**asked)


def bits(word: str) -> np.ndarray:
    return np.array([float(bit) for bit in word])


def written(folder: Path, seeds: int = 2, episodes: int = 45) -> Path:
    """Raw numbers of two variants: one as good as its base and one that falls at first; a run is missing."""
    raw = folder / "raw" / "microwave"
    raw.mkdir(parents=True)
    plan = LearnerPlan(["microwave"], ["none", "none utd=2"], seeds, episodes)
    (folder / "raw" / "plan.json").write_text(json.dumps(plan.as_json()))
    rows = [{"policy": "base", "seed": 500_000 + k, "success": k % 2 == 0, "steps": 9} for k in range(100)]
    (raw / "evaluation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, won in RUNS.items():
        lines = [json.dumps({"episode": k + 1, "success": bool(one)}) for k, one in enumerate(won)]
        (raw / f"practice_{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


RUNS = {
    "none_seed_100": bits("01" * 22 + "1"),
    "none_seed_101": bits("10" * 22 + "0"),
    "none,utd=2_seed_100": bits("0" * 20 + "1" * 25),
}


def test_the_table_is_success_of_blocks_minus_the_base_policy_and_says_how_full_it_is(tmp_path):
    figures = write_learner_table(written(tmp_path))
    table = (tmp_path / "table.md").read_text()
    base = bits("10" * 50)
    plain, changed = [RUNS["none_seed_100"], RUNS["none_seed_101"]], [RUNS["none,utd=2_seed_100"]]
    first = difference_of_ratios(([10, 10], [20, 20]), (base, np.ones(100)), UNIT_RANGE)
    assert minus_base(plain, base, 1, 20) == first and first.value == 0
    last = difference_of_ratios(([3, 2], [5, 5]), (base, np.ones(100)), UNIT_RANGE)
    assert minus_base(plain, base, 41, 45) == last
    assert "**3 of 4 runs: not complete**" in table and "| 1–20 | 21–40 | 41–45 | first 40 |" in table
    assert f"| none | 2 | {first} | " in table
    assert "| none utd=2 | 1 | -0.50 (n = 1: no interval) | 0.50 (n = 1: no interval) | " in table
    assert minus_plain(changed, plain).value == pytest.approx(25 / 45 - 0.5)
    assert figures["microwave"]["variants"]["none utd=2"]["1_20"]["value"] == -0.5


def test_a_block_wholly_below_the_base_policy_is_bold(tmp_path):
    folder = written(tmp_path, seeds=8)
    fallen = (folder / "raw/microwave/practice_none,utd=2_seed_100.jsonl").read_bytes()
    for seed in range(101, 108):
        (folder / f"raw/microwave/practice_none,utd=2_seed_{seed}.jsonl").write_bytes(fallen)
    write_learner_table(folder)
    table = (folder / "table.md").read_text()
    assert "| none utd=2 | 8 | **-0.50 [" in table and "**10 of 16 runs: not complete**" in table
    assert "| none | 2 | **" not in table


def test_without_raw_numbers_there_is_no_table(tmp_path):
    with pytest.raises(UserError, match=r"holds no plan\.json: run `mpr experiment learner --out"):
        write_learner_table(tmp_path)


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    """Demonstrations of the kitchen's sizes."""
    rng = np.random.default_rng(0)
    for seed in range(2):
        actions = rng.uniform(-1, 1, (12, ACTION)).astype(np.float32)
        states = rng.normal(size=(13, STATE)).astype(np.float32) / 10
        made = demonstration(states, actions, actions, np.arange(13) / 12.5, seed=seed)
        save_demonstration(made, demonstration_folder(tmp_path / "demos" / "microwave", seed))
    return tmp_path / "demos"


def test_the_learner_experiment_in_miniature_and_resumed(demos, tmp_path, capsys):
    out = tmp_path / "learner"
    asked = ["experiment", "learner", "--preset", "check", "--bases", "zero", "--demos", str(demos), "--out", str(out)]
    asked += ["--rewards", "dense", "--changes", "critic_warmup=5 shaping=potential", "--workers", "1"]
    asked += ["--practice_episodes", "1", "--episodes", "2"]
    asked += ["--settings", "pretrain=2 warmup_steps=5 batch=8 utd=0.1"]
    assert main(asked) == 0
    raw = out / "raw" / "microwave"
    names = ["practice_dense,critic_warmup=5,shaping=potential_seed_100.jsonl", "practice_dense_seed_100.jsonl"]
    assert json.loads((out / "raw/bases.json").read_text()) == {"microwave": ""}
    assert sorted(file.name for file in raw.iterdir()) == ["evaluation.jsonl", *names]
    table = (out / "table.md").read_bytes()
    assert b"; 2 runs." in table and b"| dense critic_warmup=5 shaping=potential | 1 |" in table
    (raw / names[0]).unlink()  # as if killed before it was copied
    (out / "summary.json").unlink()
    runs = {file: file.stat().st_mtime_ns for file in (out / "microwave/runs").rglob("metrics.jsonl")}
    assert main(asked) == 0
    assert (out / "table.md").read_bytes() == table
    assert runs == {file: file.stat().st_mtime_ns for file in runs}, "what is there is kept"
    assert main([*asked[:-1], "pretrain=3"]) == 2
    assert "settings" in capsys.readouterr().err
    elsewhere = [*asked, "--out", str(tmp_path / "other_machine"), "--raw", str(out / "raw")]
    assert main(elsewhere) == 0 and not (tmp_path / "other_machine/microwave/runs").exists(), "its rows are enough"
    assert (tmp_path / "other_machine/table.md").read_bytes() == table
    (out / "raw/bases.json").write_text('{"microwave": "of another"}')
    assert main([*elsewhere, "--out", str(tmp_path / "third")]) == 2
    assert "is of other base policies" in capsys.readouterr().err
