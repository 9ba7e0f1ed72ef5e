"""Updates a second of several ways to write the same SAC, in turns in one process.

stable-baselines3 as it comes, with LayerNorm critics and half batches of demonstrations written plainly, ours, ours
compiled, and SBX's in JAX.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from mpr.core.errors import UserError
from mpr.core.processes import defaults
from rl.environments.kitchen.setting import ACTION, STATE
from rl.policies.residual import ResidualPolicy
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer, joined

PLAIN, OURS = "stable-baselines3, LayerNorm and half demonstrations added plainly", "ours"
COMPILED, SBX = "ours, compiled", "SBX (JAX), LayerNorm, no demonstrations"
OBSERVATION = STATE + ACTION  # the kitchen's state, then the base action
BENCH_TRANSITIONS = 5000
BURST = 20  # updates timed together


class PlainCritics(ContinuousCritic):
    """LayerNorm critics as one adds them to stable-baselines3: ordinary layers, one network after the other."""

    def __init__(self, *, net_arch: list[int], n_critics: int = 2, features_dim: int, **rest: Any) -> None:
        super().__init__(net_arch=net_arch, n_critics=0, features_dim=features_dim, **rest)
        self.n_critics = n_critics
        inputs = features_dim + int(self.action_space.shape[0])  # pyright: ignore
        for k in range(n_critics):
            network = nn.Sequential(*create_mlp(inputs, 1, net_arch, post_linear_modules=[nn.LayerNorm]))
            self.add_module(f"qf{k}", network)
            self.q_networks.append(network)


class PlainPolicy(SACPolicy):
    """SACPolicy with PlainCritics."""

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        return PlainCritics(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)


class PlainBuffer(ReplayBuffer):
    """Half of each batch from another of stable-baselines3's buffers."""

    demonstrations: ReplayBuffer

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        half = batch_size // 2
        return joined(super().sample(batch_size - half, env), self.demonstrations.sample(half, env))


class _Spaces(gymnasium.Env):
    """What SAC asks of an environment before it is used."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)


_SIZES: dict[str, Any] = {"buffer_size": BENCH_TRANSITIONS, "ent_coef": "auto", "device": "cpu", "seed": 0}
NETWORKS = {"net_arch": [256, 256, 256]}


def settings() -> dict[str, Any]:
    """What each learner is made with, anew: stable-baselines3 writes `use_sde` into the table it is given."""
    return _SIZES | {"policy_kwargs": dict(NETWORKS)}


def learners(compile: bool = False) -> dict[str, OffPolicyAlgorithm]:
    """All that run here, on random transitions; a line about each that does not."""
    made: dict[str, OffPolicyAlgorithm] = {
        "stable-baselines3": SAC(SACPolicy, _Spaces(), **settings()),
        PLAIN: SAC(PlainPolicy, _Spaces(), replay_buffer_class=PlainBuffer, **settings()),
        OURS: ResidualSAC(ResidualPolicy, _Spaces(), **settings()),
    }
    try:
        if compile:
            made[COMPILED] = ResidualSAC(ResidualPolicy, _Spaces(), compile=True, **settings())
    except UserError as error:
        print(f"{COMPILED}: not measured, {error}")
    if importlib.util.find_spec("sbx"):
        made[SBX] = sbx_learner()
    else:
        print("SBX: not installed (pip install sbx-rl), not measured")
    for model in made.values():
        model.set_logger(Logger(folder=None, output_formats=[]))
        assert model.replay_buffer is not None
        fill(model.replay_buffer)
        if isinstance(model.replay_buffer, PlainBuffer | ResidualBuffer):
            kind = ReplayBuffer if isinstance(model.replay_buffer, PlainBuffer) else ResidualBuffer
            model.replay_buffer.demonstrations = kind(
                BENCH_TRANSITIONS, model.observation_space, model.action_space, "cpu"
            )
            fill(model.replay_buffer.demonstrations)
    return made


def sbx_learner() -> OffPolicyAlgorithm:
    """SBX's SAC with LayerNorm critics, whose `train` returns when the updates are done."""
    threads = torch.get_num_threads()  # JAX reads this once, when it is imported
    eigen = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} intra_op_parallelism_threads={threads}"
    with defaults(XLA_FLAGS=eigen):
        jax, sbx = importlib.import_module("jax"), importlib.import_module("sbx")
        jax.devices()  # now it is read

    class Blocking(sbx.SAC):
        def train(self, gradient_steps: int, batch_size: int) -> None:
            super().train(gradient_steps, batch_size)
            jax.block_until_ready((self.policy.qf_state, self.policy.actor_state, self.ent_coef_state))

    return Blocking("MlpPolicy", _Spaces(), policy_kwargs=NETWORKS | {"layer_norm": True}, **_SIZES)


def fill(buffer: ReplayBuffer) -> None:
    """Random transitions, in [-1, 1] as the kitchen's mostly are."""
    rng = np.random.default_rng(0)
    for name in ("observations", "next_observations", "actions", "rewards"):
        values = getattr(buffer, name)
        values[:] = rng.uniform(-1.0, 1.0, values.shape)
    buffer.full = True


def updates_per_second(
    batch_size: int = 64,
    rounds: int = 5,
    burst: int = BURST,
    clock: Callable[[], float] = time.perf_counter,
    compile: bool = False,
) -> Mapping[str, float]:
    """Medians over rounds in which each takes its turn, after one that is not counted; on torch's threads as set.

    On a shared machine and one thread, `time.process_time` as the clock counts only what these updates cost.
    """
    made = learners(compile)
    rates: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(rounds + 1):
        for name, model in made.items():
            start = clock()
            model.train(burst, batch_size)
            if turn:
                rates[name].append(burst / (clock() - start))
    return {name: float(np.median(values)) for name, values in rates.items()}
