"""The `mpr` command: what a user can get wrong ends in one line and status 2."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from mpr import cli
from mpr.commands.doctor import try_backend
from mpr.core.errors import UserError
from rl.experiments.command import main as experiment


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mpr.cli", *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_verb_quickly_and_imports_nothing_heavy():
    done = run("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in cli.CLI_VERBS)
    code = "import sys, mpr.cli; print(sorted({'torch', 'mujoco', 'cv2', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], ["unknown verb 'nosuch'", "score"]),
        (["doctor", "--nosuch", "3"], ["unknown key --nosuch", "weights"]),
        (["score"], ["exactly one of --episode, --clip, --video"]),
        (["score", "--clip", "c", "--reward", "vip"], ["reward 'vip'", "any_motion"]),
        (["score", "--clip", "c"], ["needs --predictor"]),
        (["score", "--clip", "nowhere", "--reward", "any_motion"], ["input nowhere does not exist"]),
        (["score", "--clip", "c", "--predictor", "p", "--motion_threshold_px", "-1"], ["--motion_threshold_px -1"]),
        (["experiment", "nosuch"], ["unknown experiment", "direction"]),
        (["experiment", "direction", "--kinds", "[opening, shutting]"], ["unknown 'shutting'", "closing"]),
        (["experiment", "direction", "--predictors", "nowhere"], ["nowhere/microwave does not exist", "mpr train"]),
        (["synth", "--clips", "10000000000"], ["--clips 10000000000: 1 to 1,000,000"]),
        (["episodes", "--seed", "-1"], ["--seed -1: at least 0"]),
        (["bench", "robot", "--step_limit", "0"], ["--step_limit 0: 1 or more"]),
        (["doctor", "--config", "nowhere.yaml"], ["config file nowhere.yaml does not exist"]),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    assert all(word in said for word in words), said
    assert list(tmp_path.iterdir()) == []  # and nothing was written


def test_a_full_disk_is_said_and_other_os_errors_are_not_hidden(monkeypatch, capsys):
    def broken(code):
        def main(argv):
            raise OSError(code, "broken", "runs/x")

        return main

    for full in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        monkeypatch.setattr("mpr.commands.doctor.main", broken(full))
        assert cli.main(["doctor"]) == 2
        assert "disk is full (runs/x)" in capsys.readouterr().err
    monkeypatch.setattr("mpr.commands.doctor.main", broken(errno.EIO))
    with pytest.raises(OSError, match="broken"):
        cli.main(["doctor"])


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR])
def test_a_path_that_cannot_be_written_is_named_and_what_names_none_is_not_hidden(code, monkeypatch, capsys):
    def main(argv):
        raise OSError(code, "in the system's words", *argv)

    monkeypatch.setattr("mpr.commands.doctor.main", main)
    assert cli.main(["doctor", "runs/x"]) == 2
    assert capsys.readouterr().err == "mpr: runs/x: in the system's words; give another path\n"
    with pytest.raises(OSError, match="in the system's words"):
        cli.main(["doctor"])


def test_a_file_that_the_code_itself_misses_is_not_hidden(monkeypatch):
    monkeypatch.setattr("mpr.commands.doctor.main", lambda argv: Path("/nowhere/of/ours").read_text())
    with pytest.raises(FileNotFoundError):
        cli.main(["doctor"])


def test_dry_run_prints_the_plan_and_touches_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip").mkdir()
    assert cli.main(["score", "--clip", "clip", "--reward", "any_motion", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "reward: any_motion" in said and "clip (found)" in said and "disk free" in said
    assert [p.name for p in tmp_path.iterdir()] == ["clip"]
    assert cli.main(["score", "--clip", "gone", "--reward", "any_motion", "--dry-run"]) == 2


CONFIGS = sorted(  # settings are for several commands: tests/rl/test_setting_files.py
    file for file in (Path(__file__).parents[1] / "configs").iterdir() if not file.name.startswith("setting_")
)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_every_config_of_the_repository_is_read_and_says_something(file: Path, monkeypatch: pytest.MonkeyPatch):
    """All are of `mpr train` today; one of another command is named after it, and has its line here."""
    from mpr.core.config import parse_config
    from mpr.training.config import TrainConfig
    from rl.experiments.reach import ReachConfig

    kind = {"train": TrainConfig, "predictor": TrainConfig, "reach": ReachConfig}[file.stem.partition("_")[0]]
    monkeypatch.chdir(file.parents[1])
    config, _ = parse_config(kind, ["--config", str(file)], "mpr train")
    assert kind is ReachConfig or config != kind()  # a reach of the defaults alone is none
    if file.stem.startswith("train_"):
        assert config.size == file.stem.removeprefix("train_")


def test_doctor_says_why_a_back_end_does_not_work():
    assert try_backend("nonsense").startswith("no (")


@pytest.mark.gl
def test_doctor_finds_a_back_end_that_works():
    assert any(try_backend(name).startswith("works") for name in ("egl", "osmesa", "glfw"))


REACH = ["--config", "configs/reach.yaml"]


@pytest.mark.parametrize("name", ["base", "direction", "practice", "reach", "learner"])
def test_each_table_has_three_sizes_whose_price_is_told_before_it_is_paid(name, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    prices, options = (
        {},
        {"practice": ["--variants", "none", "dense", "--against", "none"], "reach": REACH}.get(name, []),
    )
    for preset in ("check", "report", "paper"):
        with pytest.raises(UserError, match="missing input"):  # its price is told all the same
            experiment([name, "--preset", preset, *options, "--dry-run"])
        told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("core-hours"))
        prices[preset] = float(told.rpartition(" ")[2])
    assert prices["check"] < 0.2 < prices["report"] <= prices["paper"]
    with pytest.raises(UserError, match="no preset 'huge'; there is check, report, paper"):
        experiment([name, "--preset", "huge"])


def test_an_option_says_more_than_a_preset(capsys):
    with pytest.raises(UserError, match="missing input"):
        experiment(["direction", "--preset", "check", "--episodes", "3", "--dry-run"])
    assert "\n  episodes: 3\n" in capsys.readouterr().out
