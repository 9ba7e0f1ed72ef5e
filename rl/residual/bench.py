"""`mpr bench rl`: updates a second of three ways to write the same SAC, in turns in one run: stable-baselines3 as it
comes, with LayerNorm critics and half batches of demonstrations written plainly, and ours. And kitchen steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from rl.kitchen.with_base import ACTION, STATE
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer, joined
from rl.residual.policy import ResidualPolicy
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder

PLAIN, OURS = "stable-baselines3, LayerNorm and half demonstrations added plainly", "ours"
OBSERVATION = STATE + ACTION  # the kitchen's state, then the base action
ROWS = 5000
BURST = 20  # updates timed together


@dataclass(frozen=True)
class BenchConfig:
    """Times SAC updates of the kitchen's sizes, and steps of the kitchen itself. Medians over rounds."""

    out: Path = Path("runs/bench_rl")  # run folder
    batch: int = 64  # transitions an update
    rounds: int = 9  # in which each way takes its turn, after one that is not counted
    threads: int = 1  # of torch

    def __post_init__(self) -> None:
        if min(self.batch, self.rounds, self.threads) < 1:
            raise UserError("batch, rounds and threads are at least 1")


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(BenchConfig, argv, "mpr bench rl")
    if dry_run:
        return print_plan(config, {}, {}, config.out)
    torch.set_num_threads(config.threads)
    run = RunFolder(config.out, "bench rl", as_dict(config))
    rates = dict(updates_per_second(config.batch, config.rounds))
    for name, value in rates.items():
        print(f"{value:8.0f} updates/s  {name}")
    print(f"{rates[OURS] / rates[PLAIN]:8.2f} times the plain way")
    steps = kitchen_steps_per_second()
    print(f"{steps:8.0f} kitchen steps/s (one is 0.08 s of simulated time)")
    run.finish({"updates_per_second": rates, "ratio": rates[OURS] / rates[PLAIN], "kitchen_steps_per_second": steps})


def kitchen_steps_per_second(steps: int = 150) -> float:
    """One episode of random actions, after a few steps that are not counted."""
    from rl.kitchen.environment import KitchenEnvironment

    environment = KitchenEnvironment("microwave", terminate=False, step_limit=10**6)
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (steps, ACTION))
    environment.reset(seed=0)
    for action in actions[:10]:
        environment.step(action)
    start = time.perf_counter()
    for action in actions:
        environment.step(action)
    return steps / (time.perf_counter() - start)


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


def learners() -> dict[str, SAC]:
    """The three, on random transitions."""
    shared: dict[str, Any] = {"buffer_size": ROWS, "ent_coef": "auto", "device": "cpu", "seed": 0}
    shared["policy_kwargs"] = {"net_arch": [256, 256, 256]}
    made: dict[str, SAC] = {
        "stable-baselines3": SAC(SACPolicy, _Spaces(), **shared),
        PLAIN: SAC(PlainPolicy, _Spaces(), replay_buffer_class=PlainBuffer, **shared),
        OURS: ResidualSAC(ResidualPolicy, _Spaces(), **shared),
    }
    for model in made.values():
        model.set_logger(Logger(folder=None, output_formats=[]))
        assert model.replay_buffer is not None
        fill(model.replay_buffer)
        if isinstance(model.replay_buffer, PlainBuffer | ResidualBuffer):
            kind = ReplayBuffer if isinstance(model.replay_buffer, PlainBuffer) else ResidualBuffer
            model.replay_buffer.demonstrations = kind(ROWS, model.observation_space, model.action_space, "cpu")
            fill(model.replay_buffer.demonstrations)
    return made


def fill(buffer: ReplayBuffer) -> None:
    """Random transitions, in [-1, 1] as the kitchen's mostly are."""
    rng = np.random.default_rng(0)
    for name in ("observations", "next_observations", "actions", "rewards"):
        values = getattr(buffer, name)
        values[:] = rng.uniform(-1.0, 1.0, values.shape)
    buffer.full = True


def updates_per_second(
    batch_size: int = 64, rounds: int = 5, burst: int = BURST, clock: Callable[[], float] = time.perf_counter
) -> Mapping[str, float]:
    """Medians over rounds in which each takes its turn, after one that is not counted; on torch's threads as set.

    On a shared machine and one thread, `time.process_time` as the clock counts only what these updates cost.
    """
    made = learners()
    rates: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(rounds + 1):
        for name, model in made.items():
            start = clock()
            model.train(burst, batch_size)
            if turn:
                rates[name].append(burst / (clock() - start))
    return {name: float(np.median(values)) for name, values in rates.items()}
