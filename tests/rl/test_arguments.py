"""An argument that is taken is used, or refused in one line when things are put together: never at the first batch."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from mpr.core.errors import UserError
from mpr.reward.none import NoReward
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.demonstrations import demonstration_buffer
from tests.rl.sac_runs import FLAT, Noise
from tests.toy_reach import SMALL, demonstrate, learner, wrapped

NORMALISED: Any = lambda: VecNormalize(DummyVecEnv([wrapped]))  # noqa: E731
THREE: Any = lambda: DummyVecEnv([wrapped] * 3)  # noqa: E731
NAMED = gymnasium.spaces.Dict({"a": FLAT, "b": FLAT})


# Returns: n_steps, gamma and the buffer


@pytest.mark.parametrize("by", ["algorithm", "buffer", "both"])
@pytest.mark.parametrize("kind", [None, ResidualBuffer, NStepReplayBuffer])
@pytest.mark.parametrize(("n_steps", "gamma"), [(1, 0.95), (3, 0.99), (3, 0.95)])
def test_returns_are_those_asked_for_whoever_was_told(kind, n_steps, gamma, by):
    asked: dict[str, Any] = {"n_steps": n_steps} if by != "buffer" else {}
    given = {"n_steps": n_steps, "gamma": gamma} if by != "algorithm" else None
    model: Any = learner(gamma=gamma, gradient_steps=0, replay_buffer_class=kind, replay_buffer_kwargs=given, **asked)
    assert model.n_steps == getattr(model.replay_buffer, "n_steps", 1) == n_steps
    model.learn(40)
    discounts = model.replay_buffer.sample(200).discounts
    if n_steps == 1 and discounts is None:
        return
    assert discounts.max() == pytest.approx(gamma) and discounts.min() == pytest.approx(gamma**n_steps)


def test_a_buffer_of_its_own_number_of_steps_keeps_it():
    model: Any = learner(replay_buffer_class=NStepReplayBuffer, gamma=0.9)
    assert (model.n_steps, model.replay_buffer.gamma) == (3, 0.9)  # stable-baselines3's default is three


REFUSED: dict[str, dict[str, Any]] = {
    "n_steps=3: ReplayBuffer makes returns of 1 step": {"n_steps": 3, "replay_buffer_class": ReplayBuffer},
    "n_steps=5: ResidualBuffer makes returns of 3 steps": {
        "n_steps": 5, "replay_buffer_class": ResidualBuffer, "replay_buffer_kwargs": {"n_steps": 3}},
    "n_steps=1: ResidualBuffer makes returns of 3 steps": {"n_steps": 1, "replay_buffer_kwargs": {"n_steps": 3}},
    "n_steps=5: NStepReplayBuffer makes returns of 3 steps": {"n_steps": 5, "replay_buffer_kwargs": {"n_steps": 3}},
    "returns have gamma 0.9, the critics' 0.99": {"n_steps": 3, "replay_buffer_kwargs": {"gamma": 0.9}},
    "returns have gamma 0.8, the critics' 0.99": {"replay_buffer_kwargs": {"gamma": 0.8}},
    "n_steps=0": {"n_steps": 0},
    "n_steps=-2": {"n_steps": -2, "replay_buffer_class": ResidualBuffer},
    "n_steps=2.5": {"n_steps": 2.5},
    "gamma=1.5": {"gamma": 1.5},
    "gamma=nan": {"gamma": float("nan")},
    "n_steps=3 with VecNormalize": {"environment": NORMALISED, "n_steps": 3, "replay_buffer_class": ResidualBuffer},
    "n_steps=3 with 3 environments": {"environment": THREE, "n_steps": 3, "replay_buffer_class": ResidualBuffer},
    "buffer_size=2 holds no step of each of 3": {"environment": THREE, "buffer_size": 2},
    "n_envs is the learner's own to say": {"replay_buffer_kwargs": {"n_envs": 1}, "environment": THREE},
    "n_steps=3 with optimize_memory_usage": {
        "n_steps": 3, "replay_buffer_class": ResidualBuffer, "optimize_memory_usage": True,
        "replay_buffer_kwargs": {"handle_timeout_termination": False}},
    "does not support optimize_memory_usage": {"optimize_memory_usage": True},
    "DictReplayBuffer takes observations by name": {"replay_buffer_class": DictReplayBuffer},
    "HerReplayBuffer takes observations by name": {"replay_buffer_class": HerReplayBuffer},
    "utd=-1": {"utd": -1},
    "warmup=nan": {"warmup": float("nan")},
}  # fmt: skip


@pytest.mark.parametrize("says", REFUSED)
def test_what_does_not_agree_or_cannot_work_is_refused_at_construction(says):
    settings = dict(REFUSED[says])
    environment = settings.pop("environment", wrapped)()
    with pytest.raises((ValueError, UserError)) as refused:
        learner(environment, **settings)
    assert says in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("settings", [{"n_steps": 3}, {"n_steps": 3, "replay_buffer_class": DictReplayBuffer},
                                      {"replay_buffer_class": ResidualBuffer}])  # fmt: skip
def test_observations_by_name_have_returns_of_one_step_in_their_own_buffer(settings):
    with pytest.raises(ValueError, match=r"returns of 1 step|arrays of observations"):
        ResidualSAC("MultiInputPolicy", Noise(NAMED, FLAT), device="cpu", buffer_size=100, **settings)


def learn(model: Any, steps: int = 45) -> Any:
    model.learn(steps)
    assert model._n_updates > 0 and all(torch.isfinite(p).all() for p in model.policy.parameters())
    return model


FRUGAL = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}


@pytest.mark.parametrize("settings", [
    {"environment": NORMALISED}, {"environment": NORMALISED, "n_steps": 3}, {"environment": THREE},
    {"environment": THREE, "n_steps": 3}, FRUGAL,
])  # fmt: skip
def test_what_is_taken_works(settings):
    settings = {"train_freq": 1, "gradient_steps": 1, "learning_starts": 20} | settings
    model = learn(learner(settings.pop("environment", wrapped)(), **settings))
    assert not isinstance(model.replay_buffer, ResidualBuffer) or model.buffer.nbytes > 0


class Goal(gymnasium.Env):
    """A point [1] to bring to a goal: observations as HerReplayBuffer wants them."""

    observation_space = gymnasium.spaces.Dict({k: FLAT for k in ("observation", "achieved_goal", "desired_goal")})
    action_space = FLAT

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.steps = np.zeros(3, np.float32), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.at, self.steps = np.clip(self.at + action / 2, -1, 1).astype(np.float32), self.steps + 1
        seen = self._seen()
        return seen, float(self.compute_reward(self.at, seen["desired_goal"], {})), False, self.steps == 5, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.linalg.norm(np.asarray(achieved) - np.asarray(desired), axis=-1)

    def _seen(self) -> dict[str, Any]:
        return {"observation": self.at.copy(), "achieved_goal": self.at.copy(), "desired_goal": np.ones(3, np.float32)}


def test_hindsight_replay_works():
    kwargs = {"policy_kwargs": dict(SMALL), "buffer_size": 100, "learning_starts": 10, "batch_size": 8, "device": "cpu"}
    model = learn(ResidualSAC("MultiInputPolicy", Goal(), replay_buffer_class=HerReplayBuffer, gamma=0.9, **kwargs))
    assert model.n_steps == 1


# Later: another environment, another buffer, saved and loaded


def test_another_environment_is_refused_where_its_returns_cannot_be_made():
    model = learner(n_steps=3, replay_buffer_class=ResidualBuffer)
    with pytest.raises(ValueError, match="n_steps=3 with VecNormalize"):
        model.set_env(NORMALISED())
    model.set_env(wrapped(miss=0.2))
    learn(model)
    plain = learner()
    plain.set_env(NORMALISED())
    learn(plain)


def test_a_loaded_model_keeps_its_returns_or_is_refused(tmp_path):
    learn(learner(n_steps=3, replay_buffer_class=ResidualBuffer)).save(tmp_path / "model")

    def load(environment: Any, **changed: Any) -> ResidualSAC:
        return ResidualSAC.load(tmp_path / "model", environment, device="cpu", **changed)

    again = learn(load(wrapped()))
    assert (again.n_steps, again.buffer.n_steps, again.buffer.gamma) == (3, 3, 0.99)
    other = load(wrapped(), gamma=0.5, n_steps=2)
    assert (other.n_steps, other.buffer.n_steps, other.buffer.gamma) == (2, 2, 0.5)
    with pytest.raises(ValueError, match="n_steps=3 with VecNormalize"):
        load(NORMALISED())
    with pytest.raises(ValueError, match="n_steps=3 with 3 environments"):
        load(THREE())
    assert load(THREE(), n_steps=1).buffer.n_envs == 3


def test_a_loaded_buffer_agrees_or_is_refused(tmp_path):
    learn(learner(n_steps=3, replay_buffer_class=ResidualBuffer)).save_replay_buffer(tmp_path / "buffer")
    again = learner(n_steps=3, replay_buffer_class=ResidualBuffer)
    again.load_replay_buffer(tmp_path / "buffer")
    learn(again)
    for says, model in {
        "n_steps 3, those of practice 1": learner(),
        "gamma 0.99, those of practice 0.9": learner(n_steps=3, gamma=0.9, replay_buffer_class=ResidualBuffer),
        "of 1 environments, the learner has 3": learner(THREE()),
        "action_dim 2, those of practice 3": learner(Noise(gymnasium.spaces.Box(-1, 1, (6,)), FLAT)),
    }.items():
        own = model.replay_buffer
        with pytest.raises(ValueError, match=says):
            model.load_replay_buffer(tmp_path / "buffer")
        assert model.replay_buffer is own


def test_a_buffer_is_loaded_into_a_learner_that_has_none_left(tmp_path):
    model = learn(learner(n_steps=3, replay_buffer_class=ResidualBuffer))
    model.save_replay_buffer(tmp_path / "buffer")
    model.replay_buffer = None
    model.load_replay_buffer(tmp_path / "buffer")
    assert learn(model).buffer.n_steps == 3


def test_demonstrations_fit_or_are_refused():
    shown = demonstration_buffer([demonstrate(0)], wrapped(), NoReward())[0]
    learner(gamma=0.9).set_demonstrations(shown)  # of one step: there is no discount in it
    empty = ResidualBuffer(5, *(getattr(wrapped(), f"{name}_space") for name in ("observation", "action")))
    for says, model, found in (
        ("batch_size=1 has no part of 0.5 for demonstrations", learner(batch_size=1), shown),
        ("action_dim 2, those of practice 3", learner(Noise(gymnasium.spaces.Box(-1, 1, (6,)), FLAT)), shown),
        ("obs_shape", learner(Noise(FLAT, gymnasium.spaces.Box(-1, 1, (2,)))), shown),
        ("no demonstrations in that buffer", learner(), empty),
    ):
        with pytest.raises(ValueError, match=says):
            model.set_demonstrations(found)


def test_critics_practise_on_demonstrations_as_normalised_as_what_comes_after():
    environment = NORMALISED()
    environment.obs_rms.mean[:], environment.obs_rms.var[:] = 5.0, 4.0
    models = [learner(environment), learner(wrapped())]
    for model in models:
        model.set_demonstrations(demonstration_buffer([demonstrate(0)], wrapped(), NoReward())[0])
        model.set_random_seed(0)
        model.pretrain_critic(3)
    pairs = zip(*(model.critic.parameters() for model in models), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_rewards_of_several_environments_are_refused_before_the_first_episode():
    with pytest.raises(ValueError, match="of one environment: these are 3"):
        learner(THREE(), train_freq=1).learn(5, EpisodeRewards(NoReward()))
