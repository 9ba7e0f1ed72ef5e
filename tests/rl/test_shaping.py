"""A signal as a potential: laws of what it pays, and who is shown it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from mpr.core.errors import UserError
from mpr.reward.model import RewardModel
from rl.residual.buffer import ResidualBuffer
from rl.residual.checkpoint import load_residual_policy
from rl.residual.config import FinetuneConfig
from rl.residual.demonstrations import demonstration_buffer
from rl.residual.reward_form import RewardForm
from rl.residual.rewards import rewards_of_signal
from rl.residual.shaping import potentials, shaping_rewards
from rl.residual.train import Finetuning
from tests.rl.sac_runs import assert_same_checkpoints
from tests.rl.test_finetune import demonstrated
from tests.rl.test_reward_form import Ramp
from tests.toy_reach import SMALL, demonstrate, learner, wrapped

GAMMA = 0.9
steps = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=40)


@given(steps=steps, gamma=st.floats(0, 1), weight=st.floats(0, 10))
def test_all_that_a_potential_gives_it_takes_back(steps: list[tuple[float, bool]], gamma: float, weight: float) -> None:
    """The discounted sum over an episode is -Phi_0 = 0, whatever the signal, with steps left out as without."""
    signal, kept = (np.array(column) for column in zip(*steps, strict=True))
    paid_each = shaping_rewards(potentials(signal.astype(np.float32), kept, weight), gamma)[kept]
    assert gamma ** np.arange(len(paid_each)) @ paid_each == pytest.approx(0, abs=1e-6 * (1 + weight) * len(steps))


def test_what_is_paid_by_hand():
    episode = dataclasses.replace(demonstrate(0))
    count = len(episode)
    signal = np.arange(1, count + 1, dtype=np.float32) / count
    form = RewardForm(bonus=2.0, signal_weight=3.0, potential=True, gamma=GAMMA)
    phi = 3 * np.concatenate([[0], np.cumsum(signal)])
    phi[-1] = 0.0
    wanted = -1 + GAMMA * phi[1:] - phi[:-1] + 2.0 * (np.arange(count) == count - 1) * episode.success
    assert np.allclose(rewards_of_signal(signal, episode, form), wanted, atol=1e-5)


def filled(n_steps: int, seed: int = 0) -> tuple[ResidualBuffer, ResidualBuffer]:
    """The same episodes paid by a potential and by nothing: gaps, time-outs, a success, a last step left out."""
    spaces = learner().observation_space, learner().action_space
    made = {"n_steps": n_steps, "gamma": GAMMA}
    both = tuple(ResidualBuffer(60, *spaces, "cpu", **made, potential=on) for on in (True, False))
    rng = np.random.default_rng(seed)
    for length, timeout, gaps in (
        (7, True, {3}),
        (5, False, set()),
        (6, False, {5}),
        (6, True, {0, 5}),
        (9, True, {4, 5}),
    ):
        kept = np.array([t not in gaps for t in range(length)])
        signal, success = rng.random(length).astype(np.float32), np.zeros(length, bool)
        success[np.flatnonzero(kept)[-1]] = not timeout
        phi = potentials(signal, kept, 2.0)
        for buffer in both:
            for t in range(length):
                seen, info = (
                    np.full((1, 6), t),
                    {"gap": not kept[t], "TimeLimit.truncated": timeout and t == length - 1},
                )
                buffer.add(seen, seen + 1, np.zeros((1, 2)), np.zeros(1), np.array([t == length - 1]), [info])
            plain = -1 + success.astype(np.float32)
            shaped = (plain + shaping_rewards(phi, GAMMA)).astype(np.float32)
            buffer.rewrite_rewards(shaped, phi) if buffer.potential else buffer.rewrite_rewards(plain)
    return both  # type: ignore[return-value]


@pytest.mark.parametrize("n_steps", [1, 3, 10])
def test_targets_are_those_without_a_signal_less_the_potential(n_steps):
    """So Q - Phi solves them wherever Q solved the plain ones: the best action is the same in every state."""
    shaped, plain = filled(n_steps)
    rows = np.arange(plain.size())
    one, other = shaped._get_samples(rows), plain._get_samples(rows)
    discounts = GAMMA if one.discounts is None else one.discounts
    before, after = (seen[:, 6:] / (1 - GAMMA) for seen in (one.observations, one.next_observations))
    assert torch.equal(one.dones, other.dones) and torch.equal(one.observations[:, :6], other.observations)
    assert (after[one.dones.bool()] == 0).all() and before.max() > 1
    assert torch.allclose(one.rewards - (1 - one.dones) * discounts * after, other.rewards - before, atol=1e-4)


def test_a_time_out_bootstraps_from_no_potential_and_a_gap_from_its_own():
    shaped, _ = filled(1)
    one = shaped._get_samples(np.array([2, 5]))  # before the gap of the first episode, and its time-out
    assert one.dones.sum() == 0 and one.next_observations[0, 6] > 0 and one.next_observations[1, 6] == 0


def test_a_new_row_forgets_the_potential_of_the_one_that_it_takes_the_place_of():
    shaped, _ = filled(1)
    shaped.pos = 1
    assert shaped.potentials[1].any()
    shaped.add(np.zeros((1, 6)), np.zeros((1, 6)), np.zeros((1, 2)), np.zeros(1), np.array([False]), [{}])
    assert not shaped.potentials[1].any()


ASYMMETRIC: dict[str, Any] = {"replay_buffer_kwargs": {"potential": True}, "policy_kwargs": SMALL | {"critic_extra": 1}}


def test_the_actor_is_not_shown_the_potential_and_critics_are():
    model = learner(**ASYMMETRIC)
    seen, actions = torch.randn(4, 7), torch.zeros(4, 2)
    other = seen.clone()
    other[:, 6] += 5
    assert not torch.allclose(model.critic(seen, actions)[0], model.critic(other, actions)[0])
    assert model.actor(model._actors(seen)).shape == (4, 2)
    assert model.predict(np.zeros(6, np.float32))[0].shape == (2,), "which is all there is online"


def test_a_potential_of_nothing_changes_no_update():
    asymmetric, plain = learner(**ASYMMETRIC, learning_rate=1e-2), learner(learning_rate=1e-2)
    for mine, theirs in ((asymmetric.critic, plain.critic), (asymmetric.critic_target, plain.critic_target)):
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            if a.shape == b.shape:
                a.data.copy_(b.data)
            else:  # the first layer, whose inputs are observation, potential, action
                a.data[:, :6], a.data[:, 7:] = b.data[:, :6], b.data[:, 6:]
    asymmetric.actor.load_state_dict(plain.actor.state_dict())
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        seen, following, actions, rewards = (torch.randn(8, n, generator=generator) for n in (6, 6, 2, 1))
        noise, nothing = torch.randn(16, 2, generator=generator), torch.zeros(8, 1)
        batch = ReplayBufferSamples(seen, actions.tanh(), following, nothing, rewards)
        wide = batch._replace(
            observations=torch.cat([seen, nothing], 1), next_observations=torch.cat([following, nothing], 1)
        )
        with torch.no_grad():
            plain.update(batch, noise)
            asymmetric.update(wide, noise)
    for mine, theirs in zip(asymmetric.actor.parameters(), plain.actor.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def finetuning(out: Path, demos: Path, reward: RewardModel, **settings) -> Finetuning:
    given: dict = {"episodes": 4, "pretrain": 5, "warmup_steps": 5, "batch": 16, "buffer": 150, "checkpoint_every": 2}
    given |= {"shaping": "potential", "signal_share": 0.5, "critic_warmup": 20}
    return Finetuning(FinetuneConfig(demos=demos, out=out, **given | settings), wrapped(), reward)


def test_a_run_with_a_potential_resumes_bitwise_and_its_policy_is_read(tmp_path):
    demos = demonstrated(tmp_path / "demos")
    whole = finetuning(tmp_path / "whole", demos, Ramp())
    whole.run()
    shown = whole.model.buffer.demonstrations
    assert isinstance(shown, ResidualBuffer) and shown.potentials.any() and whole.model.buffer.potentials.any()
    broken = finetuning(tmp_path / "broken", demos, Ramp())
    episode = broken._episode

    def killed(number, rewards):
        if number == 4:
            raise KeyboardInterrupt
        return episode(number, rewards)

    broken._episode = killed
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    finetuning(tmp_path / "broken", demos, Ramp()).run()
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00004" for name in ("whole", "broken")))
    policy, _ = load_residual_policy(tmp_path / "whole")
    seen = np.zeros((2, 6), np.float32)
    assert np.array_equal(policy.predict(seen, deterministic=True)[0], whole.model.predict(seen, deterministic=True)[0])


def test_a_potential_makes_no_finishing_a_loss(tmp_path):
    finetuning(tmp_path / "run", demonstrated(tmp_path / "demos"), Ramp(), signal_share=5.0)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"shaping": "none_such"}, "--shaping none_such: there is sum, potential"),
        ({"shaping": "potential", "reward": "none"}, "reward none has no signal to make a potential of"),
        ({"shaping": "potential", "reward": "paper_sparse"}, "reward paper_sparse has no signal"),
    ],
)
def test_a_potential_that_cannot_work_is_refused(asked, says):
    with pytest.raises(UserError, match=says):
        FinetuneConfig(**asked)


def test_potentials_are_kept_by_all_or_none():
    for wrong in ({"replay_buffer_kwargs": {"potential": True}}, {"policy_kwargs": SMALL | {"critic_extra": 1}}):
        with pytest.raises(UserError, match="go together"):
            learner(**wrong)
    with pytest.raises(UserError, match="critic_extra is only for fast updates"):
        learner(**ASYMMETRIC, fast=False)
    shown, _ = demonstration_buffer([demonstrate(0)], wrapped(), Ramp())
    with pytest.raises(ValueError, match="one has potentials, the other has none"):
        learner(**ASYMMETRIC).set_demonstrations(shown)
    with pytest.raises(ValueError, match="potentials are kept here"):
        filled(1)[0].rewrite_rewards(np.zeros(9, np.float32))
    environment = wrapped()
    spaces = environment.observation_space, environment.action_space
    with pytest.raises(ValueError, match="potential=True with 2 environments"):
        ResidualBuffer(60, *spaces, "cpu", n_envs=2, potential=True)
