"""The settings in configs/: one file serves every command, and each of them runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.command_line import read_yaml
from mpr.core.config import parse_config
from mpr.core.runs import read_metrics
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.tasks import find_task
from rl.environments.setting import DoorOptions, names
from rl.experiments.practice import PracticeConfig

FILES = sorted((Path(__file__).resolve().parents[2] / "configs").glob("setting_*.yaml"))
EXPERIMENTS = ("base", "practice", "calibration", "ceiling")


def said(file: Path) -> dict[str, object]:
    return dict(read_yaml(file.read_text()))


def test_there_are_the_four_settings() -> None:
    found = {file.stem.removeprefix("setting_") for file in FILES}
    assert found == {f"further_{task}" for task in ("microwave", "hinge", "slide")} | {
        *("rare_microwave", "easy_microwave", "wrong_ways_hinge")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_names_one_task_to_demonstrations_and_to_practice(file: Path) -> None:
    """What practice and evaluation read as env and its options, `mpr demos` reads as task and start."""
    told = said(file)
    assert told["env"] == f"kitchen:{told['task']}"
    assert told.get("env_options", "") == (f"start={told['start']}" if "start" in told else "")
    assert ("goal_travel" in told) >= ("shown_travel" in told)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_one_file_serves_every_command_and_none_loses_what_decides_its_episodes(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, out = said(file), str(tmp_path / "out")
    for name in ("demos", "finetune", "evaluate"):
        main([name, "--config", str(file), "--dry-run", "--out", out])
        plan = capsys.readouterr().out.splitlines()
        for key in set(told) & {*names(DoorOptions)}:
            value = told[key]
            assert f"  {key}: {value}" in plan, (name, key)
    demonstrable = "start" not in told
    for name in EXPERIMENTS if demonstrable else ():
        if name == "calibration" and "shown_travel" not in told:
            continue
        main(["experiment", name, "--config", str(file), "--dry-run", "--out", out])
        error = capsys.readouterr().err
        assert not error or "missing input" in error, (name, error)


def test_a_start_that_an_experiment_cannot_ask_for_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = (file for file in FILES if "start" in said(file))
    assert main(["experiment", "practice", "--config", str(file), "--dry-run"]) == 2
    assert "unknown key start" in capsys.readouterr().err


def test_a_key_that_is_nobodys_is_refused_in_a_shared_file_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "setting.yaml"
    file.write_text("task: slide\nenv: kitchen:slide\nshown_travle: 0.1\n")
    assert main(["demos", "--config", str(file), "--dry-run"]) == 2
    assert "unknown key shown_travle" in capsys.readouterr().err


def test_a_residual_scale_is_every_variants_that_names_no_other() -> None:
    asked = ["--residual_scale", "0.2", "--variants", "none,dense residual_scale=0.3", "--settings", "utd=1"]
    config, _ = parse_config(PracticeConfig, asked, "practice")
    assert [config.run_of(variant, 0).residual_scale for variant in config.variants] == [0.2, 0.3]
    assert PracticeConfig().run_of("none", 0).residual_scale == 0.1
    further = [file for file in FILES if file.stem == "setting_further_microwave"]
    of_file, _ = parse_config(PracticeConfig, ["--config", str(further[0])], "practice", None, {"env": "task"})
    assert (of_file.run_of("none", 0).residual_scale, of_file.shown_travel) == (0.2, 0.45)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_setting_is_practised_and_evaluated_in(file: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    short = ["--config", str(file), "--base", "zero", "--step_limit", "2"]
    practice = ["--demos", "none", "--episodes", "1", "--utd", "0", "--buffer", "10"]
    assert main(["finetune", *short, *practice, "--out", str(run)]) == 0
    asked = ["--residuals", str(run), "--episodes", "1", "--videos", "0", "--out", str(out)]
    assert main(["evaluate", *short, *asked]) == 0
    rows, told = [*read_metrics(run), *read_metrics(out)], said(file)
    assert all(row["steps"] == 2 and not row["success"] for row in rows) and len(rows) == 3
    assert all(("beyond_shown" in row) == ("shown_travel" in told) for row in rows)
    most = 0.4 if "start" in told else 0.36 if told.get("ajar") else 0.01
    assert all(row["furthest_travel"] < most * 1.1 for row in rows)


def test_part_open_doors_can_be_shut_and_opened_for_one_another() -> None:
    environment, hinge = KitchenEnvironment("hinge", start="part_open"), find_task("hinge")
    low, high = environment.model.jnt_range[[environment.model.joint(name).id for name in
                                             ("left_hinge_cabinet", "right_hinge_cabinet")]].T  # fmt: skip
    for seed in (500_000, 500_001):
        environment.reset(seed=seed)
        doors = environment.data.qpos[list(hinge.joints)]
        assert (low <= doors).all() and (doors <= high).all()
        assert (0.19 * hinge.opened < np.abs(doors)).all() and (np.abs(doors) < 0.41 * hinge.opened).all()
