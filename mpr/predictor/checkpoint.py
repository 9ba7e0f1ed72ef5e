"""Checkpoints of a training run, and the trained predictor as scoring uses it.

A checkpoint is a folder `checkpoints/<step>` that appears whole or not at all: model.safetensors (trained weights; a
frozen encoder's stay where they are), optimizer.pt, checkpoint.json. Nothing is unpickled that could run code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mpr.clip_cache import resampled
from mpr.samples import Fill
from mpr.sizes import MotionModel, Size
from tracking.clip import CROP_SIZE
from tracking.errors import UserError
from tracking.runs import atomic_folder

FORMAT = 2
ARCHITECTURE = "points DiT, cross-attention to tokens"
DAMAGED = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    SafetensorError,
)


class BadCheckpoint(UserError):
    """A checkpoint that is missing, damaged or of another architecture."""


def save_checkpoint(
    run: Path, step: int, model: MotionModel, optimizer: torch.optim.Optimizer, about: dict[str, Any]
) -> None:
    """Write checkpoints/<step> and drop the ones before it; at every moment one whole checkpoint is there."""
    home = run / "checkpoints"
    with atomic_folder(home / f"{step:07d}") as temporary:
        write_weights(temporary / "model.safetensors", trained_state(model))
        write_state(temporary / "optimizer.pt", {"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()})
        meta = {"format": FORMAT, "architecture": ARCHITECTURE, "step": step, **about}
        (temporary / "checkpoint.json").write_text(json.dumps(meta, indent=2) + "\n")
    drop_others(home, step)


def write_weights(file: Path, weights: Mapping[str, Tensor]) -> None:
    """As safetensors. A full disk is an OSError here and in `write_state`, not the library's own error: the command
    line knows what to say of it."""
    file.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}))


def write_state(file: Path, state: Mapping[str, Any]) -> None:
    """What torch.load reads with weights_only."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file.write_bytes(buffer.getvalue())


def drop_others(home: Path, step: int) -> None:
    """Remove every checkpoint below `home` but this step's, later ones of a run that began anew included."""
    for folder in home.iterdir():
        if folder.name.isdigit() and int(folder.name) != step:
            shutil.rmtree(folder)


def trained_state(model: MotionModel) -> dict[str, Tensor]:
    """The state that training made: without a frozen encoder's weights."""
    frozen = not any(p.requires_grad for p in model.encoder.parameters())
    return {k: v for k, v in model.state_dict().items() if not (frozen and k.startswith("encoder."))}


def last_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint folder of a run, None where there is none."""
    found = [f for f in (Path(run) / "checkpoints").glob("*") if f.name.isdigit() and (f / "checkpoint.json").exists()]
    return max(found, key=lambda f: int(f.name), default=None)


def refuse_unfinished(run: Path, command: str) -> None:
    """Raises BadCheckpoint for a run that was killed, or still goes on: its weights are not the final ones."""
    if last_checkpoint(run) is not None and not (Path(run) / "summary.json").exists():
        raise BadCheckpoint(f"{run} is not finished: the same `{command}` command goes on where it stopped")


def weights_digest(run: Path) -> str:
    """Tells one trained model from another at the same path: figures of two are never mixed. Empty where none is."""
    folder = last_checkpoint(run)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16] if folder else ""


def checkpoint_info(folder: Path, architecture: str = ARCHITECTURE, version: int = FORMAT) -> dict[str, Any]:
    """checkpoint.json. Raises BadCheckpoint for another architecture or format than asked for (the predictor's)."""
    try:
        about = json.loads((folder / "checkpoint.json").read_text())
        name, number = about["architecture"], about["format"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"{folder} is no checkpoint ({type(error).__name__}: {error})") from error
    if (name, number) != (architecture, version):
        raise BadCheckpoint(
            f"{folder} holds '{name}' (format {number}), this version reads '{architecture}' (format {version}): "
            "train again, or use the version that wrote it"
        )
    return about


def load_weights(folder: Path, model: MotionModel) -> None:
    """Fill `model` with a checkpoint's weights. Raises BadCheckpoint naming the first weight that does not fit."""
    model.load_state_dict(fitting_weights(folder / "model.safetensors", trained_state(model)), strict=False)


def fitting_weights(file: Path, mine: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's weights. Raises BadCheckpoint for a damaged file, and for the first weight that does not fit `mine`."""
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


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Fill the optimizer, and torch's generator, as they were at the checkpoint. Raises BadCheckpoint."""
    with reading(folder / "optimizer.pt"):
        state = torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu")
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Where a checkpoint's file is read and put in place: whatever a damaged one raises becomes BadCheckpoint."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except DAMAGED as error:
        if "can't allocate memory" in str(error):  # of a CPU: torch has no class for it
            raise
        raise BadCheckpoint(f"{file} cannot be read ({error}): damaged; train again") from error


class Predictor:
    """A trained encoder and predictor in eval mode: frames of 256 in, predicted deltas in pixels of 256 out."""

    def __init__(self, motion: MotionModel, size: Size, card: dict[str, Any], device: str = "cpu") -> None:
        motion.to(device).eval()
        self.encoder, self.model = motion.encoder, motion.predictor
        self.size, self.card, self.device = size, card, device
        self.budget = size.points
        self.rate_hz = float(card["rate_hz"])
        self.fill: Fill = card.get("config", {}).get("fill", "repeat")  # points are prepared as they were in training

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """Frames uint8 [B, H, W, 3] to their tokens [B, S, D]."""
        small = np.stack([resampled(frame, self.size.image) for frame in frames])
        return self.encoder(torch.from_numpy(small).to(self.device))

    def tokens(self, previous: NDArray[np.uint8], now: NDArray[np.uint8]) -> Tensor:
        """Tokens [B, 2 S, D] of two frames each, uint8 [B, 256, 256, 3]."""
        both = self.encode(np.concatenate([previous, now]))
        return torch.cat([both[: len(previous)], both[len(previous) :]], 1)

    @torch.inference_mode()
    def predict(
        self, tokens: Tensor, points: NDArray, progress: NDArray, valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Deltas [B, N, 2] in pixels of 256 of points [B, N, 2] (crop pixels), at progress [B], where valid [B, N]."""
        at = torch.as_tensor(points, dtype=torch.float32, device=self.device) / (CROP_SIZE - 1)
        t = torch.as_tensor(progress, dtype=torch.float32, device=self.device)
        seen = torch.as_tensor(valid, dtype=torch.bool, device=self.device)
        after = self.model(tokens, at, t, seen)
        return ((after - at) * (CROP_SIZE - 1)).cpu().numpy()


def load_predictor(run: Path, device: str = "cpu") -> Predictor:
    """The newest checkpoint of a training run. Raises BadCheckpoint, or MissingWeights for an absent frozen encoder."""
    folder = last_checkpoint(Path(run))
    if folder is None:
        raise BadCheckpoint(f"{run} holds no predictor checkpoint: train one with `mpr train --out {run}`")
    about = checkpoint_info(folder)
    fields = {f.name for f in dataclasses.fields(Size)}
    if set(about["size"]) != fields:
        raise BadCheckpoint(
            f"{folder} is of another architecture: its size names {sorted(set(about['size']) ^ fields)}"
        )
    with reading(folder / "checkpoint.json"):
        size = Size(**about["size"])
        motion = MotionModel(size, Path(about["encoder_weights"]) if about.get("encoder_weights") else None)
    load_weights(folder, motion)
    return Predictor(motion, size, about, device)
