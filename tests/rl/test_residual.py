"""Residual SAC: what this field gets wrong, each as a law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.env_checker import check_env

from mpr.core.errors import UserError
from mpr.reward.model import RewardModel
from mpr.reward.none import NoReward
from mpr.reward.paper_sparse import PaperSparseReward
from rl.data.demonstrations import BadDemonstration, labels
from rl.environments.residual import ResidualEnvironment
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.config import buffer_bytes
from rl.residual.demonstrations import demonstration_buffer, label
from rl.residual.fast.update import td_target
from rl.residual.rewards import step_rewards
from tests.toy_reach import Chunked, Reach, demonstrate, learner, wrapped


def play(environment, seed: int, residual=None):
    """Observations and infos of one episode under a constant residual."""
    action = np.zeros(2, np.float32) if residual is None else residual
    seen, over = [environment.reset(seed=seed)[0]], False
    while not over:
        observation, _, terminated, truncated, _ = environment.step(action)
        over = terminated or truncated
        seen.append(observation)
    return np.array(seen)


# The environment


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_zero_residual_is_the_base_policys_own_rollout(seed):
    plain, base = Reach(), Chunked()
    state, _ = plain.reset(seed=seed)
    base.reset(seed)
    states, over = [state], False
    while not over:
        state, _, terminated, truncated, _ = plain.step(np.clip(base.act(state), -1, 1))
        states.append(state)
        over = terminated or truncated
    environment = wrapped()
    play(environment, seed=99)  # an episode before leaves no trace
    play(environment, seed)
    assert environment.finished is not None
    assert np.array_equal(environment.finished.states, np.array(states))
    assert np.array_equal(environment.finished.executed_actions, environment.finished.base_actions)


@pytest.mark.parametrize("ends", ["success", "time-out"])
def test_the_chunk_is_dropped_at_every_reset(ends):
    environment = wrapped(limit=4, radius=10.0 if ends == "success" else 0.001, chunk=50)
    first = play(environment, 5)
    assert environment.finished is not None and environment.finished.success == (ends == "success")
    assert len(environment.base.queue) > 0  # something is left to be carried over
    assert np.array_equal(play(environment, 5), first)
    fresh = wrapped(limit=4, radius=environment.env.radius, chunk=50)  # and a policy that never saw an episode agrees
    assert np.array_equal(play(fresh, 6), play(environment, 6))


def test_the_next_observation_holds_the_next_steps_base_action():
    environment = wrapped(miss=0.5)
    seen = play(environment, 4, np.array([0.3, -1.0], np.float32))
    episode = environment.finished
    assert episode is not None and episode.truncated
    assert np.array_equal(seen[:-1, environment.base_slice], episode.base_actions.astype(np.float32))
    base = Chunked(miss=0.5)
    base.reset(4)
    asked = np.array([base.act(state) for state in episode.states])  # one call a state, the final one included
    assert np.array_equal(seen[:, environment.base_slice], np.clip(asked, -1, 1))
    assert np.array_equal(seen[:, environment.state_slice], episode.states.astype(np.float32))


@settings(max_examples=50, deadline=None)
@given(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), st.floats(0.01, 1.0))
def test_what_is_executed_is_base_plus_scaled_residual_within_bounds(residual, residual_scale):
    environment = wrapped(residual_scale, noise=0.4)
    environment.reset(seed=1)
    environment.step(np.array(residual, np.float32))
    base, executed = environment._bases[0], environment._executed[0]
    expected = np.clip(base + residual_scale * np.array(residual, np.float32).astype(np.float64), -1, 1)
    assert np.allclose(executed, expected) and np.abs(executed).max() <= 1
    assert np.allclose(environment._states[1][:2] - environment._states[0][:2], 0.1 * executed)


def test_the_final_step_is_kept():
    environment = wrapped(limit=3, radius=0.001)
    last = play(environment, 8)
    environment.reset()
    assert environment.finished is not None and len(environment.finished) == 3
    assert np.array_equal(environment.finished.states[-1].astype(np.float32), last[-1, :4])


def test_stable_baselines_accepts_the_environment(recwarn):
    check_env(wrapped(), warn=True)
    assert [str(w.message) for w in recwarn] == []


def test_a_base_policy_that_answers_nonsense_is_named():
    environment = wrapped(noise=float("nan"))
    with pytest.raises(UserError, match="base policy gave"):
        environment.reset(seed=1)


# The buffer


def stored(rows: int, lengths: list[int], timeouts: bool = True, kind=ResidualBuffer, **kwargs):
    """A buffer of `rows` after episodes of these lengths; observation t of episode e is e + t / 100."""
    environment = wrapped()
    buffer = kind(rows, environment.observation_space, environment.action_space, **kwargs)
    for e, length in enumerate(lengths):
        for t in range(length):
            seen, following = np.full((1, 6), e + t / 100), np.full((1, 6), e + (t + 1) / 100)
            info = {"TimeLimit.truncated": t == length - 1 and timeouts}
            done = np.array([t == length - 1])
            buffer.add(seen, following, np.zeros((1, 2)), np.array([-9.0]), done, [info])
    return buffer


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_rewards_are_rewritten_in_the_right_rows_through_the_wrap(lengths):
    buffer = stored(10, lengths)
    buffer.rewrite_rewards(np.arange(lengths[-1], dtype=np.float32))
    last = np.floor(buffer.observations[:, 0, 0] + 1e-4) == len(lengths) - 1
    last &= np.arange(10) < buffer.size()
    steps = np.round((buffer.observations[:, 0, 0] - (len(lengths) - 1)) * 100)
    assert last.sum() == lengths[-1]
    assert np.array_equal(buffer.rewards[last, 0], steps[last])
    assert (buffer.rewards[~last & (np.arange(10) < buffer.size()), 0] == -9).all()


def test_rewards_of_what_is_no_episode_are_refused():
    for wrong in (2, 4, 0, 11):
        with pytest.raises(ValueError):
            stored(10, [5, 3]).rewrite_rewards(np.zeros(wrong, np.float32))


def test_a_final_observation_stays_through_the_wrap():
    buffer = stored(10, [7, 6])
    ends = buffer.dones[:, 0] == 1
    assert np.allclose(buffer.next_observations[ends, 0, 0], [1.06, 0.07])
    online = learner(wrapped(limit=6, radius=0.001), buffer_size=10, gradient_steps=0)
    online.learn(12)
    finished = online.get_env().get_attr("finished")[0]
    at = (online.buffer.pos - 1) % 10
    assert online.buffer.dones[at, 0] == 1
    assert np.array_equal(online.buffer.next_observations[at, 0, :4], finished.states[-1].astype(np.float32))


def test_a_time_out_bootstraps_and_a_success_does_not():
    model = learner()
    critic_target = model.critic_target
    for timeouts in (True, False):
        buffer = stored(4, [4], timeouts)
        batch = buffer._get_samples(np.array([3]))
        action, log_prob = torch.zeros(1, 2), torch.zeros(1, 1)
        with torch.no_grad():
            wanted = td_target(critic_target, batch, action, log_prob, torch.tensor(0.0), 0.5)
            q = torch.cat(critic_target(batch.next_observations, action), 1).min()
        assert q != 0
        assert float(wanted) == pytest.approx(-9 + (0.5 * float(q) if timeouts else 0.0))
        buffer.n_steps, buffer.gamma = 3, 0.5
        with torch.no_grad():
            wanted = td_target(
                critic_target, buffer._get_samples(np.array([2])), action, log_prob, torch.tensor(0.0), 0.9
            )
        assert float(wanted) == pytest.approx(-13.5 + (0.25 * float(q) if timeouts else 0.0))


def test_sampling_gathers_what_stable_baselines_gathers():
    buffer, rows = stored(10, [5, 4, 5]), np.array([0, 9, 3, 3])
    mine = buffer._get_samples(rows)
    theirs = super(ResidualBuffer, buffer)._get_samples(rows)
    for a, b in zip(mine, theirs, strict=True):
        assert (a is None and b is None) or (a.shape == b.shape and torch.equal(a, b))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(2, 5), st.booleans())
def test_n_step_returns_are_stable_baselines_own(lengths, n_steps, timeouts):
    mine, theirs = (
        stored(10, lengths, timeouts),
        stored(10, lengths, timeouts, NStepReplayBuffer, n_steps=n_steps, gamma=0.9),
    )
    mine.n_steps, mine.gamma = n_steps, 0.9
    mine.rewards[:] = theirs.rewards[:] = np.random.default_rng(0).normal(size=(10, 1))
    rows = np.arange(mine.size())
    for a, b in zip(mine._get_samples(rows), theirs._get_samples(rows), strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def test_an_episode_under_way_ends_a_return_where_it_stands():
    buffer = stored(10, [3, 4])
    buffer.n_steps, buffer.gamma, buffer.dones[6] = 4, 0.5, 0
    batch = buffer._get_samples(np.array([5, 4]))
    assert np.allclose(batch.next_observations[:, 0], 1.04) and not batch.dones.any()
    assert np.allclose(batch.discounts[:, 0], [0.25, 0.125]) and np.allclose(batch.rewards[:, 0], [-13.5, -15.75])


def test_batches_are_half_demonstrations():
    buffer, demonstrations = stored(10, [10]), stored(10, [5])
    demonstrations.observations += 100
    buffer.demonstrations = demonstrations
    for size in (8, 9):
        batch = buffer.sample(size)
        assert len(batch.observations) == size
        assert (batch.observations[:, 0] >= 100).sum() == size // 2


def test_the_buffer_announces_its_bytes():
    buffer = ResidualBuffer(123, wrapped().observation_space, wrapped().action_space)
    assert buffer.nbytes == buffer_bytes(123, 6, 2) == 123 * (6 + 6 + 2 + 3) * 4


# Demonstrations and rewards


def test_a_demonstrations_label_is_what_the_expert_adds_to_the_base():
    environment, demonstration = wrapped(residual_scale=0.5), demonstrate(11)
    one = label(demonstration, environment)
    base = Chunked()
    base.reset(11)
    asked = np.clip(np.array([base.act(s) for s in demonstration.states], np.float64), -1, 1)
    assert np.array_equal(one.base_actions, asked)
    wanted = (labels(demonstration) - asked[:-1]) / 0.5
    assert np.allclose(one.episode.residual_actions, np.clip(wanted, -1, 1))
    assert np.array_equal(one.clipped, np.abs(wanted) > 1) and 0 < one.clipped.mean() < 1
    free = ~one.clipped  # where nothing was clipped, acting as labelled is acting as the expert
    acted = one.episode.base_actions + 0.5 * one.episode.residual_actions
    assert np.allclose(acted[free], labels(demonstration)[free])


def test_demonstrations_are_stored_as_online_steps_are():
    environment, demonstrations = wrapped(), [demonstrate(seed) for seed in (1, 2)]
    assert all(d.success for d in demonstrations)
    buffer, share = demonstration_buffer(demonstrations, environment, NoReward())
    first, steps = label(demonstrations[0], environment), len(demonstrations[0])
    assert buffer.full and buffer.size() == steps + len(demonstrations[1])
    assert np.array_equal(buffer.rewards[:steps, 0], [-1.0] * (steps - 1) + [0.0])
    assert np.array_equal(buffer.dones[:steps, 0], [0.0] * (steps - 1) + [1.0]) and not buffer.timeouts.any()
    assert np.allclose(buffer.next_observations[:steps, 0, 4:], first.base_actions[1:])
    assert np.array_equal(buffer.observations[1:steps, 0], buffer.next_observations[: steps - 1, 0])
    assert 0 < share < 1
    failed = demonstrate(1, Reach(radius=0.0))
    buffer, _ = demonstration_buffer([failed], environment, NoReward())
    assert buffer.timeouts[-1, 0] == 1 and buffer.rewards[-1, 0] == -1


def test_bad_demonstrations_are_refused():
    environment = ResidualEnvironment(Reach(), Chunked())
    with pytest.raises(BadDemonstration, match="no demonstrations"):
        demonstration_buffer([], environment, NoReward())
    environment.base_slice = slice(4, 13)
    with pytest.raises(BadDemonstration, match="action dimensions"):
        demonstration_buffer([demonstrate(1)], environment, NoReward())


def test_rewards_by_hand():
    environment = wrapped(radius=10.0)
    play(environment, 1)
    assert environment.finished is not None
    assert list(step_rewards(NoReward(), environment.finished)) == [0.0]  # -1 and the bonus
    assert list(step_rewards(PaperSparseReward(), environment.finished)) == [1.0]
    environment = wrapped(radius=0.0, limit=3)
    play(environment, 1)
    assert environment.finished is not None
    assert list(step_rewards(NoReward(), environment.finished)) == [-1.0] * 3
    assert list(step_rewards(PaperSparseReward(), environment.finished)) == [0.0] * 3


def test_rewards_are_in_the_buffer_before_the_updates():
    class Counting(RewardModel):
        def score(self, episode):
            return np.linspace(0, 1, len(episode), dtype=np.float32)

    model, seen = learner(buffer_size=30), []
    callback = EpisodeRewards(Counting())
    update = model.update
    model.update = lambda *a: (seen.append(model.buffer.rewards[model.buffer.pos - 1, 0]), update(*a))[1]
    for _ in range(3):
        model.learn(1, callback, reset_num_timesteps=False)
        rows = (model.buffer.pos - len(callback.rewards) + np.arange(len(callback.rewards))) % 30
        assert np.array_equal(model.buffer.rewards[rows, 0], callback.rewards)
        assert set(seen) == {callback.rewards[-1]}
        assert len(seen) == len(callback.rewards)
        seen.clear()


def test_rewards_need_whole_episodes():
    with pytest.raises(ValueError, match="episode by episode"):
        learner(train_freq=1).learn(1, EpisodeRewards(NoReward()))
