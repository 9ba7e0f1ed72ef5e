"""What makes a learner fair, each an option beside the paper's: entropy, critic warm-up, inputs, demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpr.core.checkpoints import last_checkpoint
from mpr.core.errors import UserError
from mpr.reward.none import NoReward
from rl.environments.residual import ResidualEnvironment
from rl.policies.diffusion.policy import DiffusionActor, DiffusionPolicy, PolicyShape
from rl.policies.diffusion.schedule import Sampler
from rl.residual.checkpoint import load_residual_policy, restore_residual, save_residual_checkpoint
from rl.residual.config import FINETUNE_PRESETS, FinetuneConfig
from rl.residual.demonstrations import label
from rl.residual.inputs import NormalisedFlatten, base_statistics
from rl.residual.train import Finetuning
from tests.rl.sac_runs import (
    assert_ends_as_stable_baselines_train,
    assert_same_checkpoints,
    train,
    with_demonstrations,
)
from tests.rl.test_finetune import demonstrated
from tests.toy_reach import SMALL, Chunked, Reach, demonstrate, learner, wrapped

STATISTICS = {"centre": [0.1, 0, 0, 0.2, 0, 0], "half_range": [0.5, 0.5, 2, 2, 0.8, 0.8]}
NORMALISED: dict[str, Any] = SMALL | {
    "features_extractor_class": NormalisedFlatten,
    "features_extractor_kwargs": STATISTICS,
}
ALL = {"ent_coef": "auto_0.3", "ent_lr": 1e-3, "backup_entropy": False, "critic_warmup": 25}
ALL |= {"policy_kwargs": NORMALISED | {"actor_ema": 0.1}}


def copies(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def same(ones: list[torch.Tensor], module: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ones, module.parameters(), strict=True))


def test_until_the_critics_are_warm_they_alone_move_and_residuals_are_the_warm_up_s():
    model = with_demonstrations(critic_warmup=60, ent_coef="auto", utd=2, policy_kwargs=SMALL | {"actor_ema": 0.5})
    assert model.log_ent_coef is not None
    actor, averaged = copies(model.actor), copies(model.policy.averaged)
    while model._n_updates < 60:
        critic = copies(model.critic)
        train(model, 1)
        assert not same(critic, model.critic)
        if model._n_updates <= 60:
            assert same(actor, model.actor) and same(averaged, model.policy.averaged)
            assert model.log_ent_coef.item() == 0
            assert "train/actor_loss" not in model.logger.name_to_value
    assert not model.buffer.actions[: model.buffer.size()].any(), "the base policy alone"
    before = model.buffer.size()
    train(model, 1)
    assert model.buffer.actions[before : model.buffer.size()].any()
    assert not same(actor, model.actor) and model.log_ent_coef.item() != 0


def test_random_residuals_go_on_as_well_until_the_critics_are_warm():
    model = with_demonstrations(critic_warmup=10**6, warmup=1.0, learning_starts=5)
    train(model, 4)
    used = model.buffer.actions[: model.buffer.size()]
    assert model._n_updates > 0 and np.abs(used[-10:]).max() > 0.5


@pytest.mark.parametrize("fast", [True, False])
def test_a_learned_temperature_starts_where_it_is_told_and_has_a_rate_of_its_own(fast):
    model = with_demonstrations(ent_coef="auto_0.1", ent_lr=1e-2, learning_rate=1e-4, target_entropy=-1.0, fast=fast)
    assert model.log_ent_coef is not None and model.log_ent_coef.exp().item() == pytest.approx(0.1)
    train(model, 2)
    assert model.ent_coef_optimizer is not None
    assert [group["lr"] for group in model.ent_coef_optimizer.param_groups] == [1e-2]
    assert [group["lr"] for group in model.actor.optimizer.param_groups] == [1e-4]
    assert model.log_ent_coef.exp().item() != pytest.approx(0.1)


@pytest.mark.parametrize("asked", [{"backup_entropy": False}, {"critic_warmup": 5}])
@pytest.mark.parametrize("slow", [{"fast": False}, {"use_sde": True}])
def test_what_the_slow_updates_do_not_have_is_refused(asked, slow):
    with pytest.raises(UserError, match=f"{next(iter(asked))}.* is only for fast updates"):
        learner(**asked, **slow)


def test_a_rate_for_a_temperature_that_is_fixed_is_refused():
    with pytest.raises(UserError, match=r"ent_lr=0\.1 is of a temperature that is learned"):
        learner(ent_coef=0.05, ent_lr=0.1)


def test_critics_that_do_not_count_entropy_are_told_of_rewards_alone():
    """Whatever the temperature: pretraining comes out the same."""
    weights = []
    for ent_coef in (0.0, 5.0):
        model = with_demonstrations(backup_entropy=False, ent_coef=ent_coef)
        model.pretrain_critic(5, 16)
        weights.append(copies(model.critic))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_learner_with_all_of_it_resumes_bitwise(tmp_path):
    unbroken = with_demonstrations(**ALL)
    unbroken.pretrain_critic(3)
    train(unbroken, 5)
    first = with_demonstrations(**ALL)
    first.pretrain_critic(3)
    train(first, 2)
    save_residual_checkpoint(tmp_path / "run", 2, first, {})
    second = with_demonstrations(**ALL)
    folder = last_checkpoint(tmp_path / "run")
    assert folder is not None
    restore_residual(folder, second)
    train(second, 3)
    assert second._n_updates > 25, "the actor has moved"
    for name, model in (("a", unbroken), ("b", second)):
        save_residual_checkpoint(tmp_path / name, 5, model, {})
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00005" for name in ("a", "b")))


def test_normalised_inputs_are_the_plain_ones_of_normalised_observations_and_travel_with_the_weights(tmp_path):
    model, plain = learner(policy_kwargs=NORMALISED), learner()
    own = {k: v for k, v in model.policy.state_dict().items() if "normaliser" not in k}
    plain.policy.load_state_dict(own)
    seen = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    shown = (seen - np.float32(STATISTICS["centre"])) / np.float32(STATISTICS["half_range"])
    actions = torch.zeros(5, 2)
    for one, other in zip(
        model.critic(torch.tensor(seen), actions), plain.critic(torch.tensor(shown), actions), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)
    train(model, 2)
    save_residual_checkpoint(tmp_path, 1, model, {})
    policy, about = load_residual_policy(tmp_path)
    assert about["normalise_inputs"] and np.array_equal(
        policy.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0]
    )


def test_stable_baselines_own_updates_see_the_same_normalised_inputs():
    assert_ends_as_stable_baselines_train(policy_kwargs=NORMALISED)


def test_the_statistics_are_the_base_policy_s_own():
    policy = DiffusionPolicy(PolicyShape(4, 2, widths=(8, 16)))
    rng = np.random.default_rng(0)
    states, actions = rng.normal(1, 2, (50, 4)), rng.normal(0, 0.3, (50, 2))
    policy.state_scale.fit(states)
    policy.action_scale.fit(actions)
    environment = ResidualEnvironment(Reach(), DiffusionActor(policy, Sampler("ddim", 2)))
    both = np.concatenate([states, actions], 1)
    found = base_statistics(environment)
    assert np.allclose(found["centre"], (both.max(0) + both.min(0)) / 2, atol=1e-6)
    assert np.allclose(found["half_range"], (both.max(0) - both.min(0)) / 2, atol=1e-6)
    with pytest.raises(UserError, match="statistics of a base policy of `mpr bc`, this one has none"):
        base_statistics(wrapped())
    narrow = DiffusionActor(DiffusionPolicy(PolicyShape(3, 2, widths=(8, 16))), Sampler("ddim", 2))
    with pytest.raises(UserError, match="trained on 3 state and 2 action numbers"):
        base_statistics(ResidualEnvironment(Reach(), narrow))


def test_a_demonstration_s_action_is_its_label_or_what_was_executed():
    demonstration = demonstrate(0)
    assert demonstration.teacher_actions is not None
    for executed, wanted in ((False, demonstration.teacher_actions), (True, demonstration.executed_actions)):
        environment = ResidualEnvironment(Reach(), Chunked(), 0.1)
        made = label(demonstration, environment, executed)
        residuals = np.clip((wanted - made.base_actions[:-1]) / 0.1, -1, 1)
        assert np.allclose(made.episode.residual_actions, residuals, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"ent_coef": "auto_0"}, "--ent_coef auto_0: it is auto, auto_X from X above 0"),
        ({"ent_coef": "auto_much"}, "--ent_coef auto_much: it is auto"),
        ({"ent_coef": "automatic"}, "--ent_coef automatic: it is auto"),
        ({"ent_coef": "auto"}, "finishing would be a loss.* at temperature 1, gamma 0.99.* --backup_entropy false"),
        ({"ent_lr": 1e-3}, "--ent_lr and --target_entropy are for --ent_coef auto, not 0.05"),
        ({"target_entropy": -0.5}, "are for --ent_coef auto"),
        ({"ent_lr": 0.0, "ent_coef": "auto_0.1"}, "--ent_lr 0.0: it is above 0"),
        ({"critic_warmup": -1}, "--critic_warmup -1: it is at least 0"),
        ({"demo_action": "meant"}, "--demo_action meant: there is label, executed"),
        ({"demo_action": "executed", "demos": Path("none")}, "--demo_action executed: this run has no demonstrations"),
        ({"normalise_inputs": True, "base": Path("zero")}, "not of zero"),
    ],
)
def test_a_learner_that_cannot_work_is_refused(asked, says):
    with pytest.raises(UserError, match=says):
        FinetuneConfig(**asked)


def test_the_preset_of_the_paper_is_what_is_done_when_nothing_is_said():
    assert FinetuneConfig(**FINETUNE_PRESETS["paper"]) == FinetuneConfig()


def test_the_command_s_learner_is_as_it_was_asked_for(tmp_path):
    asked: dict[str, Any] = {"ent_coef": "auto_0.2", "ent_lr": 1e-3, "target_entropy": -0.5, "backup_entropy": False}
    asked |= {"critic_warmup": 12, "demo_action": "executed", "demos": demonstrated(tmp_path / "demos")}
    asked |= {"pretrain": 2, "warmup_steps": 5, "batch": 16, "buffer": 150, "episodes": 1}
    made = Finetuning(FinetuneConfig(out=tmp_path / "run", **asked), wrapped(), NoReward()).model
    assert made.log_ent_coef is not None and made.log_ent_coef.exp().item() == pytest.approx(0.2)
    assert (made.target_entropy, made.ent_lr, made.critic_warmup, made.backup_entropy) == (-1.0, 1e-3, 12, False)
    shown = made.buffer.demonstrations
    assert shown is not None
    wanted = [label(demonstrate(seed), wrapped(), True).episode.residual_actions for seed in range(3)]
    assert np.allclose(shown.actions[:, 0], np.concatenate([w for w in wanted if w is not None]), atol=1e-5)
