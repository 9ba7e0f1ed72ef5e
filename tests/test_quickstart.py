"""The quickstart: its stages are commands that exist, its page shows what it says, and killed it ends the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.intervals import Interval
from rl.outcomes import BASE
from rl.quickstart import QuickstartConfig, last_words, stages, waves
from rl.quickstart_page import RESIDUAL, verdict, worth_showing
from tracking.errors import UserError

MINIATURE = [
    "quickstart", "--clips", "3", "--predictor", "steps=3 batch=2 points=12 lr=0.01", "--demonstrations", "1",
    "--base", "size=tiny steps=3 batch=4", "--episodes", "2", "--practice", "pretrain=2 ratio=0.1 batch=8",
    "--evaluation", "2", "--reward_episodes", "1",
]  # fmt: skip


def test_its_stages_are_commands_that_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = QuickstartConfig(out=tmp_path / "q", seed=3)
    for stage in stages(config).values():
        status, error = main([*stage.argv, "--dry-run"]), capsys.readouterr().err
        assert status == 0 or error.startswith("mpr: missing input"), error
    assert list(tmp_path.iterdir()) == []
    planned = [one.name for wave in waves(config) for _, chain in wave for one in chain]
    assert sorted(planned) == sorted(stages(config))


def test_quickstarts_of_two_seeds_share_no_seed() -> None:
    one, other = (stages(QuickstartConfig(seed=seed)) for seed in (0, 1))
    for name in one:
        first, second = (int(s[name].argv[s[name].argv.index("--seed") + 1]) for s in (one, other))
        counts = {"clips": 150, "demonstrations": 100, "evaluation": 100, "reward": 6}
        assert second - first >= counts.get(name, 1), name
    for wrong in ({"seed": 80}, {"clips": 0}, {"task": "drawer"}):
        with pytest.raises(UserError):
            QuickstartConfig(**wrong)


def row(policy: str, seed: int, success: bool, travel: float) -> dict:
    return {"policy": policy, "seed": seed, "success": success, "travel": travel}


def test_three_episodes_are_worth_showing() -> None:
    rows = [row(BASE, 1, True, 0.3), row(BASE, 2, False, 0.0), row(BASE, 3, False, 0.05)]
    rows += [row(RESIDUAL, 1, True, 0.3), row(RESIDUAL, 2, True, 0.3), row(RESIDUAL, 3, False, 0.02)]
    shown = [(one.name, one.row["policy"], one.row["seed"]) for one in worth_showing(rows)]
    assert shown == [("success", RESIDUAL, 2), ("near miss", BASE, 3), ("failure", BASE, 2)]
    assert worth_showing([row(p, 1, True, 0.3) for p in (BASE, RESIDUAL)])[0].name == "success"
    assert [one.name for one in worth_showing([row(p, 1, False, 0.0) for p in (BASE, RESIDUAL)])] == [
        "near miss",
        "failure",
    ]


def test_the_verdict_says_no_more_than_the_interval() -> None:
    assert verdict(Interval(0.2, 0.01, 0.4, 100)).startswith("Practice helped")
    assert "may be nothing" in verdict(Interval(0.2, -0.01, 0.4, 100))
    assert verdict(Interval(-0.2, -0.3, -0.1, 100)).startswith("Practice harmed")


def test_a_failed_stage_is_named_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("begun\n 10%|x\r 90%|xx\r\nmpr: no such thing\n\n")
    assert last_words(log) == "mpr: no such thing" and last_words(tmp_path / "none") == ""
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "strange.txt").write_text("")
    assert main(["quickstart", "--out", str(tmp_path / "q")]) == 2


@pytest.mark.slow
@pytest.mark.gl
def test_killed_in_every_wave_it_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    def run(out: str, until: str = "") -> None:
        command = subprocess.Popen([sys.executable, "-m", "mpr.cli", *MINIATURE, "--out", str(tmp_path / out)])
        log = tmp_path / out / "logs" / f"{until}.log"
        while command.poll() is None and not (until and log.exists() and last_words(log)):
            time.sleep(0.05)
        if command.poll() is None:
            os.kill(command.pid, signal.SIGKILL)
            time.sleep(3)  # workers end with it

    def told(out: str) -> dict:
        found = json.loads((tmp_path / out / "summary.json").read_text())
        return {key: value for key, value in found.items() if key not in ("seconds", "peak_memory_gb")}

    run("whole")
    for stage in stages(QuickstartConfig()):
        run("broken", until=stage)
        assert not (tmp_path / "broken" / "summary.json").exists()
    run("broken")
    assert told("whole") == told("broken") and (tmp_path / "broken" / "index.html").exists()
