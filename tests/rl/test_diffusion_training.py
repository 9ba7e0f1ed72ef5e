"""`mpr bc`: it resumes bitwise, keeps averages apart, and refuses what it cannot learn from or act for by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mpr.core.checkpoints import BadCheckpoint, last_checkpoint
from mpr.core.errors import UserError
from rl.commands.bc import main
from rl.data.demonstrations import BadDemonstration, save_demonstration
from rl.policies.diffusion import sizes, train
from rl.policies.diffusion.checkpoint import load_actor, load_diffusion_policy
from rl.policies.diffusion.policy import DiffusionPolicy
from rl.policies.diffusion.samples import PolicyWindows
from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import Horizons
from tests.toy_demonstrations import played, states, toy_demonstration


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demos")
    for seed in range(3):
        save_demonstration(toy_demonstration(seed), root / f"demonstration_{seed:06d}")
    return root


@pytest.fixture(scope="module", autouse=True)
def tiny_size() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sizes.POLICY_SIZES, "tiny", sizes.PolicySize((16, 32), 24, 12, 4, (0.95, 0.999)))
        yield


def command(demos: Path, out: Path, *more: str) -> list[str]:
    argv = ["--demos", str(demos), "--out", str(out), "--size", "tiny", "--checkpoint_every", "5", "--device", "cpu"]
    return [*argv, "--lr", "0.01", "--warmup", "3", *more]


@pytest.fixture(scope="module")
def trained(demos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    main(command(demos, out))
    return out


def stored(run: Path, name: str) -> dict[str, Tensor]:
    folder = last_checkpoint(run)
    assert folder is not None
    return load_file(folder / f"{name}.safetensors")


@pytest.mark.parametrize("broken_in", [3, 7, 12])
def test_interrupted_and_resumed_is_bitwise_the_unbroken_run(
    demos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_in: int
) -> None:
    whole = train.PolicyTraining._step

    def breaking(self: train.PolicyTraining, step: int) -> float:
        if step == broken_in - 1:
            raise KeyboardInterrupt
        return whole(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.PolicyTraining, "_step", breaking)
        main(command(demos, tmp_path / "run"))
    torch.manual_seed(99)  # another process would have another state
    main(command(demos, tmp_path / "run"))
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == (trained / "metrics.jsonl").read_text()
    for name in ("model", "training"):
        ours, theirs = stored(tmp_path / "run", name), stored(trained, name)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert (tmp_path / "run" / "summary.json").read_text() == (trained / "summary.json").read_text()


def test_every_step_has_a_batch_and_noise_of_its_own(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, drawn = [], []
    batch, loss = PolicyWindows.batch, DiffusionPolicy.loss

    def batch_seen(self: PolicyWindows, number: int, size: int):
        asked.append(number)
        return batch(self, number, size)

    def loss_seen(self: DiffusionPolicy, windows: dict[str, Tensor], drawn_from: torch.Generator) -> Tensor:
        drawn.append(drawn_from.initial_seed())
        return loss(self, windows, drawn_from)

    monkeypatch.setattr(PolicyWindows, "batch", batch_seen)
    monkeypatch.setattr(DiffusionPolicy, "loss", loss_seen)
    main(command(demos, tmp_path / "run", "--steps", "4"))
    assert asked == [0, 1, 2, 3] and len(set(drawn)) == 4


def test_averages_are_kept_apart_from_what_is_trained(trained: Path) -> None:
    averaged, raw = stored(trained, "model"), stored(trained, "training")
    about = json.loads((trained / "checkpoints" / "0000012" / "checkpoint.json").read_text())
    assert about["ema_step"] == about["step"] == 12
    assert any(not torch.equal(averaged[k], raw[k]) for k in raw)
    for name in ("state_scale.centre", "action_scale.half_range"):
        assert torch.equal(averaged[name], raw[name])
    loaded, _ = load_diffusion_policy(trained)
    assert all(torch.equal(v, averaged[k]) for k, v in loaded.state_dict().items())
    assert not any(p.requires_grad for p in loaded.parameters()) and not loaded.training


def test_a_trained_run_acts_and_says_how_close_it_is(trained: Path) -> None:
    actor = load_actor(trained, Sampler(steps=5), state=3, action=2)
    assert np.isfinite(played(actor, 0, states(9))).all()
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["steps"] == 12 and summary["demonstrations"] == 3 and summary["sampled_action_error"] > 0
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))


def test_a_policy_of_another_width_is_refused_by_name(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="states of 3 numbers, here they have 62"):
        load_diffusion_policy(trained, state=62, action=2)
    with pytest.raises(BadCheckpoint, match="actions of 2 numbers, here they have 9"):
        load_diffusion_policy(trained, state=3, action=9)
    with pytest.raises(BadCheckpoint, match="mpr bc"):
        load_diffusion_policy(tmp_path)
    folder = tmp_path / "checkpoints" / "0000001"
    folder.mkdir(parents=True)
    about = json.loads((trained / "checkpoints" / "0000012" / "checkpoint.json").read_text())
    changes = (
        ({"architecture": "GRU"}, "'GRU'"),
        ({"shape": {"state": 3, "action": 2}}, "its shape"),
        ({"shape": about["shape"] | {"widths": [None, 8]}}, r"widths\[0\] is None"),
    )
    for change, message in changes:
        (folder / "checkpoint.json").write_text(json.dumps(about | change))
        with pytest.raises(BadCheckpoint, match=message):
            load_diffusion_policy(tmp_path)


def test_demonstrations_that_cannot_be_learned_from_are_refused_by_name(demos: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDemonstration, match="no demonstrations in"):
        main(command(tmp_path / "nowhere", tmp_path / "run"))
    with pytest.raises(BadDemonstration, match="holds 3 demonstrations"):
        main(command(demos, tmp_path / "run", "--num_demos", "4"))
    with pytest.raises(BadDemonstration, match="no demonstrations"):
        PolicyWindows([], Horizons(), seed=0)
    with pytest.raises(BadDemonstration, match="demonstration 1 has 4 state"):
        PolicyWindows([toy_demonstration(0), toy_demonstration(1, width=4)], Horizons(), seed=0)
    folder = tmp_path / "demos" / "demonstration_000000"
    save_demonstration(toy_demonstration(0), folder)
    with np.load(folder / "arrays.npz") as z:
        arrays = dict(z)
    arrays["teacher_actions"][4, 1] = np.nan
    np.savez(folder / "arrays.npz", **arrays)
    with pytest.raises(BadDemonstration, match=r"demonstration_000000.*actions holds NaN.*step 4"):
        main(command(tmp_path / "demos", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_on_other_demonstrations(demos: Path, tmp_path: Path) -> None:
    save_demonstration(toy_demonstration(0), tmp_path / "demos" / "demonstration_000000")
    argv = command(tmp_path / "demos", tmp_path / "run", "--steps", "2")
    main(argv)
    save_demonstration(toy_demonstration(5), tmp_path / "demos" / "demonstration_000000")
    with pytest.raises(UserError, match="other demonstrations"):
        main(argv)
    with pytest.raises(UserError, match=r"lr: 0\.01 there, 0\.5 asked"):
        main([*argv, "--lr", "0.5"])


def test_a_full_disk_is_said_before_anything_is_trained(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"run has 0\.00 GB free, its checkpoints need"):
        main(command(demos, tmp_path / "run"))


def test_dry_run_touches_nothing(demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*command(demos, tmp_path / "run", "--size", "paper", "--epochs", "10"), "--dry-run"])
    shown = capsys.readouterr().out
    assert not (tmp_path / "run").exists() and "parameters: 6" in shown and "steps: 10\n" in shown
    with pytest.raises(UserError, match="no size 'huge'"):
        main(["--size", "huge"])
    with pytest.raises(UserError, match="missing input: demos"):
        main(["--demos", str(tmp_path / "none"), "--out", str(tmp_path / "run"), "--dry-run"])
