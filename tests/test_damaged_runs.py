"""A run that does not fit what it was, or was damaged, is not gone on with; one that is finished is told again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mpr.cli import main as mpr
from mpr.core.checkpoints import BadCheckpoint, last_checkpoint, put_optimizer
from mpr.core.checksums import CHECKSUM_FILE
from mpr.core.data.clip_folder import save_clip
from mpr.core.errors import NoGL
from mpr.core.runs import RunFolder
from mpr.predictor.checkpoint import load_predictor
from rl.data.demonstrations import save_demonstration
from rl.environments.kitchen.kind import KitchenKind
from rl.environments.setting import ZERO
from rl.evaluation import evaluate as evaluating
from rl.experiments import practice, practice_runs
from rl.policies.diffusion.checkpoint import load_diffusion_policy
from tests import damaged_folders as folders
from tests.toy_clips import toy_clip
from tests.toy_demonstrations import toy_demonstration


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    folders.trained(root)
    return root


def checkpoint(root: Path) -> Path:
    found = last_checkpoint(root / "run")
    assert found is not None
    return found


def flip(file: Path) -> None:
    """The lowest bit of the last byte: a weight a little other than it was."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.json"])
def test_weights_of_which_a_bit_flipped_are_not_used(trained: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    folder = checkpoint(tmp_path)
    if name == "checkpoint.json":
        (folder / name).write_text((folder / name).read_text().replace("12.5", "13.5", 1))
    else:
        flip(folder / name)
    with pytest.raises(BadCheckpoint, match=f"{name} cannot be read .its checksum is another"):
        load_predictor(tmp_path / "run")
    (folder / CHECKSUM_FILE).unlink()
    load_predictor(tmp_path / "run")  # an older one, without checksums, is still read


def test_weights_of_a_policy_are_held_to_their_checksums(tmp_path: Path) -> None:
    folders.policy(tmp_path)
    load_diffusion_policy(tmp_path / "run")
    flip(checkpoint(tmp_path) / "model.safetensors")
    with pytest.raises(BadCheckpoint, match="its checksum is another"):
        load_diffusion_policy(tmp_path / "run")


@pytest.mark.parametrize("change", [{"width": 10**12}, {"depth": 10**9}, {"image": 10**9}, {"points": 10**12}])
def test_a_size_that_no_weights_have_takes_no_memory(trained: Path, tmp_path: Path, change: dict[str, int]) -> None:
    shutil.copytree(trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    folder = checkpoint(tmp_path)
    (folder / CHECKSUM_FILE).unlink()
    about = json.loads((folder / "checkpoint.json").read_text())
    about["size"] |= change
    (folder / "checkpoint.json").write_text(json.dumps(about))
    with pytest.raises(BadCheckpoint):
        load_predictor(tmp_path / "run")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state["state"][0].update(exp_avg=torch.zeros(7)),
        lambda state: state["state"][0].update(exp_avg="x"),
        lambda state: state["param_groups"][0].update(lr="fast"),
        lambda state: state["param_groups"][0].update(betas=0.9),
    ],
)
def test_an_optimizer_that_would_fall_at_its_next_step_is_refused(spoil) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    put_optimizer(torch.optim.Adam([weight]), state)
    spoil(state)
    with pytest.raises((ValueError, TypeError)):
        put_optimizer(torch.optim.Adam([weight]), state)


@pytest.mark.parametrize("verb", ["train", "bc"])
@pytest.mark.parametrize("asked", [["--lr", "nan"], ["--lr", "inf"], ["--seed", "nan"]])
def test_nan_is_no_number_to_ask_for(verb: str, asked: list[str], tmp_path: Path, capsys) -> None:
    more = [["--moving", "nan"], ["--augment.colour", "nan"], ["--foreground", "inf"]]
    more = more if verb == "train" else [["--weight_decay", ".nan"], ["--ema_power", "nan"]]
    for words in (asked, *more):
        assert mpr([verb, *words, "--out", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert words[0] in said and said.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_images(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(folders.bc.POLICY_SIZES, "tiny", folders.bc.PolicySize((8, 16), 24, 2, 4, (0.95, 0.999)))
    asked = ["bc", "--demos", str(tmp_path / "demos"), "--out", str(tmp_path / "run"), "--size", "tiny"]
    asked += ["--cameras", "front", "--warmup", "1", "--device", "cpu"]
    demonstration = toy_demonstration(0, cameras=("front",))
    save_demonstration(demonstration, tmp_path / "demos/demonstration_000000")
    assert mpr(asked) == 0 and mpr(asked) == 0
    frames = np.load(tmp_path / "demos/demonstration_000000/frames_front.npy")
    frames[3:5] = frames[3:5][::-1].copy()  # neither first nor last
    np.save(tmp_path / "demos/demonstration_000000/frames_front.npy", frames)
    capsys.readouterr()
    assert mpr(asked) == 2
    assert "was trained on other demonstrations" in capsys.readouterr().err


def test_a_predictor_does_not_go_on_with_other_clips(trained: Path, tmp_path: Path, capsys) -> None:
    clip = trained / "clips" / "c0"
    shutil.copytree(clip, tmp_path / "kept")
    try:
        save_clip(toy_clip(7, length=5, group="g0"), clip)
        assert folders.resume(trained, trained) == 2
        assert "was trained on other clips" in capsys.readouterr().err
    finally:
        shutil.rmtree(clip)
        shutil.copytree(tmp_path / "kept", clip)
    assert folders.resume(trained, trained) == 0


def test_what_is_finished_is_told_again_without_a_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        "--base",
        "zero",
        "--variants",
        "any_motion",
        "--seeds",
        "1",
        "--practice_episodes",
        "1",
        "--episodes",
        "2",
    ]
    asked += ["--settings", "demos=none", "--out", str(tmp_path)]
    config = practice.parse_config(practice.PracticeConfig, asked, "test")[0]
    settings = practice_runs.as_dict(config) | {"base_weights": ""}
    whole = RunFolder(tmp_path, "experiment practice", settings, practice.PRACTICE_FREE_KEYS)
    run = RunFolder(config.folder("any_motion", 0), "finetune", {})
    run.log(episode=1, success=True, steps=9)
    run.finish({})
    monkeypatch.setattr(evaluating, "weights_digest", lambda path: "")
    evaluation = practice_runs.evaluation(config)
    assert evaluation.base == ZERO
    told = evaluating.open_evaluation(evaluation)
    for seed in evaluation.seeds:
        for name in ("base", run.path.name):
            told.log(policy=name, seed=seed, success=name != "base", steps=9)
    told.finish({})
    whole.finish({})

    def refuse(*_: object, **__: object) -> None:
        raise NoGL("no OpenGL back end works here")

    monkeypatch.setattr(KitchenKind, "open", refuse)
    monkeypatch.setattr(practice_runs, "find_reward", refuse)
    assert mpr(["experiment", "practice", *asked]) == 0
    assert "any_motion" in (tmp_path / "table.md").read_text()
