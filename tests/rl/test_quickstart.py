"""The quickstart: its stages are commands that exist, its page shows what it says, and killed it ends the same."""

from __future__ import annotations

import hashlib
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
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.report.intervals import Interval
from rl.commands.quickstart import QuickstartConfig, QuickstartStage, go, last_words, quickstart_stages, stage_waves
from rl.commands.quickstart_page import RESIDUAL, verdict, worth_showing
from rl.environments.play import BASE_NAME

MINIATURE = [
    "quickstart", "--clips", "3", "--demonstrations", "1", "--episodes", "3", "--evaluation", "2",
    "--reward_episodes", "1", "--predictor", "steps=6 batch=2 points=12 lr=0.01 checkpoint_every=2",
    "--base", "size=tiny steps=6 batch=4 checkpoint_every=2",
    "--practice", "pretrain=2 utd=0.1 batch=8 checkpoint_every=1 warmup_steps=0",
]  # fmt: skip


def test_its_stages_are_commands_that_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = QuickstartConfig(out=tmp_path / "q", seed=3)
    for stage in quickstart_stages(config).values():
        status, error = main([*stage.argv, "--dry-run"]), capsys.readouterr().err
        assert status == 0 or error.startswith("mpr: missing input"), error
    assert list(tmp_path.iterdir()) == []
    planned = [one.name for wave in stage_waves(config) for _, chain in wave for one in chain]
    assert sorted(planned) == sorted(quickstart_stages(config))


def test_quickstarts_of_two_seeds_share_no_seed() -> None:
    one, other = (quickstart_stages(QuickstartConfig(seed=seed)) for seed in (0, 1))
    for name in one:
        first, second = (int(s[name].argv[s[name].argv.index("--seed") + 1]) for s in (one, other))
        config = QuickstartConfig()
        counts = {"clips": config.clips, "evaluation": config.evaluation, "reward": config.reward_episodes}
        counts |= {"demonstrations": 100}  # as many as one may ask for
        assert second - first >= counts.get(name, 1), name
    for wrong in ({"seed": 80}, {"clips": 0}, {"task": "drawer"}):
        with pytest.raises(UserError):
            QuickstartConfig(**wrong)


def row(policy: str, seed: int, success: bool, travel: float) -> dict:
    return {"policy": policy, "seed": seed, "success": success, "travel": travel}


def test_three_episodes_are_worth_showing() -> None:
    rows = [row(BASE_NAME, 1, True, 0.3), row(BASE_NAME, 2, False, 0.0), row(BASE_NAME, 3, False, 0.05)]
    rows += [row(RESIDUAL, 1, True, 0.3), row(RESIDUAL, 2, True, 0.3), row(RESIDUAL, 3, False, 0.02)]
    shown = [(one.name, one.row["policy"], one.row["seed"]) for one in worth_showing(rows)]
    assert shown == [("success", RESIDUAL, 2), ("near miss", BASE_NAME, 3), ("failure", BASE_NAME, 2)]
    assert worth_showing([row(p, 1, True, 0.3) for p in (BASE_NAME, RESIDUAL)])[0].name == "success"
    assert [one.name for one in worth_showing([row(p, 1, False, 0.0) for p in (BASE_NAME, RESIDUAL)])] == [
        "near miss",
        "failure",
    ]


def test_the_verdict_says_no_more_than_the_interval() -> None:
    assert verdict(Interval(0.2, 0.01, 0.4, 100)).startswith("Practice helped")
    assert "may be nothing" in verdict(Interval(0.2, -0.01, 0.4, 100))
    assert verdict(Interval(-0.2, -0.3, -0.1, 100)).startswith("Practice harmed")


def test_last_words_are_those_of_a_log_with_bars_in_it(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("begun\n 10%|x\r 90%|xx\r\nmpr: no such thing\n\n")
    assert last_words(log) == "mpr: no such thing" and last_words(tmp_path / "none") == ""


def test_a_stage_that_fails_is_named(tmp_path: Path) -> None:
    stage = QuickstartStage(
        "predictor", "learns", ("train", "--clips", str(tmp_path / "none"), "--out", str(tmp_path / "p"))
    )
    with pytest.raises(UserError, match=r"stage predictor failed: mpr: .*none.*predictor\.log"):
        list(mapped(go, [(tmp_path / "q", (stage,)), (tmp_path / "q", (stage,))], 2))
    assert not list(tmp_path.glob("q/stages/*"))


def test_settings_that_a_stage_would_refuse_are_refused_first(tmp_path: Path, capsys) -> None:
    for key, value, words in (
        ("--practice", "reward=none", "'reward=none' is decided"),
        ("--practice", "alhpa=1", "unknown key --alhpa"),
        ("--predictor", "steps", "lacks its =value"),
        ("--base", "seed=4", "'seed=4' is decided"),
    ):
        assert main(["quickstart", key, value, "--out", str(tmp_path / "q")]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(1800)
def test_killed_in_every_stage_it_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    """Killed when a stage has gone further than it had when the command began, in all seven stages."""

    def run(out: str, until: str = "") -> None:
        here = tmp_path / out
        watched = [here / "logs" / f"{until}.log", QuickstartConfig(out=here).folder(until) / "metrics.jsonl"]
        before = [size(file) for file in watched]
        command = subprocess.Popen([sys.executable, "-m", "mpr.cli", *MINIATURE, "--out", str(here)])
        while command.poll() is None and not (until and any(size(f) > b for f, b in zip(watched, before, strict=True))):
            time.sleep(0.02)
        if command.poll() is None:
            os.kill(command.pid, signal.SIGKILL)
            time.sleep(3)  # workers end with it

    def size(file: Path) -> int:
        return file.stat().st_size if file.exists() else 0

    def told(out: str) -> dict:
        found = json.loads((tmp_path / out / "summary.json").read_text())
        assert (
            set(found["seconds"]) == {"total", *quickstart_stages(QuickstartConfig())} and found["peak_memory_gb"] > 0.1
        )
        for figure in (found["base"]["success_rate"], found["residual"]["success_rate"], found["improvement"]):
            assert set(figure) == {"value", "low", "high", "n"}
        assert set(found["reward"]) == {"open", "close", "miss_lk"}
        return {key: value for key, value in found.items() if key not in ("seconds", "peak_memory_gb")}

    def made(out: str) -> dict[str, str]:
        """What the learners and the evaluation made, byte for byte, but for the clock."""
        kept = [p for p in (tmp_path / out).rglob("*") if p.suffix in (".safetensors", ".csv", ".npz", ".mp4")]
        kept += [tmp_path / out / "evaluation" / "metrics.jsonl"]
        return {str(p.relative_to(tmp_path / out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(kept)}

    run("whole")
    killed = []
    for stage in quickstart_stages(QuickstartConfig()):
        if not (tmp_path / "broken" / "stages" / f"{stage}.json").exists():  # else it ended beside another, killed one
            run("broken", until=stage)
            killed.append(stage)
            assert not (tmp_path / "broken" / "summary.json").exists()
    assert {"clips", "base", "evaluation"} <= set(killed) and len(killed) >= 5
    run("broken")
    assert told("whole") == told("broken") and (tmp_path / "broken" / "index.html").exists()
    assert made("whole") == made("broken") and len(made("whole")) > 20
