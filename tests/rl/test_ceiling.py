"""`mpr experiment ceiling`: the scripted expert, held to what a residual may add."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.runs import read_metrics


def asked(out: Path, *words: str) -> list[str]:
    plain = ["experiment", "ceiling", "--env", "kitchen:slide", "--base", "zero", "--residual_scale", "1"]
    return [*plain, "--episodes", "2", *words, "--out", str(out)]


def test_the_expert_succeeds_where_a_residual_spans_all_and_nowhere_where_it_hardly_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(tmp_path / "far")) == 0
    assert "kitchen:slide, residual_scale 1: success 1.00 [" in capsys.readouterr().out
    rows = read_metrics(tmp_path / "far")
    assert [(row["seed"], row["success"], row["clipped"]) for row in rows] == [(500_000, True, 0), (500_001, True, 0)]
    assert main(asked(tmp_path / "near", "--residual_scale", "0.01", "--episodes", "1")) == 0
    told = json.loads((tmp_path / "near/summary.json").read_text())
    assert told["success"]["value"] == 0 and told["clipped"] > 0.5


def test_a_killed_run_plays_what_is_missing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(asked(run)) == 0
    whole = [(run / name).read_text() for name in ("metrics.jsonl", "summary.json")]
    (run / "summary.json").unlink()
    (run / "metrics.jsonl").write_text(whole[0].splitlines()[0] + "\n" + whole[0].splitlines()[1][:9])
    assert main(asked(run)) == 0
    assert [(run / name).read_text() for name in ("metrics.jsonl", "summary.json")] == whole


def test_its_price_is_told_before_it_is_paid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*asked(tmp_path / "run"), "--dry-run"]) == 0
    assert "episodes: 2\n" in capsys.readouterr().out and not (tmp_path / "run").exists()
    assert main([*asked(tmp_path / "run", "--base", str(tmp_path / "none")), "--dry-run"]) == 2
    assert "missing input: base" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"env": "gymnasium:Pendulum-v1"}, "the scripted expert is the kitchen's"),
        ({"env": "kitchen:none_such"}, "there is microwave"),
        ({"residual_scale": "0"}, "--residual_scale 0.0: it is above 0"),
        ({"episodes": "0"}, "--episodes 0: it is at least 1"),
        ({"seed": "10000"}, "below 500,000 are seeds of demonstrations and practice"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], says: str
) -> None:
    options = [word for name, value in wrong.items() for word in (f"--{name}", value)]
    assert main(["experiment", "ceiling", *options, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_another_residual_scale_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--episodes", "1")
    assert main(asked(tmp_path / "run", *words)) == 0
    assert main(asked(tmp_path / "run", *words, "--residual_scale", "0.5")) == 2
    assert "residual_scale: 1.0 there, 0.5 asked" in capsys.readouterr().err
