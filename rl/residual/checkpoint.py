"""Checkpoints of residual RL between two episodes: weights, optimizers, replay, generators. Nothing is unpickled that
could run code.

A checkpoint is a folder `checkpoints/<episodes>` that appears whole or not at all. An episode is decided by its seed
(rl.residual.environment), so the environment's part is one number.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpr.checkpoint import (
    BadCheckpoint,
    checkpoint_info,
    drop_others,
    fitting_weights,
    last_checkpoint,
    reading,
    write_state,
    write_weights,
)
from rl.residual.algorithm import ResidualSAC
from rl.residual.policy import ResidualPolicy
from tracking.runs import atomic_folder

FORMAT = 2  # 2: the averaged actor beside the actor
ARCHITECTURE = "residual SAC"
SMALL_CHANGE = 100_000  # bytes: generators, file headers
COUNTERS = ("num_timesteps", "_episode_num", "_n_updates")


def save_checkpoint(run: Path, episodes: int, model: ResidualSAC, about: dict[str, Any]) -> None:
    """Write checkpoints/<episodes>, drop the ones before it. `about`: what the policy needs around it (JSON values)."""
    home = Path(run) / "checkpoints"
    with atomic_folder(home / f"{episodes:05d}") as temporary:
        write_weights(temporary / "model.safetensors", model.policy.state_dict())
        write_state(temporary / "learner.pt", _learner(model))
        np.savez(temporary / "replay.npz", **model.buffer.arrays())  # type: ignore[arg-type]
        meta = {
            "format": FORMAT,
            "architecture": ARCHITECTURE,
            "episodes": episodes,
            "observation": model.policy.observation_space.shape,
            "action": model.policy.action_space.shape,
            "net_arch": model.policy.net_arch,
            "n_critics": model.critic.n_critics,
            "layer_norm": model.policy.layer_norm,  # pyright: ignore
            "average": model.policy.average,  # pyright: ignore
            "next_seed": _next_seed(model),
            "counters": {name: getattr(model, name) for name in COUNTERS},
            **about,
        }
        (temporary / "checkpoint.json").write_text(json.dumps(meta, indent=2) + "\n")
    drop_others(home, episodes)


def checkpoint_bytes(model: ResidualSAC) -> int:
    """At most, replay full: weights, Adam's two moments of those that are trained, replay."""
    weights = sum(values.nbytes for values in model.policy.state_dict().values())
    trained = sum(p.nbytes for network in (model.actor, model.critic) for p in network.parameters())
    return weights + 2 * trained + model.buffer.nbytes + SMALL_CHANGE


def restore(folder: Path, model: ResidualSAC) -> int:
    """Put a freshly made learner where the checkpoint's was; returns the episodes done. Raises BadCheckpoint."""
    about = checkpoint_info(folder, ARCHITECTURE, FORMAT)
    for name, space in (("observation", model.observation_space), ("action", model.action_space)):
        if list(space.shape or ()) != about[name]:
            here = list(space.shape or ())
            raise BadCheckpoint(f"{folder} is of another {name} space: {about[name]} there, {here} here")
    model.policy.load_state_dict(fitting_weights(folder / "model.safetensors", model.policy.state_dict()))
    with reading(folder / "learner.pt"):
        state = torch.load(folder / "learner.pt", weights_only=True, map_location=model.device)
        model.actor.optimizer.load_state_dict(state["actor"])
        model.critic.optimizer.load_state_dict(state["critic"])
        if model.log_ent_coef is not None and model.ent_coef_optimizer is not None:
            model.log_ent_coef.data.copy_(state["log_ent_coef"])
            model.ent_coef_optimizer.load_state_dict(state["temperature"])
    with reading(folder / "replay.npz"), np.load(folder / "replay.npz", allow_pickle=False) as z:
        model.buffer.restore(dict(z))
    for name, value in about["counters"].items():
        setattr(model, name, value)
    model._last_obs = None  # so that `learn` resets, to the episode that was to begin
    if about["next_seed"] is not None:
        model.get_env().seed(about["next_seed"])  # pyright: ignore[reportOptionalMemberAccess]
    _restore_generators(state)
    return int(about["episodes"])


def _next_seed(model: ResidualSAC) -> int | None:
    """Of the episode that has already been reset to; None before the first reset, which the learner's seed decides."""
    environment = model.get_env()
    assert environment is not None
    return None if model._last_obs is None else int(environment.get_attr("seed")[0])


def _learner(model: ResidualSAC) -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    state = {
        "actor": model.actor.optimizer.state_dict(),
        "critic": model.critic.optimizer.state_dict(),
        "torch_generator": torch.get_rng_state(),
        "numpy_generator": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
    }
    if model.log_ent_coef is not None and model.ent_coef_optimizer is not None:
        state |= {"log_ent_coef": model.log_ent_coef.detach(), "temperature": model.ent_coef_optimizer.state_dict()}
    return state


def _restore_generators(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch_generator"].cpu())
    kind, keys, position, has_gauss, gauss = state["numpy_generator"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))


def load_policy(run: Path, device: str = "cpu") -> tuple[ResidualPolicy, dict[str, Any]]:
    """A run's newest policy, to `predict` with, and checkpoint.json. Raises BadCheckpoint."""
    import gymnasium

    folder = last_checkpoint(run)
    if folder is None:
        raise BadCheckpoint(f"{run} holds no residual checkpoint: train one with `mpr finetune --out {run}`")
    about = checkpoint_info(folder, ARCHITECTURE, FORMAT)
    with reading(folder / "checkpoint.json"):
        spaces = (
            gymnasium.spaces.Box(-np.inf, np.inf, tuple(about["observation"]), np.float32),
            gymnasium.spaces.Box(-1.0, 1.0, tuple(about["action"]), np.float32),
        )
        shape = {name: about[name] for name in ("net_arch", "n_critics", "layer_norm", "average")}
        policy = ResidualPolicy(*spaces, lambda _: 0.0, **shape)
    policy.load_state_dict(fitting_weights(folder / "model.safetensors", policy.state_dict()))
    return policy.to(device), about
