"""Checkpoints of whatever is trained: whole or not at all, read as what they are or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mpr.core import checkpoints
from mpr.core.checkpoints import (
    OPTIMIZER,
    WEIGHTS,
    BadCheckpoint,
    CheckpointKind,
    fitting_weights,
    last_checkpoint,
    load_optimizer,
    optimizer_state,
    read_about,
    wanted_checkpoint,
    weights_digest,
    write_checkpoint,
)


class About(TypedDict):
    step: int


KIND = CheckpointKind("toy", "mpr toy", "one weight", 3, About)


def weight(value: float) -> dict[str, Tensor]:
    return {"w": torch.full((2, 3), value)}


def write(run: Path, step: int, value: float = 1.0, kind: CheckpointKind = KIND) -> None:
    write_checkpoint(run, step, kind, {"step": step}, {WEIGHTS: weight(value)}, {})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    arrays = {"replay.npz": {"a": np.arange(4)}}
    write_checkpoint(
        tmp_path, 12, KIND, {"step": 12}, {WEIGHTS: weight(2)}, {OPTIMIZER: optimizer_state(optimizer)}, arrays
    )
    drawn = torch.rand(1)
    folder, about = wanted_checkpoint(tmp_path, KIND)
    assert folder.name == "0000012" and about == {"format": 3, "architecture": "one weight", "step": 12}
    assert torch.equal(fitting_weights(folder / WEIGHTS, weight(0))["w"], weight(2)["w"])
    other = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    load_optimizer(folder, other)
    assert torch.equal(torch.rand(1), drawn)  # the generator stands where it stood
    (ours,), (theirs,) = other.state_dict()["state"].values(), optimizer.state_dict()["state"].values()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert np.load(folder / "replay.npz")["a"].tolist() == [0, 1, 2, 3]


@settings(max_examples=25, deadline=None)  # the disk takes the time it takes
@given(numbers=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
def test_the_last_one_written_is_the_only_one(numbers: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """A run that began anew writes smaller numbers than those that are there."""
    run = tmp_path_factory.mktemp("run")
    for number in numbers:
        write(run, number)
    assert [int(f.name) for f in (run / "checkpoints").iterdir()] == numbers[-1:]
    found = last_checkpoint(run)
    assert found is not None and int(found.name) == numbers[-1]


def test_one_that_fails_half_way_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_sums", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, 2)
    assert [f.name for f in (tmp_path / "checkpoints").iterdir()] == ["0000001"]
    assert wanted_checkpoint(tmp_path, KIND)[1]["step"] == 1


@pytest.mark.parametrize(("architecture", "number"), [("two weights", 3), ("one weight", 2)])
def test_another_architecture_or_format_is_refused_with_both_names(
    tmp_path: Path, architecture: str, number: int
) -> None:
    write(tmp_path, 1, kind=CheckpointKind("toy", "mpr toy", architecture, number, About))
    found = last_checkpoint(tmp_path)
    assert found is not None
    with pytest.raises(BadCheckpoint, match=rf"'{architecture}' \(format {number}\).*'one weight' \(format 3\)"):
        read_about(found, KIND)


def test_none_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=f"holds no toy checkpoint: train one with `mpr toy --out {tmp_path}`"):
        wanted_checkpoint(tmp_path, KIND)
    assert weights_digest(tmp_path) == ""


def test_the_digest_is_of_the_weights(tmp_path: Path) -> None:
    for name, step, value in (("a", 1, 1.0), ("b", 7, 1.0), ("c", 1, 1.5)):
        write(tmp_path / name, step, value)
    one, later, other = (weights_digest(tmp_path / name) for name in "abc")
    assert one == later != other and len(one) == 16
