"""Checkpoints of residual RL between two episodes (`mpr.core.checkpoints`): weights, optimizers, replay, generators.

An episode is decided by its seed (rl.environments.residual), so the environment's part of `checkpoints/<episodes>` is
where its starts stand (rl.environments.starts).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.checkpoints import (
    ABOUT,
    WEIGHTS,
    BadCheckpoint,
    CheckpointKind,
    fitting_weights,
    last_checkpoint,
    put_optimizer,
    read_about,
    reading,
    wanted_checkpoint,
    write_checkpoint,
)
from rl.policies.residual import ResidualPolicy
from rl.residual.algorithm import ResidualSAC
from rl.residual.inputs import NormalisedFlatten

LEARNER, REPLAY = "learner.pt", "replay.npz"
SMALL_CHANGE = 100_000  # bytes: generators, file headers
COUNTERS = ("num_timesteps", "_episode_num", "_n_updates")
MOST_NUMBERS = 100_000  # of an observation, an action or a layer that a file tells


class Counters(TypedDict):
    """Of stable-baselines3: COUNTERS."""

    num_timesteps: int
    _episode_num: int
    _n_updates: int


class _Always(TypedDict):
    episodes: int
    observation: list[int]
    action: list[int]
    net_arch: list[int]
    n_critics: int
    layer_norm: bool
    next_seed: int | None
    counters: Counters


RENAMED_KEYS = {"alpha": "residual_scale", "average": "actor_ema", "fully": "full_open"}  # before -> now


class _About(_Always, total=False):
    """What checkpoint.json holds beside `mpr.core.checkpoints.Named`; the last of it is `rl.residual.train`'s."""

    starts: dict[str, Any]
    env: str
    env_options: str
    residual_scale: float
    task: str  # of the kitchen, before there were other environments
    actor_ema: float
    alpha: float  # see RENAMED_KEYS
    average: float
    fully: bool
    ddim_steps: int
    ajar: bool
    full_open: bool
    goal_travel: float | None
    shown_travel: float | None
    step_limit: int | None
    base: str
    base_weights: str
    encoder_weights: str
    signal_weight: float
    normalise_inputs: bool
    critic_extra: int
    debts: list[int]  # updates owed for each episode, and how many of the first are made: `rl.residual.episode_learner`
    debt_made: int
    given: list[int]


_KIND = CheckpointKind(
    "residual", "mpr finetune", "residual SAC", 2, _About, digits=5
)  # 2: averaged actor beside actor


def save_residual_checkpoint(
    run: Path,
    episodes: int,
    model: ResidualSAC,
    about: dict[str, Any],
    arrays: Mapping[str, Mapping[str, NDArray]] | None = None,
) -> None:
    """Write checkpoints/<episodes>, drop the ones before it.

    `about`: what the policy needs around it (JSON values). `arrays`, by file name, are kept beside, [...] by name.
    """
    meta = {
        "episodes": episodes,
        "observation": model.policy.observation_space.shape,
        "action": model.policy.action_space.shape,
        "net_arch": model.policy.net_arch,
        "n_critics": model.critic.n_critics,
        "layer_norm": model.policy.layer_norm,  # pyright: ignore
        "critic_extra": model.policy.critic_extra,  # pyright: ignore
        "normalise_inputs": isinstance(model.actor.features_extractor, NormalisedFlatten),
        "actor_ema": model.policy.actor_ema,  # pyright: ignore
        **_starts(model),
        "counters": {name: getattr(model, name) for name in COUNTERS},
        **about,
    }
    weights, states = {WEIGHTS: model.policy.state_dict()}, {LEARNER: _learner(model)}
    write_checkpoint(run, episodes, _KIND, meta, weights, states, {REPLAY: model.buffer.arrays(), **(arrays or {})})


def checkpoint_bytes(model: ResidualSAC) -> int:
    """At most, replay full: weights, Adam's two moments of those that are trained, replay."""
    weights = sum(values.nbytes for values in model.policy.state_dict().values())
    trained = sum(p.nbytes for network in (model.actor, model.critic) for p in network.parameters())
    return weights + 2 * trained + model.buffer.nbytes + SMALL_CHANGE


def restore_residual(folder: Path, model: ResidualSAC) -> dict[str, Any]:
    """Put a freshly made learner where the checkpoint's was: its checkpoint.json. Raises BadCheckpoint."""
    about = read_about(folder, _KIND)
    for name, space in (("observation", model.observation_space), ("action", model.action_space)):
        if list(space.shape or ()) != about[name]:
            here = list(space.shape or ())
            raise BadCheckpoint(f"{folder} is of another {name} space: {about[name]} there, {here} here")
    model.policy.load_state_dict(fitting_weights(folder / WEIGHTS, model.policy.state_dict()))
    with reading(folder / LEARNER):
        state = torch.load(folder / LEARNER, weights_only=True, map_location=model.device)
        put_optimizer(model.actor.optimizer, state["actor"])
        put_optimizer(model.critic.optimizer, state["critic"])
        if model.log_ent_coef is not None and model.ent_coef_optimizer is not None:
            model.log_ent_coef.data.copy_(state["log_ent_coef"])
            put_optimizer(model.ent_coef_optimizer, state["temperature"])
    with reading(folder / REPLAY), np.load(folder / REPLAY, allow_pickle=False) as z:
        model.buffer.restore(dict(z))
    for name, value in about["counters"].items():
        setattr(model, name, value)
    model._last_obs = None  # so that `learn` resets, to the episode that was to begin
    if about["next_seed"] is not None:
        model.get_env().seed(about["next_seed"])  # pyright: ignore[reportOptionalMemberAccess]
        if "starts" in about:  # before there were streams, the seed was all there is
            with reading(folder / ABOUT):
                model.get_env().env_method("resume_starts", about["starts"])  # pyright: ignore[reportOptionalMemberAccess]
    with reading(folder / LEARNER):
        _restore_generators(state, model)
    return about


def kept_signal_weight(run: Path) -> float | None:
    """The weight that a run which is gone on with gave its signal; None where nothing is kept. Raises BadCheckpoint."""
    folder = last_checkpoint(run)
    return None if folder is None else read_about(folder, _KIND).get("signal_weight")


def _starts(model: ResidualSAC) -> dict[str, Any]:
    """The seed of the episode that comes next, whether or not it was reset to, and of which stream it is; without a
    seed before the first reset, which the learner's seed decides."""
    environment = model.get_env()
    assert environment is not None
    if model._last_obs is None:
        return {"next_seed": None}
    state = environment.get_attr("starts")[0].upcoming()
    return {"next_seed": state["start"], "starts": state}


def _learner(model: ResidualSAC) -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    state = {
        "actor": model.actor.optimizer.state_dict(),
        "critic": model.critic.optimizer.state_dict(),
        "torch_generator": torch.get_rng_state(),
        "numpy_generator": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "action_generator": json.dumps(model.action_space.np_random.bit_generator.state),  # numbers of 128 bits
    }
    if model.log_ent_coef is not None and model.ent_coef_optimizer is not None:
        state |= {"log_ent_coef": model.log_ent_coef.detach(), "temperature": model.ent_coef_optimizer.state_dict()}
    return state


def _restore_generators(state: dict[str, Any], model: ResidualSAC) -> None:
    torch.set_rng_state(state["torch_generator"].cpu())
    kind, keys, position, has_gauss, gauss = state["numpy_generator"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    if "action_generator" in state:  # before, only a warm-up of 1 that was broken off went on otherwise
        model.action_space.np_random.bit_generator.state = json.loads(state["action_generator"])


def load_residual_policy(run: Path, device: str = "cpu") -> tuple[ResidualPolicy, dict[str, Any]]:
    """A run's newest policy, to `predict` with, and checkpoint.json. Raises BadCheckpoint."""
    import gymnasium

    folder, about = wanted_checkpoint(run, _KIND)
    about = _named_now(about)
    with reading(folder / ABOUT):
        sizes = (*about["observation"], *about["action"], *about["net_arch"], about["n_critics"])
        if not all(0 < size <= MOST_NUMBERS for size in sizes):
            raise ValueError(f"its spaces and networks have {sizes[:9]} numbers")
        spaces = (
            gymnasium.spaces.Box(-np.inf, np.inf, tuple(about["observation"]), np.float32),
            gymnasium.spaces.Box(-1.0, 1.0, tuple(about["action"]), np.float32),
        )
        shape = {name: about[name] for name in ("net_arch", "n_critics", "layer_norm", "actor_ema")}
        shape["critic_extra"] = min(about.get("critic_extra", 0), 1)
        if about.get("normalise_inputs"):
            shape["features_extractor_class"] = NormalisedFlatten  # whose statistics are among the weights
        policy = ResidualPolicy(*spaces, lambda _: 0.0, **shape)
    policy.load_state_dict(fitting_weights(folder / WEIGHTS, policy.state_dict()))
    return policy.to(device), about


def _named_now(about: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its policy, under today's names."""
    named = {"env": f"kitchen:{about['task']}"} if "task" in about else {}
    return about | named | {now: about[before] for before, now in RENAMED_KEYS.items() if before in about}
