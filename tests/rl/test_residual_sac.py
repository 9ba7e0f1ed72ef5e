"""Residual SAC's networks, updates and training: the fast update against plainly written ones, resuming, learning."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from mpr.checkpoint import BadCheckpoint, last_checkpoint
from mpr.rewards.none import NoReward
from mpr.rewards.sparse import SparseReward
from rl.residual.adam import written_out
from rl.residual.algorithm import ResidualSAC
from rl.residual.bench_updates import PlainPolicy
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.checkpoint import load_policy, restore, save_checkpoint
from rl.residual.demonstrations import demonstration_buffer
from rl.residual.environment import ResidualEnvironment
from tests.toy_reach import SMALL, Chunked, Reach, demonstrate, learner, wrapped
from tracking.errors import UserError

COMPILER = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")

# The policy


def test_the_critics_are_what_stable_baselines_would_build_with_layer_norm():
    model = learner()
    plain = PlainPolicy(model.observation_space, model.action_space, lambda _: 1e-3, **SMALL)
    copy_critics(model.critic, plain.critic)
    x, a = torch.randn(5, 6), torch.randn(5, 2)
    for mine, theirs in zip(model.critic(x, a), plain.critic(x, a), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert sum(isinstance(m, nn.LayerNorm) for m in plain.critic.modules()) == 2 * len(SMALL["net_arch"])


def copy_critics(stacked, plain) -> None:
    """Stacked critics' weights into critics of ordinary layers."""
    with torch.no_grad():
        for k, network in enumerate(plain.q_networks):
            linear = [m for m in network if isinstance(m, nn.Linear)]
            norms = [m for m in network if isinstance(m, nn.LayerNorm)]
            for n, layer in enumerate(linear):
                layer.weight.copy_(stacked.weights[n][k].T)
                layer.bias.copy_(stacked.biases[n][k, 0])
            for n, norm in enumerate(norms):
                norm.weight.copy_(stacked.scales[n][k, 0])
                norm.bias.copy_(stacked.shifts[n][k, 0])


def test_layer_norm_bounds_the_critic_far_from_the_data():
    model = learner()
    near = torch.cat(model.critic(torch.ones(1, 6), torch.zeros(1, 2)), 1)
    far = torch.cat(model.critic(1e6 * torch.ones(1, 6), torch.zeros(1, 2)), 1)
    assert far.abs().max() < 10 * near.abs().max() + 10


def test_a_zero_initialised_actor_leaves_the_base_alone_and_the_others_do_not():
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    means = {}
    for init in ("zero", "orthogonal", "default"):
        model = learner(policy_kwargs=SMALL | {"actor_init": init})
        means[init] = np.abs(model.predict(x, deterministic=True)[0]).max()
    assert means["zero"] == 0 and means["orthogonal"] > 0 and means["default"] > 0
    model = learner(policy_kwargs=SMALL | {"log_std": -2.0})
    torch.manual_seed(0)
    spread = np.arctanh(model.predict(np.zeros((2000, 6), np.float32))[0]).std()
    assert spread == pytest.approx(np.exp(-2.0), rel=0.05)
    orthogonal = learner(policy_kwargs=SMALL | {"actor_init": "orthogonal"}).actor.latent_pi[2].weight
    assert torch.allclose(orthogonal @ orthogonal.T, torch.eye(16), atol=1e-5)
    with pytest.raises(UserError, match="orthogonal"):
        learner(policy_kwargs={"actor_init": "nosuch"})


# The update


def batches(count: int, size: int = 16, discounted: bool = False) -> list[tuple[ReplayBufferSamples, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    made = []
    for _ in range(count):
        done = (draw(size, 1) > 0.5).float()
        discounts = draw(size, 1).sigmoid() if discounted else None
        batch = ReplayBufferSamples(draw(size, 6), draw(size, 2).tanh(), draw(size, 6), done, draw(size, 1), discounts)
        made.append((batch, draw(2 * size, 2)))
    return made


def written_plainly(model: SAC, batch: ReplayBufferSamples, noise: torch.Tensor) -> None:
    """SAC's update as a textbook has it, with autograd; noise given."""
    size = len(batch.observations)

    def act(observations, draw):
        mean, log_std, _ = model.actor.get_action_dist_params(observations)
        normal = torch.distributions.Normal(mean, log_std.exp())
        raw = mean + log_std.exp() * draw
        action = raw.tanh()
        return action, (normal.log_prob(raw) - (1 - action**2 + 1e-6).log()).sum(1, keepdim=True)

    def step(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    action, log_prob = act(batch.observations, noise[:size])
    if model.log_ent_coef is not None:
        entropy = model.log_ent_coef.detach().exp()
        step(model.ent_coef_optimizer, -(model.log_ent_coef * (log_prob + model.target_entropy).detach()).mean())
    else:
        entropy = model.ent_coef_tensor
    with torch.no_grad():
        following, following_log_prob = act(batch.next_observations, noise[size:])
        q = torch.cat(model.critic_target(batch.next_observations, following), 1).min(1, keepdim=True)[0]
        discounts = model.gamma if batch.discounts is None else batch.discounts
        target = batch.rewards + (1 - batch.dones) * discounts * (q - entropy * following_log_prob)
    errors = [nn.functional.mse_loss(q, target) for q in model.critic(batch.observations, batch.actions)]
    step(model.critic.optimizer, 0.5 * sum(errors))
    q = torch.cat(model.critic(batch.observations, action), 1).min(1, keepdim=True)[0]
    step(model.actor.optimizer, (entropy * log_prob - q).mean())
    with torch.no_grad():
        for new, old in zip(model.critic.parameters(), model.critic_target.parameters(), strict=True):
            old.mul_(1 - model.tau).add_(model.tau * new)


@pytest.mark.parametrize(
    ("entropy", "init", "discounted", "compile"),
    [
        ("auto", "zero", False, False),
        (0.05, "zero", False, False),
        ("auto", "default", False, False),
        (0.05, "default", True, False),
        pytest.param("auto", "default", True, True, marks=COMPILER),
    ],
)
def test_the_fast_update_is_the_plain_one(entropy, init, discounted, compile):
    kwargs = {"ent_coef": entropy, "learning_rate": 3e-3, "policy_kwargs": SMALL | {"actor_init": init}}
    fast, plain = learner(compile=compile, **kwargs), learner(**kwargs)
    for batch, noise in batches(8, discounted=discounted):
        with torch.no_grad():
            fast.update(batch, noise)
        written_plainly(plain, batch, noise)
    moved = learner(**kwargs)
    for (name, mine), theirs, start in zip(
        fast.policy.named_parameters(), plain.policy.parameters(), moved.policy.parameters(), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-5), name
        assert name.startswith("critic_target") or not torch.allclose(mine, start, atol=1e-4), name
    for mine, theirs in ((fast.critic, plain.critic), (fast.actor, plain.actor)):  # Adam hides a constant factor
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            seen, wanted = mine.optimizer.state[a]["exp_avg"], theirs.optimizer.state[b]["exp_avg"]
            assert torch.allclose(seen, wanted, rtol=1e-3, atol=1e-5)
    if entropy == "auto":
        assert torch.allclose(fast.log_ent_coef, plain.log_ent_coef, atol=1e-6)


def test_the_clamp_of_the_log_standard_deviation_stops_its_gradient():
    fast, plain = learner(), learner()
    for model in (fast, plain):
        nn.init.constant_(model.actor.log_std.bias, 2.5)
        nn.init.normal_(model.actor.log_std.weight, generator=torch.Generator().manual_seed(0))
    (batch, noise), *_ = batches(1)
    with torch.no_grad():
        fast.update(batch, noise)
    written_plainly(plain, batch, noise)
    for mine, theirs in zip(fast.actor.parameters(), plain.actor.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-3)  # saturated: rounding


RETURNS = {"replay_buffer_class": ResidualBuffer, "replay_buffer_kwargs": {"n_steps": 3, "gamma": 0.99}}


@pytest.mark.parametrize(("layer_norm", "returns"), [(True, {}), (False, {}), (True, RETURNS)])
def test_stable_baselines_own_train_ends_at_the_same_weights(layer_norm, returns):
    """Rollout and updates of an episode: both draw batches and noise alike from the generators."""
    kwargs = {"policy_kwargs": SMALL | {"layer_norm": layer_norm}, **returns}
    fast, slow = (learner(fast=on, **kwargs) for on in (True, False))
    for model in (fast, slow):
        model.set_random_seed(3)
        model.learn(1)
    assert fast._n_updates == slow._n_updates > 5
    for (name, mine), theirs in zip(fast.policy.named_parameters(), slow.policy.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5), name


def test_returns_of_two_makes_never_meet():
    environment = wrapped()
    shown = demonstration_buffer([demonstrate(0)], environment, NoReward(), n_steps=3, gamma=0.9)[0]
    with pytest.raises(ValueError, match="n_steps 3, those of practice 1"):
        learner(environment).set_demonstrations(shown)
    with pytest.raises(ValueError, match=r"gamma 0\.9, those of practice 0\.99"):
        learner(environment, **RETURNS).set_demonstrations(shown)
    with pytest.raises(ValueError, match=r"returns have gamma 0\.99, the critics' 0\.5"):
        learner(environment, gamma=0.5, **RETURNS)


def test_compiled_updates_are_refused_where_nothing_compiles(tmp_path, monkeypatch):
    import torch._inductor.config as settings

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # holds nothing compiled before
    torch.compiler.reset()
    with settings.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(UserError, match="install a C"):
        learner(compile=True)


def test_compiled_updates_take_plain_adam_alone():
    with pytest.raises(ValueError, match="AdamW"):
        written_out(torch.optim.AdamW([nn.Parameter(torch.zeros(2))]))


# Training


def test_updates_follow_the_episodes_length_at_the_ratio():
    model = learner(update_ratio=2.5, gradient_steps=-1)
    model.learn(1)
    length = model.num_timesteps
    assert 0 < length <= 20 and model._n_updates == round(2.5 * length)
    fixed = learner(gradient_steps=7, update_ratio=2.5)
    fixed.learn(1)
    assert fixed._n_updates == 7


def test_warm_up_leaves_the_base_alone():
    model = learner(learning_starts=100, gradient_steps=0)
    model.learn(50)
    assert not model.buffer.actions[: model.buffer.size()].any()
    model = learner(learning_starts=100, warmup=0.2, gradient_steps=0)
    model.learn(50)
    used = np.abs(model.buffer.actions[: model.buffer.size()])
    assert 0.1 < used.max() <= 0.2
    before = model.num_timesteps
    model.learn(60, reset_num_timesteps=False)
    assert np.abs(model.buffer.actions[before:]).max() > 0.2


def test_deterministic_predictions_ask_the_average_and_others_the_actor():
    model = with_demonstrations(policy_kwargs=SMALL | {"average": 0.25})
    train(model, 1)
    start = [p.clone() for p in model.policy.averaged.parameters()]
    model.train(1, 16)
    actor, averaged = list(model.actor.parameters()), list(model.policy.averaged.parameters())
    for was, now, follows in zip(start, actor, averaged, strict=True):
        assert torch.allclose(follows, was + 0.25 * (now - was), atol=1e-7)
    model.train(3, 16)
    x = torch.randn(4, 6)
    mean, current = model.policy._predict(x, deterministic=True), model.actor(x, deterministic=True)
    assert torch.equal(mean, model.policy.averaged(x, deterministic=True)) and not torch.allclose(mean, current)
    torch.manual_seed(0)
    drawn = model.policy._predict(x)
    torch.manual_seed(0)
    assert torch.equal(drawn, model.actor(x))


def test_what_the_average_keeps_of_its_start_depends_on_the_number_of_updates_alone():
    model = with_demonstrations(policy_kwargs=SMALL | {"average": 0.1}, learning_rate=0.0)
    train(model, 1)
    with torch.no_grad():
        for parameter in model.policy.averaged.parameters():
            parameter.add_(1.0)
    model.train(7, 16)
    for mine, actor in zip(model.policy.averaged.parameters(), model.actor.parameters(), strict=True):
        assert torch.allclose(mine - actor, torch.full_like(mine, 0.9**7), atol=1e-5)


@pytest.mark.parametrize("fast", [True, False])
def test_without_an_average_deterministic_predictions_ask_the_actor(fast):
    model = with_demonstrations(fast=fast)
    train(model, 1)
    x = torch.randn(4, 6)
    assert torch.equal(model.policy._predict(x, deterministic=True), model.actor(x, deterministic=True))
    assert not any("averaged" in name for name in model.policy.state_dict())


def test_critics_are_trained_on_demonstrations_and_the_actor_is_not():
    environment = wrapped()
    model = learner(environment, learning_rate=1e-3)
    with pytest.raises(ValueError, match="set_demonstrations"):
        model.pretrain_critic(1)
    demonstrations, _ = demonstration_buffer([demonstrate(s) for s in range(5)], environment, SparseReward())
    model.set_demonstrations(demonstrations)
    actor = [p.clone() for p in model.actor.parameters()]
    target = [p.clone() for p in model.critic_target.parameters()]
    last = demonstrations._get_samples(np.flatnonzero(demonstrations.dones[:, 0]))  # worth the bonus: 1

    def error() -> float:
        return (torch.cat(model.critic(last.observations, last.actions), 1) - 1).abs().mean().item()

    before, reported = error(), []
    model.pretrain_critic(300, 32, lambda step, loss: reported.append(step))
    assert reported == [100, 200, 300] and error() < before / 2
    assert all(torch.equal(a, b) for a, b in zip(actor, model.actor.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(target, model.critic_target.parameters(), strict=True))


def train(model, episodes: int, reward=None) -> None:
    for _ in range(episodes):
        model.learn(1, EpisodeRewards(reward or NoReward()), reset_num_timesteps=False)


def with_demonstrations(**settings) -> ResidualSAC:
    environment = wrapped()
    model = learner(environment, **settings)
    model.set_demonstrations(demonstration_buffer([demonstrate(s) for s in range(3)], environment, NoReward())[0])
    return model


@pytest.mark.parametrize(
    ("entropy", "compile"), [("auto", False), (0.05, False), pytest.param("auto", True, marks=COMPILER)]
)
def test_a_resumed_run_ends_bitwise_as_an_unbroken_one(tmp_path, entropy, compile):
    settings = {"ent_coef": entropy, "compile": compile, "buffer_size": 40}
    unbroken = with_demonstrations(**settings)
    unbroken.pretrain_critic(5)
    train(unbroken, 5)
    first = with_demonstrations(**settings)
    first.pretrain_critic(5)
    train(first, 3)
    save_checkpoint(tmp_path, 3, first, {"alpha": 0.1})
    np.random.uniform(size=7), torch.randn(7)  # what else happened in the process
    second = with_demonstrations(**settings)
    folder = last_checkpoint(tmp_path)
    assert folder is not None and restore(folder, second) == 3
    train(second, 2)
    assert unbroken.num_timesteps == second.num_timesteps and unbroken._n_updates == second._n_updates
    for name, values in unbroken.policy.state_dict().items():
        assert torch.equal(values, second.policy.state_dict()[name]), name
    for name, values in unbroken.buffer.arrays().items():
        assert np.array_equal(values, second.buffer.arrays()[name]), name
    save_checkpoint(tmp_path / "a", 5, unbroken, {})
    save_checkpoint(tmp_path / "b", 5, second, {})
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00005" for name in ("a", "b")))


def assert_same_checkpoints(whole: Path, resumed: Path) -> None:
    """Weights, counters, replay, optimizers, generators: every file of a checkpoint."""
    files = {"model.safetensors", "checkpoint.json", "replay.npz", "learner.pt"}
    assert {file.name for file in whole.iterdir()} == {file.name for file in resumed.iterdir()} == files
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


def test_a_checkpoint_gives_the_policy_back_and_refuses_another_space(tmp_path):
    averaging = {"policy_kwargs": SMALL | {"average": 0.01}}
    model = learner(**averaging)
    train(model, 1)
    save_checkpoint(tmp_path, 1, model, {"alpha": 0.1})
    policy, about = load_policy(tmp_path)
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    assert np.array_equal(policy.predict(x, deterministic=True)[0], model.predict(x, deterministic=True)[0])
    assert not np.array_equal(policy.predict(x, deterministic=True)[0], policy.actor.predict(x, deterministic=True)[0])
    assert about["alpha"] == 0.1 and about["episodes"] == 1
    other = learner(ResidualEnvironment(WideReach(), Chunked()))
    with pytest.raises(BadCheckpoint, match=r"another observation space: \[6\] there, \[7\] here"):
        restore(tmp_path / "checkpoints/00001", other)
    folder = tmp_path / "checkpoints/00001"
    for file in ("replay.npz", "learner.pt", "model.safetensors"):
        (folder / file).write_bytes((folder / file).read_bytes()[:200])
        with pytest.raises(BadCheckpoint, match=f"{file} cannot be read"):
            restore(folder, learner(**averaging))
    with pytest.raises(BadCheckpoint, match="damaged"):
        load_policy(tmp_path)
    del about["net_arch"]
    (folder / "checkpoint.json").write_text(json.dumps(about))
    with pytest.raises(BadCheckpoint, match=r"checkpoint\.json cannot be read \('net_arch'\)"):
        load_policy(tmp_path)
    with pytest.raises(BadCheckpoint, match="mpr finetune"):
        load_policy(tmp_path / "nowhere")


class WideReach(Reach):
    """One more number in the state."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = type(self.observation_space)(-np.inf, np.inf, (5,), np.float64)

    def _state(self):
        return np.append(super()._state(), 0.0)


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=COMPILER)])
def test_stable_baselines_own_save_and_load(tmp_path, compile):
    model = with_demonstrations(update_ratio=2.0, warmup=0.3, compile=compile)
    train(model, 2)
    model.save(tmp_path / "model")
    assert "_compiled" not in (load_from_zip_file(tmp_path / "model")[0] or {})
    model.save_replay_buffer(tmp_path / "buffer")
    again = ResidualSAC.load(tmp_path / "model", env=wrapped(), device="cpu")
    again.load_replay_buffer(tmp_path / "buffer")
    assert (again.update_ratio, again.warmup, again.compile) == (2.0, 0.3, compile)
    assert again.buffer.size() == model.buffer.size() and again.buffer.demonstrations is not None
    x = np.zeros((1, 6), np.float32)
    assert np.array_equal(model.predict(x, deterministic=True)[0], again.predict(x, deterministic=True)[0])
    train(again, 1)
    assert again._n_updates > model._n_updates


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
SPACES = {
    "flat": (FLAT, FLAT, {}, ResidualBuffer),
    "an action that is a matrix": (FLAT, gymnasium.spaces.Box(-1.0, 1.0, (2, 2), np.float32), {}, ResidualBuffer),
    "discrete": (gymnasium.spaces.Discrete(4), FLAT, {}, ReplayBuffer),
    "named": (gymnasium.spaces.Dict({"a": FLAT, "b": FLAT}), FLAT, {"policy": "MultiInputPolicy"}, DictReplayBuffer),
    "no hidden layer": (FLAT, FLAT, {"policy_kwargs": {"net_arch": []}}, ResidualBuffer),
    "several steps ahead": (FLAT, FLAT, {"n_steps": 3}, NStepReplayBuffer),
}


@pytest.mark.parametrize("case", SPACES)
def test_it_takes_whatever_space_and_setting_stable_baselines_takes(case):
    observation, action, kwargs, buffer = SPACES[case]
    kwargs = {"policy": "MlpPolicy", "policy_kwargs": dict(SMALL)} | kwargs
    model = ResidualSAC(env=Noise(observation, action), learning_starts=0, batch_size=4, device="cpu", seed=0, **kwargs)
    assert type(model.replay_buffer) is buffer
    before = [p.clone() for p in model.actor.parameters()]
    model.learn(6)
    after = list(model.actor.parameters())
    assert model._n_updates > 0 and not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def succeeded(environment, model, seeds) -> float:
    """Share of successes; without a model, of the base policy."""
    wins = []
    for seed in seeds:
        observation, _ = environment.reset(seed=seed)
        over, info = False, {}
        while not over:
            residual = np.zeros(2) if model is None else model.predict(observation, deterministic=True)[0]
            observation, _, terminated, truncated, info = environment.step(residual)
            over = terminated or truncated
        wins.append(info["is_success"])
    return float(np.mean(wins))


def test_it_learns_to_correct_the_base_policy():
    environment = wrapped(alpha=0.3)
    model = learner(environment, ent_coef=0.01, learning_rate=1e-3, batch_size=64, update_ratio=3, gamma=0.95,
                    policy_kwargs={"net_arch": [64, 64]}, buffer_size=2000)  # fmt: skip
    demonstrations, _ = demonstration_buffer([demonstrate(s) for s in range(10)], environment, NoReward())
    model.set_demonstrations(demonstrations)
    model.pretrain_critic(300)
    train(model, 40)
    seeds = range(700_000, 700_060)
    base, corrected = succeeded(wrapped(alpha=0.3), None, seeds), succeeded(wrapped(alpha=0.3), model, seeds)
    assert corrected >= base + 0.2, (base, corrected)


@pytest.mark.parametrize("settings", [{"fast": False}, {"use_sde": True}, {"policy_kwargs": {"net_arch": []}}])
def test_compiled_updates_are_refused_where_fast_ones_do_not_apply(settings):
    with pytest.raises(UserError, match="compile"):
        learner(compile=True, **settings)
