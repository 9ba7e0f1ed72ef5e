"""Every argument of what practises: changed, something changes, or it is refused. A new one has to be listed here."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.sac.policies import SACPolicy

from mpr.core.errors import UserError
from mpr.reward.none import NoReward
from rl.environments.residual import ResidualEnvironment
from rl.environments.setting import RewardView, Setting
from rl.policies.actor import INITS
from rl.policies.residual import ResidualPolicy
from rl.residual import train
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer
from rl.residual.config import FinetuneConfig
from rl.residual.rewards import find_reward
from rl.residual.train import make_learner
from tests.rl.test_finetune import demonstrated
from tests.toy_reach import SMALL, Chunked, Reach, learner, wrapped


def arguments(kind: type) -> set[str]:
    return {name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "args", "kwargs")}


def digest(*values: Any) -> str:
    """Of arrays, and of whatever says what it is."""
    found = hashlib.sha256()
    for value in values:
        found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()


# The learner: argument -> what it is changed to, and what has to hold for it to matter

SDE = {"use_sde": True, "learning_starts": 30}
CHANGED: dict[str, tuple[Any, dict[str, Any]]] = {
    "policy": (SACPolicy, {}),
    "env": (lambda: wrapped(miss=0.2), {}),
    "learning_rate": (1e-2, {}),
    "buffer_size": (20, {}),
    "learning_starts": (30, {}),
    "batch_size": (8, {}),
    "tau": (0.5, {}),
    "gamma": (0.5, {}),
    "train_freq": (5, {}),
    "gradient_steps": (3, {}),
    "action_noise": (NormalActionNoise(np.zeros(2), np.ones(2)), {}),
    "replay_buffer_class": (ReplayBuffer, {}),
    "replay_buffer_kwargs": ({"n_steps": 3}, {}),
    "optimize_memory_usage": (True, {"replay_buffer_kwargs": {"handle_timeout_termination": False}}),
    "n_steps": (3, {}),
    "ent_coef": (0.2, {}),
    "target_update_interval": (3, {}),
    "target_entropy": (-0.1, {}),
    "use_sde": (True, {}),
    "sde_sample_freq": (1, SDE),
    "use_sde_at_warmup": (True, SDE),
    "stats_window_size": (2, {}),
    "tensorboard_log": ("board", {}),
    "policy_kwargs": (SMALL | {"layer_norm": False}, {}),
    "verbose": (1, {}),
    "seed": (4, {}),
    "device": ("cuda", {}),
    "_init_setup_model": (False, {}),
    "utd": (2.0, {}),
    "warmup": (0.5, {"learning_starts": 30}),
    "fast": (False, {}),
    "compile": (True, {"fast": False}),
    "backup_entropy": (False, {}),
    "ent_lr": (1e-2, {}),
    "critic_warmup": (10, {}),
}


def outcome(tmp_path: Path, capsys: Any, **settings: Any) -> str:
    """What a learner does in two episodes or so, as a digest; or how it was refused."""
    if "tensorboard_log" in settings:
        settings["tensorboard_log"] = str(tmp_path / settings["tensorboard_log"])
    try:
        policy, environment = settings.pop("policy", ResidualPolicy), settings.pop("env", wrapped)()
        given = {"seed": 3, "batch_size": 16, "buffer_size": 500, "learning_starts": 0, "policy_kwargs": dict(SMALL)}
        given |= {"train_freq": (1, "episode"), "gradient_steps": -1, "device": "cpu"}
        model = ResidualSAC(policy, environment, **(given | settings))
        model.learn(25)
        model.logger.close()  # TensorBoard's writer is a thread
    except (ValueError, UserError, AssertionError, NotImplementedError) as error:
        return f"{type(error).__name__}: {error}"
    weights = [parameter.detach().numpy() for parameter in model.policy.parameters()]
    buffer = model.replay_buffer
    assert buffer is not None and model.ep_info_buffer is not None
    told = [capsys.readouterr().out, sorted(file.name[:3] for file in tmp_path.rglob("*"))]
    return digest(*weights, buffer.actions, buffer.observations, buffer.rewards, type(buffer), model.num_timesteps,
                  model.ep_info_buffer.maxlen, *told)  # fmt: skip


def test_the_learners_arguments_are_all_listed():
    assert set(CHANGED) == arguments(SAC) | arguments(ResidualSAC)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHANGED)
def test_every_argument_of_the_learner_is_used_or_refused(tmp_path, capsys, name):
    value, context = CHANGED[name]
    if name == "device":
        if torch.cuda.is_available():
            assert learner(device=value).buffer.device.type == value
            return
        with pytest.warns(UserWarning, match="device=cuda: this machine has no GPU that torch can use; it is cpu"):
            learner(device=value)
        return
    before = outcome(tmp_path, capsys, **context)
    assert before == outcome(tmp_path, capsys, **context), "the same twice, or nothing is shown"
    assert before != outcome(tmp_path, capsys, **context | {name: value})


def test_an_update_ratio_that_goes_unused_is_told():
    with pytest.warns(UserWarning, match="utd=3 goes unused: it is for gradient_steps=-1, not 7"):
        learner(utd=3, gradient_steps=7)


# The policy


@pytest.mark.parametrize(("kwargs", "says"), [
    ({"actor_init": "orthogonal", "log_std": -2.0}, "log_std=-2.0 is for actor_init 'zero'"),
    ({"actor_ema": 0.0}, "actor_ema=0.0: above 0 and at most 1"),
    ({"actor_ema": 1.5}, "actor_ema=1.5"),
])  # fmt: skip
def test_what_the_policy_would_not_use_is_refused(kwargs, says):
    with pytest.raises(UserError, match=says):
        learner(policy_kwargs=SMALL | kwargs)
    with pytest.raises(UserError, match="without use_sde"):
        learner(policy_kwargs=SMALL | {"log_std": -2.0}, use_sde=True)


@pytest.mark.parametrize(
    "kwargs", [{"actor_init": INITS[1]}, {"log_std": -2.0}, {"layer_norm": False}, {"actor_ema": 0.5}]
)
def test_every_argument_of_the_policy_is_used(kwargs):
    weights = [
        digest(*(value.numpy() for value in learner(policy_kwargs=SMALL | more).policy.state_dict().values()))
        for more in ({}, kwargs)
    ]
    assert weights[0] != weights[1] and set(kwargs) < arguments(ResidualPolicy)


# The buffer


def test_every_argument_of_the_buffer_is_used():
    environment = wrapped()

    def filled(n_envs: Any = 1, **settings: Any) -> str:
        asked = {"buffer_size": 12, "observation_space": environment.observation_space,
                 "action_space": environment.action_space, "device": "cpu"} | settings  # fmt: skip
        buffer = ResidualBuffer(n_envs=n_envs, **asked)
        width, actions = asked["observation_space"].shape[0], asked["action_space"].shape[0]
        for t in range(10):
            seen, info = np.full((n_envs, width), t), [{"TimeLimit.truncated": t == 4}] * n_envs
            done = np.full(n_envs, t in (4, 9))
            buffer.add(seen, seen + 1, np.zeros((n_envs, actions)), np.full(n_envs, float(t)), done, info)
        np.random.seed(0)
        batch = buffer.sample(30)
        return digest(*(None if v is None else v.numpy() for v in batch), buffer.actions.shape, buffer.nbytes)

    box = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    changed = {
        "buffer_size": 6,
        "observation_space": box,
        "action_space": box,
        "n_envs": 2,
        "n_steps": 3,
        "potential": True,
    }
    changed |= {"handle_timeout_termination": False}
    for name, value in changed.items():
        assert filled() != filled(**{name: value}), name
    assert filled(n_steps=3) != filled(n_steps=3, gamma=0.5)
    plain = {"handle_timeout_termination": False}
    assert filled(**plain) != filled(**plain, optimize_memory_usage=True)
    told = {*changed, "gamma", "optimize_memory_usage", "device"}  # the device is where samples lie
    assert told == arguments(ReplayBuffer) | arguments(ResidualBuffer)
    for wrong in ({"n_steps": 0}, {"n_steps": 1.5}, {"gamma": 1.1}, {"gamma": float("nan")}):
        with pytest.raises(ValueError, match="a whole number of steps, at least 1, and 0 to 1"):
            filled(**wrong)


# The environment


def test_every_argument_of_the_environment_is_used():
    def played(env: Any = Reach, base: Any = Chunked, **settings: Any) -> str:
        environment = ResidualEnvironment(env(), base(), **settings)
        seen, over = [environment.reset(seed=10_000)[0]], False
        while not over:
            observation, _, terminated, truncated, _ = environment.step(np.array([0.5, -0.5], np.float32))
            seen.append(observation)
            over = terminated or truncated
        done = environment.finished
        assert done is not None
        environment.reset()
        return digest(*seen, done.times, done.executed_actions, done.recording, environment.seed)

    class Recording:
        def __len__(self) -> int:
            return steps + 1

        def __repr__(self) -> str:
            return "recorded"

    environment = wrapped()
    environment.reset(seed=10_000)
    steps = 0
    over = False
    while not over:
        *_, terminated, truncated, _ = environment.step(np.array([0.5, -0.5], np.float32))
        over, steps = terminated or truncated, steps + 1
    changed = {"env": lambda: Reach(radius=0.3), "base": lambda: Chunked(miss=0.3), "residual_scale": 0.5,
               "rate_hz": 5.0, "role": "evaluation", "instance": 3, "record": lambda env: Recording()}  # fmt: skip
    assert set(changed) == arguments(ResidualEnvironment)
    for name, value in changed.items():
        assert played() != played(**{name: value}), name
    wrongs = [("residual_scale", float("nan")), ("residual_scale", 0.0), ("rate_hz", 0.0), ("rate_hz", float("inf"))]
    for wrong in map(dict, ([pair] for pair in wrongs)):
        with pytest.raises(UserError, match="it is above 0"):
            played(**wrong)


# The command

LEARNERS: dict[str, Any] = {
    "warmup_steps": 7, "warmup": 0.5, "batch": 32, "layer_norm": False, "lr": 1e-2, "gamma": 0.9, "n_steps": 2,
    "tau": 0.1, "actor_ema": 0.5, "ent_coef": "0.2", "critic_warmup": 7, "backup_entropy": False,
    "actor_init": "default", "log_std": -2.0, "buffer": 200, "utd": 1.0, "seed": 1,
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "env": "kitchen:slide", "base": Path("zero"), "residual_scale": 0.2, "ddim_steps": 5, "ajar": True,
    "full_open": True, "goal_travel": 0.2, "shown_travel": 0.06, "step_limit": 99,
}  # fmt: skip
SEEING: dict[str, Any] = {
    "predictor": Path("p"), "tracker": "lucas_kanade", "view": "left", "motion_threshold_px": 1.0,
    "representation": Path("r"), "goal_image": Path("g.png"),
}  # fmt: skip
ELSEWHERE = {"env_options", "demos", "num_demos", "out", "reward", "bonus", "signal_weight",
             "signal_share", "episodes", "total_steps", "evaluate_every", "evaluate_episodes", "pretrain",
             "checkpoint_every", "demo_fraction", "threads", "compile", "device", "ent_lr", "target_entropy",
             "normalise_inputs", "demo_action", "shaping"}  # fmt: skip


def described(config: FinetuneConfig) -> str:
    """What the learner of a config is made of."""
    model = make_learner(config, wrapped())
    settings = ("learning_rate", "buffer_size", "learning_starts", "batch_size", "tau", "gamma", "n_steps", "ent_coef",
                "critic_warmup", "backup_entropy", "utd", "warmup", "seed")  # fmt: skip
    weights = [value.numpy() for value in model.policy.state_dict().values()]
    return digest(*weights, *(getattr(model, name) for name in settings), model.policy.actor_ema, model.buffer.n_steps)  # type: ignore[union-attr]


def test_every_field_of_the_commands_config_is_used():
    assert {*LEARNERS, *SETTINGS, *SEEING, *ELSEWHERE} == {field.name for field in fields(FinetuneConfig)}
    plain = FinetuneConfig()
    before = described(plain)
    for name, value in LEARNERS.items():
        assert described(FinetuneConfig(**{name: value})) != before, name
    for name, value in SETTINGS.items():
        assert FinetuneConfig(**{name: value}).setting != plain.setting, name
    for name, value in SEEING.items():
        assert FinetuneConfig(**{name: value}).reward_view != plain.reward_view, name


def run_of(out: Path, demos: Path, changed: dict[str, Any]) -> str:
    """What a run leaves: its rows and its replay."""
    given = {"episodes": 2, "pretrain": 1, "warmup_steps": 5, "batch": 16, "checkpoint_every": 2, "utd": 0.1}
    asked: dict[str, Any] = {"demos": demos, "buffer": 150} | given | changed
    run, saved = train.Finetuning(FinetuneConfig(out=out, **asked), wrapped(), NoReward()), list[int]()
    save = run._save
    run._save = lambda episodes: (saved.append(episodes), save(episodes))[1]
    run.run()
    rows = [{**row, "seconds": 0} for row in run.folder.metrics()]
    return digest(rows, saved, run.clipped, *run.model.buffer.arrays().values())


def test_what_a_run_alone_shows_of_its_config(tmp_path):
    demos = demonstrated(tmp_path / "demos")
    before = run_of(tmp_path / "plain", demos, {})
    assert before == run_of(tmp_path / "again", demos, {})
    changed: dict[str, Any] = {"num_demos": 1, "episodes": 1, "bonus": 2.0, "pretrain": 9, "checkpoint_every": 1}
    changed |= {"demo_fraction": 0.25, "demo_action": "executed", "total_steps": 5}
    changed |= {"demos": demonstrated(tmp_path / "others", range(5, 8))}
    for name, value in changed.items():
        assert run_of(tmp_path / f"run_{name}", demos, {name: value}) != before, name
    assert run_of(tmp_path / "run_without", Path("none"), {"pretrain": 0}) != before
    rewards = {name: find_reward(name, Setting(), RewardView()) for name in ("none", "paper_sparse", "dense")}
    assert len({type(reward) for reward in rewards.values()}) == 3
    with pytest.raises(UserError, match="compile is only for"):
        learner(compile=True, fast=False)
    with pytest.raises(UserError, match="no device 'tpu'"):
        FinetuneConfig(device="tpu")


@pytest.mark.parametrize(("wrong", "says"), [
    ({"batch": 1}, "--batch 1 with --demo_fraction 0.5 leaves none for demonstrations"),
    ({"demo_fraction": 1.0}, "--batch 64 with --demo_fraction 1 leaves none"),
    ({"actor_init": "nosuch"}, "--actor_init nosuch: there is zero, orthogonal, default"),
    ({"actor_init": "orthogonal", "log_std": -2.0}, "--log_std -2.0 is for --actor_init zero, not orthogonal"),
])  # fmt: skip
def test_what_the_command_would_not_use_is_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        FinetuneConfig(**wrong)
