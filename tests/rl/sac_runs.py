"""What tests of residual SAC share: short runs, their comparison, an environment of noise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from mpr.core.checksums import CHECKSUM_FILE
from mpr.reward.none import NoReward
from rl.residual.algorithm import ResidualSAC
from rl.residual.callback import EpisodeRewards
from rl.residual.demonstrations import demonstration_buffer
from tests.toy_reach import demonstrate, learner, wrapped

COMPILER = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")


def train(model, episodes: int, reward=None) -> None:
    for _ in range(episodes):
        model.learn(1, EpisodeRewards(reward or NoReward()), reset_num_timesteps=False)


def with_demonstrations(**settings) -> ResidualSAC:
    environment = wrapped()
    model = learner(environment, **settings)
    model.set_demonstrations(demonstration_buffer([demonstrate(s) for s in range(3)], environment, NoReward())[0])
    return model


def assert_ends_as_stable_baselines_train(**settings) -> None:
    """Rollout and updates of an episode: both draw batches and noise alike from the generators."""
    fast, slow = (learner(fast=on, **settings) for on in (True, False))
    for model in (fast, slow):
        model.set_random_seed(3)
        model.learn(1)
    assert fast._n_updates == slow._n_updates > 5
    for (name, mine), theirs in zip(fast.policy.named_parameters(), slow.policy.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5), name


def assert_same_checkpoints(whole: Path, resumed: Path) -> None:
    """Weights, counters, replay, optimizers, generators: every file of a checkpoint."""
    files = {"model.safetensors", "checkpoint.json", "replay.npz", "learner.pt"}
    names = {file.name for file in whole.iterdir()}
    assert names == {file.name for file in resumed.iterdir()} == {*files, CHECKSUM_FILE}
    for file in files - {"learner.pt"}:
        assert (whole / file).read_bytes() == (resumed / file).read_bytes(), file
    one, other = (torch.load(folder / "learner.pt", weights_only=True) for folder in (whole, resumed))
    assert_same(one, other)


def assert_same(one, other) -> None:
    """Dictionaries and sequences of tensors and plain values."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        assert_same(list(one.values()), list(other.values()))
    elif isinstance(one, (list, tuple)):
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    else:
        assert one == other


class Noise(gymnasium.Env):
    """Random observations of any space, three steps an episode."""

    def __init__(self, observation, action) -> None:
        self.observation_space, self.action_space, self.steps = observation, action, 0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.steps += 1
        return self.observation_space.sample(), 0.0, False, self.steps == 3, {}


FLAT = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
