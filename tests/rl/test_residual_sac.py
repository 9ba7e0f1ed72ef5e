"""Residual SAC's training: what it updates, resumes, saves, takes and learns."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.save_util import load_from_zip_file

from mpr.core.checkpoints import BadCheckpoint, last_checkpoint
from mpr.core.checksums import CHECKSUM_FILE
from mpr.core.errors import UserError
from mpr.reward.none import NoReward
from mpr.reward.paper_sparse import PaperSparseReward
from rl.environments.residual import ResidualEnvironment
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer
from rl.residual.checkpoint import RENAMED_KEYS, load_residual_policy, restore_residual, save_residual_checkpoint
from rl.residual.demonstrations import demonstration_buffer
from tests.rl.sac_runs import COMPILER, FLAT, Noise, assert_same_checkpoints, train, with_demonstrations
from tests.toy_reach import SMALL, Chunked, Reach, demonstrate, learner, wrapped


def test_updates_follow_the_episodes_length_at_the_ratio():
    model = learner(utd=2.5, gradient_steps=-1)
    model.learn(1)
    length = model.num_timesteps
    assert 0 < length <= 20 and model._n_updates == round(2.5 * length)
    fixed = learner(gradient_steps=7, utd=2.5)
    fixed.learn(1)
    assert fixed._n_updates == 7


@pytest.mark.parametrize("train_freq", [1, 3, (1, "episode")])
@pytest.mark.parametrize("utd", [0.05, 0.3, 0.5, 1.5])
def test_parts_of_an_update_add_up_over_rollouts(utd, train_freq):
    model = learner(utd=utd, gradient_steps=-1, train_freq=train_freq)
    model.learn(57)
    assert model._n_updates == pytest.approx(utd * model.num_timesteps, abs=1)


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
    model = with_demonstrations(policy_kwargs=SMALL | {"actor_ema": 0.25})
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
    model = with_demonstrations(policy_kwargs=SMALL | {"actor_ema": 0.1}, learning_rate=0.0)
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
    demonstrations, _ = demonstration_buffer([demonstrate(s) for s in range(5)], environment, PaperSparseReward())
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


@pytest.mark.parametrize(
    ("ent_coef", "compile"), [("auto", False), (0.05, False), pytest.param("auto", True, marks=COMPILER)]
)
def test_a_resumed_run_ends_bitwise_as_an_unbroken_one(tmp_path, ent_coef, compile):
    settings = {"ent_coef": ent_coef, "compile": compile, "buffer_size": 40}
    unbroken = with_demonstrations(**settings)
    unbroken.pretrain_critic(5)
    train(unbroken, 5)
    first = with_demonstrations(**settings)
    first.pretrain_critic(5)
    train(first, 3)
    save_residual_checkpoint(tmp_path, 3, first, {"residual_scale": 0.1})
    np.random.uniform(size=7), torch.randn(7)  # what else happened in the process
    second = with_demonstrations(**settings)
    folder = last_checkpoint(tmp_path)
    assert folder is not None and folder.name == "00003"
    restore_residual(folder, second)
    train(second, 2)
    assert unbroken.num_timesteps == second.num_timesteps and unbroken._n_updates == second._n_updates
    for name, values in unbroken.policy.state_dict().items():
        assert torch.equal(values, second.policy.state_dict()[name]), name
    for name, values in unbroken.buffer.arrays().items():
        assert np.array_equal(values, second.buffer.arrays()[name]), name
    save_residual_checkpoint(tmp_path / "a", 5, unbroken, {})
    save_residual_checkpoint(tmp_path / "b", 5, second, {})
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00005" for name in ("a", "b")))


def test_a_checkpoint_gives_the_policy_back_and_refuses_another_space(tmp_path):
    averaging = {"policy_kwargs": SMALL | {"actor_ema": 0.01}}
    model = learner(**averaging)
    train(model, 1)
    save_residual_checkpoint(tmp_path, 1, model, {"residual_scale": 0.1})
    policy, about = load_residual_policy(tmp_path)
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    assert np.array_equal(policy.predict(x, deterministic=True)[0], model.predict(x, deterministic=True)[0])
    assert not np.array_equal(policy.predict(x, deterministic=True)[0], policy.actor.predict(x, deterministic=True)[0])
    assert about["residual_scale"] == 0.1 and about["episodes"] == 1
    other = learner(ResidualEnvironment(WideReach(), Chunked()))
    with pytest.raises(BadCheckpoint, match=r"another observation space: \[6\] there, \[7\] here"):
        restore_residual(tmp_path / "checkpoints/00001", other)
    folder = tmp_path / "checkpoints/00001"
    for file in ("replay.npz", "learner.pt", "model.safetensors"):
        (folder / file).write_bytes((folder / file).read_bytes()[:200])
        with pytest.raises(BadCheckpoint, match=f"{file} cannot be read"):
            restore_residual(folder, learner(**averaging))
    with pytest.raises(BadCheckpoint, match="damaged"):
        load_residual_policy(tmp_path)
    (folder / CHECKSUM_FILE).unlink()  # versions before had none: what checkpoint.json says is looked at all the same
    del about["net_arch"]
    (folder / "checkpoint.json").write_text(json.dumps(about))
    with pytest.raises(BadCheckpoint, match=r"checkpoint\.json cannot be read \('net_arch' is missing\)"):
        load_residual_policy(tmp_path)
    with pytest.raises(BadCheckpoint, match="mpr finetune"):
        load_residual_policy(tmp_path / "nowhere")


def test_a_checkpoint_of_before_is_read_by_the_names_of_then(tmp_path):
    model = learner(policy_kwargs=SMALL | {"actor_ema": 0.01})
    save_residual_checkpoint(tmp_path, 1, model, {"residual_scale": 0.1, "env": "kitchen:slide", "full_open": True})
    folder = tmp_path / "checkpoints/00001"
    about = json.loads((folder / "checkpoint.json").read_text())
    del about["env"]
    old = {before: about.pop(now) for before, now in RENAMED_KEYS.items()} | {"task": "slide"}
    (folder / "checkpoint.json").write_text(json.dumps(about | old))
    (folder / CHECKSUM_FILE).unlink()
    policy, found = load_residual_policy(tmp_path)
    assert policy.actor_ema == 0.01
    assert (found["residual_scale"], found["full_open"], found["env"]) == (0.1, True, "kitchen:slide")


class WideReach(Reach):
    """One more number in the state."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = type(self.observation_space)(-np.inf, np.inf, (5,), np.float64)

    def _state(self):
        return np.append(super()._state(), 0.0)


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=COMPILER)])
def test_stable_baselines_own_save_and_load(tmp_path, compile):
    model = with_demonstrations(utd=2.0, warmup=0.3, compile=compile)
    train(model, 2)
    model.save(tmp_path / "model")
    assert "_compiled" not in (load_from_zip_file(tmp_path / "model")[0] or {})
    model.save_replay_buffer(tmp_path / "buffer")
    again = ResidualSAC.load(tmp_path / "model", env=wrapped(), device="cpu")
    again.load_replay_buffer(tmp_path / "buffer")
    assert (again.utd, again.warmup, again.compile) == (2.0, 0.3, compile)
    assert again.buffer.size() == model.buffer.size() and again.buffer.demonstrations is not None
    x = np.zeros((1, 6), np.float32)
    assert np.array_equal(model.predict(x, deterministic=True)[0], again.predict(x, deterministic=True)[0])
    train(again, 1)
    assert again._n_updates > model._n_updates


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
    environment = wrapped(residual_scale=0.3)
    model = learner(environment, ent_coef=0.01, learning_rate=1e-3, batch_size=64, utd=3, gamma=0.95,
                    policy_kwargs={"net_arch": [64, 64]}, buffer_size=2000)  # fmt: skip
    demonstrations, _ = demonstration_buffer([demonstrate(s) for s in range(10)], environment, NoReward())
    model.set_demonstrations(demonstrations)
    model.pretrain_critic(300)
    train(model, 40)
    seeds = range(700_000, 700_060)
    base, corrected = (
        succeeded(wrapped(residual_scale=0.3), None, seeds),
        succeeded(wrapped(residual_scale=0.3), model, seeds),
    )
    assert corrected >= base + 0.2, (base, corrected)


@pytest.mark.parametrize("settings", [{"fast": False}, {"use_sde": True}, {"policy_kwargs": {"net_arch": []}}])
def test_compiled_updates_are_refused_where_fast_ones_do_not_apply(settings):
    with pytest.raises(UserError, match="compile"):
        learner(compile=True, **settings)
