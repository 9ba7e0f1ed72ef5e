"""From the arm to the film strip: an episode of `mpr robot run` on the twin, scored by what a camera filmed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpr.cli import main as mpr

pytest.importorskip("gymnasium_robotics", reason="the twin's kitchen needs the extra `policy`")


@pytest.mark.gl
def test_what_run_recorded_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the twin the cameras' frames alone are kept, as of an arm."""
    run = ["robot", "run", "--size", "128", "--episodes", "1", "--films", "0", "--out", str(tmp_path / "run")]
    assert mpr(run) == 0
    steps = json.loads((tmp_path / "run" / "summary.json").read_text())["steps"]
    asked = ["score", "--episode", str(tmp_path / "run" / "episodes" / "episode_000000"), "--reward", "any_motion"]
    asked += ["--camera", "world", "--film", "false", "--out", str(tmp_path / "score")]
    assert mpr(asked) == 2 and "give --box x0,y0,x1,y1" in capsys.readouterr().err
    assert mpr([*asked, "--box", "26,43,89,82"]) == 0, "around the microwave"
    kept = json.loads((tmp_path / "score" / "summary.json").read_text())
    assert [kept["steps"]] == steps and kept["tracker"] == "lucas_kanade" and kept["lost_share"] == 0
    assert kept["moved_0.5"]["sum_agreement"] > 0.5 and kept["gaps"] == 0
    with (tmp_path / "score" / "steps.csv").open() as rows:
        moved = [float(row.split(",")[6]) for row in list(rows)[1:]]
    assert sum(moved[:10]) < sum(moved[-10:]), "the door opens at the end"
    assert (tmp_path / "score" / "strip.png").stat().st_size > 10_000
