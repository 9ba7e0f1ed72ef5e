"""Checkpoints of a diffusion policy, and the trained policy as an actor.

A checkpoint is a folder `checkpoints/<step>` that appears whole or not at all: model.safetensors (the averaged weights,
which act, and the normalisers), training.safetensors (the weights being trained), optimizer.pt, checkpoint.json. A
frozen encoder's weights stay where they are. Nothing is unpickled that could run code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mpr.checkpoint import (
    BadCheckpoint,
    checkpoint_info,
    drop_others,
    fitting_weights,
    last_checkpoint,
    load_optimizer,
    reading,
    write_state,
    write_weights,
)
from rl.base_policy import Look
from rl.diffusion.policy import DiffusionActor, DiffusionPolicy, PolicyShape
from rl.diffusion.samples import Horizons
from rl.diffusion.schedule import Sampler
from rl.diffusion.views import Eyes
from tracking.runs import atomic_folder

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel

FORMAT = 1
ARCHITECTURE = "diffusion policy, conditional U-Net 1-D"


def save_checkpoint(
    run: Path,
    step: int,
    policy: DiffusionPolicy,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
) -> None:
    """Write checkpoints/<step> and drop the ones before it; at every moment one whole checkpoint is there."""
    home = run / "checkpoints"
    with atomic_folder(home / f"{step:07d}") as temporary:
        trained = policy.state_dict()
        averaged = trained | dict(_averages(policy, ema))
        for name, state in (("model", averaged), ("training", trained)):
            write_weights(temporary / f"{name}.safetensors", state)
        write_state(temporary / "optimizer.pt", {"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()})
        meta = {"format": FORMAT, "architecture": ARCHITECTURE, "step": step, "ema_step": ema.optimization_step}
        meta |= {"shape": dataclasses.asdict(policy.shape), **about}
        (temporary / "checkpoint.json").write_text(json.dumps(meta, indent=2) + "\n")
    drop_others(home, step)


def _averages(policy: DiffusionPolicy, ema: EMAModel) -> Iterator[tuple[str, Tensor]]:
    """Every parameter's name and its average."""
    for (name, _), average in zip(policy.named_parameters(), ema.shadow_params, strict=True):
        yield name, average


def restore(folder: Path, policy: DiffusionPolicy, ema: EMAModel, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put weights, averages, optimizer and random numbers back as they were; returns checkpoint.json."""
    about = checkpoint_info(folder, ARCHITECTURE, FORMAT)
    policy.load_state_dict(fitting_weights(folder / "training.safetensors", policy.state_dict()))
    averaged = fitting_weights(folder / "model.safetensors", policy.state_dict())
    for name, average in _averages(policy, ema):
        average.copy_(averaged[name])
    ema.optimization_step = int(about["ema_step"])
    load_optimizer(folder, optimizer)
    return about


def load_policy(
    run: Path, device: str = "cpu", state: int | None = None, action: int | None = None, wanted: str = ""
) -> tuple[DiffusionPolicy, dict[str, Any]]:
    """The newest checkpoint's averaged policy, in eval mode and frozen, and its checkpoint.json.

    `state` and `action` are the widths that the caller's environment has, `wanted` what its demonstrations would show.
    Raises BadCheckpoint where the policy has others or learned something else, or where there is no checkpoint.
    """
    folder = last_checkpoint(run)
    if folder is None:
        raise BadCheckpoint(f"{run} holds no policy checkpoint: train one with `mpr bc --out {run}`")
    about = checkpoint_info(folder, ARCHITECTURE, FORMAT)
    stored = about["shape"]
    for name, width in (("state", state), ("action", action)):
        if width is not None and stored.get(name) != width:
            raise BadCheckpoint(
                f"{folder} is a policy for {name}s of {stored.get(name)} numbers, here they have {width}: "
                "train one on demonstrations of this environment"
            )
    if wanted and about.get("shown", "") not in ("", wanted):
        raise BadCheckpoint(
            f"{folder} learned '{about['shown']}', wanted is '{wanted}': train one on demonstrations of that (`mpr bc`)"
        )
    seen = stored.get("cameras")
    if isinstance(seen, list) and seen:
        raise BadCheckpoint(
            f"{folder} does not say how large the frames were that it learned from ({', '.join(seen)}): an earlier "
            "version wrote it; train again with `mpr bc`"
        )
    try:
        cameras = {name: tuple(size) for name, size in dict(stored["cameras"]).items()}
        rest = {"widths": tuple(stored["widths"]), "horizons": Horizons(**stored["horizons"])}
        shape = PolicyShape(**stored | rest | {"cameras": cameras})
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"{folder} is of another architecture: its shape does not fit ({error})") from error
    with reading(folder / "checkpoint.json"):
        policy = DiffusionPolicy(shape)
    policy.load_state_dict(fitting_weights(folder / "model.safetensors", policy.state_dict()))
    return policy.to(device).eval().requires_grad_(False), about


def load_eyes(shape: PolicyShape, about: dict[str, Any], device: str = "cpu") -> Eyes | None:
    """What makes ready the frames that a policy is shown, as they were when it learned; None where it sees none.

    Raises MissingWeights for a frozen encoder whose weights are not where checkpoint.json (`about`) says.
    """
    return Eyes(shape.encoder, shape.image, Path(about["encoder_weights"]), device) if shape.cameras else None


def load_actor(
    run: Path,
    sampler: Sampler,
    look: Look | None = None,
    device: str = "cpu",
    **known: Any,
) -> DiffusionActor:
    """The trained policy of a run as a BasePolicy; `known` of its environment as for `load_policy`. Raises
    BadCheckpoint, or MissingWeights for a frozen encoder."""
    policy, about = load_policy(run, device, **known)
    return DiffusionActor(policy, sampler, load_eyes(policy.shape, about, device), look)
