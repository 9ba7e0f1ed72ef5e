"""Checkpoints of a training run, whatever is trained: how they are written and read, told apart and refused.

A checkpoint is a folder `checkpoints/<number>` of a run that appears whole or not at all: weights as safetensors,
states that torch reads with weights_only, arrays without pickles, checkpoint.json, SHA256SUMS. Nothing is unpickled
that could run code. What stands in one is its trainer's; its kind (architecture and format) is always asked for.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mpr.core.checksums import check_file, sha256, write_sums
from mpr.core.errors import UNREADABLE, UserError, in_brief
from mpr.core.json_files import check_json, read_object
from mpr.core.runs import atomic_folder

ABOUT, WEIGHTS, OPTIMIZER = "checkpoint.json", "model.safetensors", "optimizer.pt"
_DAMAGED = (*UNREADABLE, AssertionError, pickle.UnpicklingError, SafetensorError)


class BadCheckpoint(UserError):
    """A checkpoint that is missing, damaged or of another architecture."""


class Named(TypedDict):
    """What every checkpoint.json says of itself."""

    architecture: str
    format: int


@dataclass(frozen=True)
class CheckpointKind:
    """What a checkpoint is one of; whoever reads one says which it wants."""

    what: str  # is trained, in a word: "predictor"
    command: str  # that trains it: "mpr train"
    architecture: str
    format: int
    about: type  # the TypedDict of what its checkpoint.json holds beside these two
    digits: int = 7  # of the number that names its folder


def write_checkpoint(
    run: Path,
    number: int,
    kind: CheckpointKind,
    about: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Tensor]],
    states: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Mapping[str, NDArray]] | None = None,
) -> None:
    """Write checkpoints/<number> (steps or episodes done) and drop all others.

    At every moment one whole checkpoint is there. Later ones, of a run that began anew, are dropped too. `weights`,
    `states` and `arrays` by file name: *.safetensors, *.pt, *.npz; tensors and arrays have any shape [...]. Raises
    OSError on a full disk.
    """
    home = Path(run) / "checkpoints"
    with atomic_folder(home / f"{number:0{kind.digits}d}") as folder:
        for name, tensors in weights.items():
            ready = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
            (folder / name).write_bytes(save(ready))  # safetensors itself has another error for a full disk
        for name, state in states.items():
            buffer = io.BytesIO()
            torch.save(state, buffer)
            (folder / name).write_bytes(buffer.getvalue())
        for name, some in (arrays or {}).items():
            np.savez(folder / name, **some)  # type: ignore[arg-type]
        meta = {"format": kind.format, "architecture": kind.architecture, **about}
        (folder / ABOUT).write_text(json.dumps(meta, indent=2) + "\n")
        write_sums(folder)
    for folder in home.iterdir():
        if folder.name.isdigit() and int(folder.name) != number:
            shutil.rmtree(folder)


def last_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint folder of a run, None where there is none."""
    found = [f for f in (Path(run) / "checkpoints").glob("*") if f.name.isdigit() and (f / ABOUT).exists()]
    return max(found, key=lambda f: int(f.name), default=None)


def wanted_checkpoint(run: Path, kind: CheckpointKind) -> tuple[Path, dict[str, Any]]:
    """A run's newest checkpoint folder and its checkpoint.json.

    Raises BadCheckpoint where there is none of that kind.
    """
    folder = last_checkpoint(run)
    if folder is None:
        raise BadCheckpoint(f"{run} holds no {kind.what} checkpoint: train one with `{kind.command} --out {run}`")
    return folder, read_about(folder, kind)


def refuse_unfinished(run: Path, command: str) -> None:
    """Raises BadCheckpoint for a run that was killed, or still goes on: its weights are not the final ones."""
    if last_checkpoint(run) is not None and not (Path(run) / "summary.json").exists():
        raise BadCheckpoint(f"{run} is not finished: the same `{command}` command goes on where it stopped")


def weights_digest(run: Path) -> str:
    """Tells one trained model from another at the same path: figures of two are never mixed. Empty where none is."""
    folder = last_checkpoint(run)
    if folder is None:
        return ""
    with reading(folder / WEIGHTS):
        return sha256(folder / WEIGHTS)[:16]


def read_about(folder: Path, kind: CheckpointKind) -> dict[str, Any]:
    """A checkpoint's checkpoint.json, its values held to the types that `kind` names.

    Raises BadCheckpoint where they are not of these, or for another architecture or format.
    """
    with reading(folder / ABOUT):
        about = read_object(folder / ABOUT, Named)
        name, number = about["architecture"], about["format"]
    if (name, number) != (kind.architecture, kind.format):
        raise BadCheckpoint(
            f"{folder} holds '{name}' (format {number}), this version reads '{kind.architecture}' (format "
            f"{kind.format}): train again, or use the version that wrote it"
        )
    with reading(folder / ABOUT):
        check_json(about, kind.about)
    return about


def fitting_weights(file: Path, mine: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's weights by name, each of the shape [...] that it has in `mine`.

    Raises BadCheckpoint for a damaged file, and for the first weight that does not fit.
    """
    with reading(file):
        weights = load_file(file)
    for name in sorted({*mine, *weights}):
        here = tuple(mine[name].shape) if name in mine else None
        there = tuple(weights[name].shape) if name in weights else None
        if here != there:
            raise BadCheckpoint(
                f"{file.parent} is of another architecture: {name} is {there} there, {here} in this model"
            )
    return weights


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What `load_optimizer` takes: the optimizer's state, and torch's generator's."""
    return {"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Fill the optimizer, and torch's generator, as they were at the checkpoint. Raises BadCheckpoint."""
    with reading(folder / OPTIMIZER):
        state = torch.load(folder / OPTIMIZER, weights_only=True, map_location="cpu")
        put_optimizer(optimizer, state["optimizer"])
        torch.set_rng_state(state["rng"])


def put_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Fill an optimizer with a state that was saved, if it fits.

    Raises ValueError for moments that do not fit its parameters, and settings of other types: it would fall over them
    only at its next step.
    """
    mine = optimizer.state_dict()["param_groups"]
    for here, there in zip(mine, state["param_groups"], strict=True):
        for name in here.keys() & there.keys():
            if type(here[name]) is not type(there[name]) and not {here[name], there[name]} <= {True, False, None}:
                raise ValueError(f"the optimizer's {name} is {str(there[name])[:20]!r}, here it is {here[name]!r}")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, moments in state["state"].items():
        for name, value in moments.items():
            if name == "step" and torch.is_tensor(value) and value.numel() == 1:
                continue
            if not torch.is_tensor(value) or value.shape != parameters[number].shape:
                raise ValueError(f"the optimizer's {name} of parameter {number} does not fit it")
    optimizer.load_state_dict(dict(state))


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Where a checkpoint's file is read and put in place: what goes wrong in here becomes BadCheckpoint.

    That is a file that is not what was written, and whatever a damaged one raises.
    """
    try:
        check_file(file)
        yield
    except BadCheckpoint:
        raise
    except torch.OutOfMemoryError:
        raise
    except _DAMAGED as error:
        if "can't allocate memory" in str(error):  # of a CPU: torch has no class for it
            raise
        raise BadCheckpoint(f"{file} cannot be read ({in_brief(error)}): damaged; train again") from error
