"""What rewards that see lack is said before a run's folder is made: OpenGL, a trained predictor, recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from rl.data.demonstrations import demonstration_folder, save_demonstration
from rl.environments.kitchen.setting import ACTION, STATE
from tests.toy_demonstrations import demonstration

FINETUNE = ["finetune", "--env", "kitchen:slide", "--base", "zero", "--demos", "none"]
PRACTICE = ["experiment", "practice", "--task", "slide", "--base", "zero", "--workers", "1"]
PRACTICE += ["--seeds", "1", "--practice_episodes", "1", "--episodes", "1", "--videos", "0"]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The one line that a refused command ends with; it left no folder behind."""

    def said(*asked: str) -> str:
        assert main([*asked, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and not (tmp_path / "out").exists()
        return error

    return said


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    """A demonstration of the kitchen's sizes without a recording."""
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (5, ACTION)).astype(np.float32)
    states = rng.normal(size=(6, STATE)).astype(np.float32)
    made = demonstration(states, actions, actions, np.arange(6) / 12.5)
    save_demonstration(made, demonstration_folder(tmp_path / "blind", 0))
    return tmp_path / "blind"


@pytest.mark.parametrize(
    "asked",
    [
        [*FINETUNE, "--reward", "any_motion"],
        [*PRACTICE, "--variants", "[any_motion]", "--settings", "demos=none"],
    ],
)
def test_no_opengl(said, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert "no OpenGL back end" in said(*asked)


def test_a_predictor_still_in_training(said, tmp_path: Path) -> None:
    folder = tmp_path / "predictor" / "checkpoints" / "0000250"
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text("{}")
    words = said(*FINETUNE, "--reward", "motion", "--predictor", str(tmp_path / "predictor"))
    assert "predictor is not finished: the same `mpr train` command goes on" in words


@pytest.mark.gl
def test_an_experiment_asks_after_each_arm(said, tmp_path: Path, blind: Path) -> None:
    asked = [*PRACTICE, "--demos", str(blind), "--predictor", str(tmp_path / "none")]
    alone = " demos=none"
    assert "none holds no predictor" in said(*asked, "--variants", f"[none, motion{alone}]")
    assert "no kitchen view 'above'" in said(*asked, "--variants", f"[none, any_motion{alone}]", "--view", "above")
    assert "demonstration 0 has no recording" in said(*asked, "--variants", "[none, any_motion]")
