"""Residual SAC's networks and updates: the fast update against plainly written ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from mpr.core.errors import UserError
from mpr.reward.none import NoReward
from rl.commands.bench_updates import PlainPolicy
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer
from rl.residual.demonstrations import demonstration_buffer
from rl.residual.fast.adam import written_out
from tests.rl.sac_runs import COMPILER, assert_ends_as_stable_baselines_train
from tests.toy_reach import SMALL, demonstrate, learner, wrapped

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


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("shown", [True, False])
def test_batches_gathered_together_are_those_drawn_one_by_one(n_steps, shown):
    environment = wrapped()
    returns = {"n_steps": n_steps, "gamma": 0.9}
    buffer, other = (
        demonstration_buffer([demonstrate(s) for s in seeds], environment, NoReward(), **returns)[0]
        for seeds in (range(3), range(3, 5))
    )
    if shown:
        buffer.demonstrations, buffer.demo_fraction = other, 0.3
    np.random.seed(7)
    together = list(buffer.batches(5, 17))
    after = np.random.randint(1_000_000)
    np.random.seed(7)
    for batch in together:
        for mine, theirs in zip(batch, buffer.sample(17), strict=True):
            assert (mine is None) == (theirs is None) and (mine is None or torch.equal(mine, theirs))
    assert len(together) == 5 and after == np.random.randint(1_000_000)


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


def written_plainly(
    model: ResidualSAC, batch: ReplayBufferSamples, noise: torch.Tensor, move_actor: bool = True
) -> None:
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
        ent_coef = model.log_ent_coef.detach().exp()
        if move_actor:
            loss = -(model.log_ent_coef * (log_prob + model.target_entropy).detach()).mean()
            step(model.ent_coef_optimizer, loss)
    else:
        ent_coef = model.ent_coef_tensor
    with torch.no_grad():
        following, following_log_prob = act(batch.next_observations, noise[size:])
        q = torch.cat(model.critic_target(batch.next_observations, following), 1).min(1, keepdim=True)[0]
        discounts = model.gamma if batch.discounts is None else batch.discounts
        target = batch.rewards + (1 - batch.dones) * discounts * (
            q - model.backup_entropy * ent_coef * following_log_prob
        )
    errors = [nn.functional.mse_loss(q, target) for q in model.critic(batch.observations, batch.actions)]
    step(model.critic.optimizer, 0.5 * sum(errors))
    q = torch.cat(model.critic(batch.observations, action), 1).min(1, keepdim=True)[0]
    if move_actor:
        step(model.actor.optimizer, (ent_coef * log_prob - q).mean())
    with torch.no_grad():
        for new, old in zip(model.critic.parameters(), model.critic_target.parameters(), strict=True):
            old.mul_(1 - model.tau).add_(model.tau * new)


@pytest.mark.parametrize(
    ("ent_coef", "init", "discounted", "compile", "backup_entropy"),
    [
        ("auto", "zero", False, False, True),
        (0.05, "zero", False, False, True),
        ("auto", "default", False, False, True),
        (0.05, "default", True, False, True),
        (0.5, "default", True, False, False),
        pytest.param("auto", "default", True, True, True, marks=COMPILER),
        pytest.param("auto", "default", True, True, False, marks=[COMPILER, pytest.mark.slow]),
    ],
)
def test_the_fast_update_is_the_plain_one(ent_coef, init, discounted, compile, backup_entropy):
    """Those of the critics alone, which come first, as well."""
    kwargs = {
        "ent_coef": ent_coef,
        "backup_entropy": backup_entropy,
        "learning_rate": 3e-3,
        "policy_kwargs": SMALL | {"actor_init": init},
    }
    fast, plain = learner(compile=compile, **kwargs), learner(**kwargs)
    for k, (batch, noise) in enumerate(batches(8, discounted=discounted)):
        with torch.no_grad():
            fast.update(batch, noise, move_actor=k > 1)
        written_plainly(plain, batch, noise, move_actor=k > 1)
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
    if ent_coef == "auto":
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
    assert_ends_as_stable_baselines_train(policy_kwargs=SMALL | {"layer_norm": layer_norm}, **returns)


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
