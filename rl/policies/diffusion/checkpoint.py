"""A diffusion policy's checkpoints (`mpr.core.checkpoints`), and the trained policy as an actor.

checkpoints/<step> holds model.safetensors (the averaged weights, which act, and the normalisers), training.safetensors
(the weights being trained), optimizer.pt, checkpoint.json. A frozen encoder's weights stay where they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor

from mpr.core.checkpoints import (
    ABOUT,
    OPTIMIZER,
    WEIGHTS,
    BadCheckpoint,
    CheckpointKind,
    fitting_weights,
    load_optimizer,
    optimizer_state,
    read_about,
    reading,
    wanted_checkpoint,
    write_checkpoint,
)
from mpr.core.json_files import check_json
from rl.policies.base_policy import CameraFrames
from rl.policies.diffusion.policy import DiffusionActor, DiffusionPolicy, PolicyShape
from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import Horizons
from rl.policies.diffusion.views import CameraEncoder

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel

TRAINED = "training.safetensors"
MOST_WIDTHS = 10  # resolutions of a U-Net that a file tells


class _Always(TypedDict):
    shape: dict[str, Any]  # whose own errors say more
    step: int
    ema_step: int


class _About(_Always, total=False):
    """What checkpoint.json holds beside `mpr.core.checkpoints.Named`."""

    shown: str
    data: str
    images: dict[str, str]
    pictures: dict[str, str]  # what `images` was called
    encoder_weights: str


_KIND = CheckpointKind("policy", "mpr bc", "diffusion policy, conditional U-Net 1-D", 1, _About)


def save_policy_checkpoint(
    run: Path,
    step: int,
    policy: DiffusionPolicy,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
) -> None:
    """Write checkpoints/<step> and drop the ones before it; at every moment one whole checkpoint is there."""
    trained = policy.state_dict()
    weights = {WEIGHTS: trained | dict(_averages(policy, ema)), TRAINED: trained}
    meta = {"step": step, "ema_step": ema.optimization_step, "shape": dataclasses.asdict(policy.shape), **about}
    write_checkpoint(run, step, _KIND, meta, weights, {OPTIMIZER: optimizer_state(optimizer)})


def _averages(policy: DiffusionPolicy, ema: EMAModel) -> Iterator[tuple[str, Tensor]]:
    """Every parameter's name and its average."""
    for (name, _), average in zip(policy.named_parameters(), ema.shadow_params, strict=True):
        yield name, average


def restore_policy(
    folder: Path, policy: DiffusionPolicy, ema: EMAModel, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put weights, averages, optimizer and random numbers back as they were; returns checkpoint.json."""
    about = read_about(folder, _KIND)
    policy.load_state_dict(fitting_weights(folder / TRAINED, policy.state_dict()))
    averaged = fitting_weights(folder / WEIGHTS, policy.state_dict())
    for name, average in _averages(policy, ema):
        average.copy_(averaged[name])
    ema.optimization_step = int(about["ema_step"])
    load_optimizer(folder, optimizer)
    return about


def load_diffusion_policy(
    run: Path, device: str = "cpu", state: int | None = None, action: int | None = None, wanted: str = ""
) -> tuple[DiffusionPolicy, dict[str, Any]]:
    """The newest checkpoint's averaged policy, in eval mode and frozen, and its checkpoint.json.

    `state` and `action` are the widths that the caller's environment has, `wanted` what its demonstrations would show.
    Raises BadCheckpoint where the policy has others or learned something else, or where there is no checkpoint.
    """
    folder, about = wanted_checkpoint(run, _KIND)
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
        check_json(stored, PolicyShape, "shape")
        if not 0 < len(stored["widths"]) <= MOST_WIDTHS:
            raise ValueError(f"widths are 1 to {MOST_WIDTHS}")
        cameras = {name: tuple(size) for name, size in stored["cameras"].items()}
        rest = {"widths": tuple(stored["widths"]), "horizons": Horizons(**stored["horizons"])}
        shape = PolicyShape(**stored | rest | {"cameras": cameras})
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"{folder} is of another architecture: its shape does not fit ({error})") from error
    with reading(folder / ABOUT):
        with torch.device("meta"):  # not a byte of a policy that does not fit
            mine = DiffusionPolicy(shape).state_dict()
        weights = fitting_weights(folder / WEIGHTS, mine)
        policy = DiffusionPolicy(shape)
    policy.load_state_dict(weights)
    return policy.to(device).eval().requires_grad_(False), about


def load_camera_encoder(shape: PolicyShape, about: dict[str, Any], device: str = "cpu") -> CameraEncoder | None:
    """What makes ready the frames that a policy is shown, as they were when it learned; None where it sees none.

    Raises MissingWeights for a frozen encoder whose weights are not where checkpoint.json (`about`) says.
    """
    return CameraEncoder(shape.encoder, shape.image, Path(about["encoder_weights"]), device) if shape.cameras else None


def load_actor(
    run: Path,
    sampler: Sampler,
    look: CameraFrames | None = None,
    device: str = "cpu",
    **known: Any,
) -> DiffusionActor:
    """The trained policy of a run as a BasePolicy; `known` of its environment as for `load_diffusion_policy`.

    Raises BadCheckpoint, or MissingWeights for a frozen encoder.
    """
    policy, about = load_diffusion_policy(run, device, **known)
    return DiffusionActor(policy, sampler, load_camera_encoder(policy.shape, about, device), look)
