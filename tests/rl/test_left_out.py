"""A robot's steps over gaps: kept in their place and paid nothing; no replay buffer holds them or reaches over them."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode, save_episode
from mpr.core.data.step_log import StepLog
from mpr.core.errors import BadClip
from mpr.reward.any_motion import AnyMotionReward
from mpr.reward.baselines import FixedDirection
from mpr.reward.environment import EnvironmentReward
from mpr.reward.model import RewardModel
from mpr.reward.motion import MotionReward
from mpr.reward.none import NoReward
from mpr.reward.paper_sparse import PaperSparseReward
from rl.data.demonstrations import BadDemonstration, load_demonstration, save_demonstration
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.demonstrations import demonstration_buffer, label
from rl.residual.reward_form import RewardForm
from robot.recording.demonstrations import to_demonstration
from robot.recording.flags import flags
from robot.session import episode_summary
from robot.teleop.operator import Mark
from tests.robot.table import Table
from tests.toy_clips import square_clip
from tests.toy_reach import Reach, demonstrate, learner, wrapped
from tests.toy_robot_episodes import noted, robot_episode
from tests.toy_station import ToyOperator

# The buffer


def add(buffer: ResidualBuffer, seen: float, done: bool = False, timeout: bool = False, **info: bool) -> None:
    """A transition from `seen` to a hundredth more, paid `seen`."""
    now, then = np.full((1, 6), seen), np.full((1, 6), seen + 0.01)
    infos = [{"TimeLimit.truncated": timeout, **info}]
    buffer.add(now, then, np.zeros((1, 2)), np.array([seen]), np.array([done]), infos)


def empty(rows: int, **kwargs) -> ResidualBuffer:
    environment = wrapped()
    return ResidualBuffer(rows, environment.observation_space, environment.action_space, **kwargs)


def stretches(keep: list[bool]) -> list[list[int]]:
    """Steps of an episode between those left out."""
    out: list[list[int]] = [[]]
    for t, kept in enumerate(keep):
        if kept:
            out[-1].append(t)
        else:
            out.append([])
    return [some for some in out if some]


EPISODES = st.lists(st.lists(st.sampled_from([True, True, False]), min_size=1, max_size=8), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(EPISODES, st.integers(1, 5), st.booleans(), st.sampled_from(["gap", "unsent"]))
def test_an_episode_with_gaps_is_stored_as_its_stretches(
    episodes: list[list[bool]], n_steps: int, timeout: bool, flag: str
) -> None:
    """Those before a gap end as at a time-out: no return runs over it. The last one ends as the episode does."""
    ours, theirs = empty(12, n_steps=n_steps, gamma=0.9), empty(12, n_steps=n_steps, gamma=0.9)
    for e, keep in enumerate(episodes):
        last = len(keep) - 1
        for t, kept in enumerate(keep):
            add(ours, e + t / 100, t == last, timeout and t == last, **{flag: not kept})
        for some in stretches(keep):
            for t in some:
                final = t == max(np.flatnonzero(keep))
                add(theirs, e + t / 100, t == some[-1], t == some[-1] and (timeout or not final))
        if any(keep):
            theirs_paid = np.arange(len(keep), dtype=np.float32) + 100 * e
            rows = (theirs.pos - sum(keep) + np.arange(sum(keep))) % 12
            if sum(keep) <= theirs.size():
                theirs.rewards[rows, 0] = theirs_paid[keep]
        ours.rewrite_rewards(np.arange(len(keep), dtype=np.float32) + 100 * e)
    assert ours.left_out == sum(not kept for keep in episodes for kept in keep)
    assert ours.size() == theirs.size() and ours.pos == theirs.pos
    for name, values in ours.arrays().items():
        np.testing.assert_array_equal(values, theirs.arrays()[name], err_msg=name)
    if ours.size():
        rows = np.arange(ours.size())
        for a, b in zip(ours._get_samples(rows), theirs._get_samples(rows), strict=True):
            assert (a is None and b is None) or bool((a == b).all())


def test_a_return_ends_before_a_gap_and_is_bootstrapped_there() -> None:
    buffer = empty(10, n_steps=4, gamma=0.5)
    for t in range(6):
        add(buffer, 1 + t / 100, t == 5, gap=t == 2)
    batch = buffer._get_samples(np.array([0, 1, 2]))
    assert np.allclose(batch.next_observations[:, 0], [1.02, 1.02, 1.06]) and batch.dones[:, 0].tolist() == [0, 0, 1]
    assert batch.discounts is not None and np.allclose(batch.discounts[:, 0], [0.25, 0.5, 0.125])
    assert np.allclose(batch.rewards[:, 0], [1 + 0.5 * 1.01, 1.01, 1.03 + 0.5 * 1.04 + 0.25 * 1.05])


@pytest.mark.parametrize(("flag", "timeout"), [("gap", False), ("unsent", False), ("unsent", True)])
def test_a_termination_in_a_step_that_is_left_out_is_the_last_row_s(flag: str, timeout: bool) -> None:
    """A time-out there stays one: it is bootstrapped."""
    buffer = empty(10, n_steps=3, gamma=0.5)
    for t in range(5):  # the last two are none
        add(buffer, 1 + t / 100, t == 4, timeout and t == 4, **{flag: t > 2})
    assert buffer.size() == 3 and buffer.kept.tolist() == [True] * 3 + [False] * 2
    batch = buffer._get_samples(np.arange(3))
    assert batch.dones[:, 0].tolist() == [0.0 if timeout else 1.0] * 3
    paid = 1.02 + (0 if timeout else 1.04)
    assert np.allclose(batch.rewards[:, 0], [1 + 0.5 * 1.01 + 0.25 * paid, 1.01 + 0.5 * paid, paid])
    add(buffer, 2.0, done=True, **{flag: True})
    assert buffer.dones[:3, 0].tolist() == [0, 0, 1], "an episode without a row ends none"
    assert buffer.rewards[2, 0] == pytest.approx(paid) and bool(buffer.timeouts[2, 0]) == timeout


def test_what_cannot_be_left_out_alone_is_refused() -> None:
    buffer = empty(10, n_envs=2)
    pair = np.zeros((2, 6))
    with pytest.raises(ValueError, match="only where there is one environment"):
        buffer.add(pair, pair, np.zeros((2, 2)), np.zeros(2), np.zeros(2, bool), [{}, {"gap": True}])
    buffer.add(pair, pair, np.zeros((2, 2)), np.zeros(2), np.zeros(2, bool), [{}, {"gap": False}])
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        add(empty(10, optimize_memory_usage=True, handle_timeout_termination=False), 1.0, gap=True)


def test_an_episode_of_nothing_but_gaps_leaves_no_row() -> None:
    buffer = empty(10)
    add(buffer, 1.0, done=True)
    for t in range(3):
        add(buffer, 2 + t / 100, t == 2, gap=True)
    buffer.rewrite_rewards(np.full(3, 7, np.float32))
    assert buffer.size() == 1 and buffer.rewards[0, 0] == 1.0
    with pytest.raises(ValueError):
        buffer.rewrite_rewards(np.zeros(2, np.float32))


class Stalling(Reach):
    """Its third step of each episode takes too long."""

    def step(self, action):
        *rest, info = super().step(action)
        return *rest, {**info, "gap": self.steps == 3}


def test_practice_learns_from_all_steps_but_gaps() -> None:
    from rl.environments.residual import ResidualEnvironment
    from tests.toy_reach import Chunked

    class Counting(RewardModel):
        def score(self, episode):
            return np.linspace(0, 1, len(episode), dtype=np.float32)

    model = learner(ResidualEnvironment(Stalling(radius=0.001, limit=7), Chunked()))
    callback = EpisodeRewards(Counting())
    for _ in range(3):
        model.learn(1, callback, reset_num_timesteps=False)
        assert len(callback.rewards) == 7, "the episode is whole"
        rows = model.buffer.pos - 6 + np.arange(6)
        np.testing.assert_array_equal(model.buffer.rewards[rows, 0], np.delete(callback.rewards, 2))
    assert model.buffer.size() == 18 and model.buffer.left_out == 3
    assert np.flatnonzero(model.buffer.dones[:18, 0]).tolist() == [1, 5, 7, 11, 13, 17]


class HeldAtTheEnd(Reach):
    """Its last two steps, in the second of which it succeeds, are held."""

    def step(self, action):
        state, *_, info = super().step(action)
        success = self.steps == 7
        return state, float(success), success, False, {**info, "success": success, "unsent": self.steps > 5}


class Tenths(RewardModel):
    def score(self, episode):
        return np.arange(len(episode), dtype=np.float32) / 10


@pytest.mark.parametrize(
    ("reward", "paid"),
    [
        (NoReward(), [-1, -1, -1, -1, 1]),
        (PaperSparseReward(), [0, 0, 0, 0, 2]),
        (EnvironmentReward(), [0, 0, 0, 0, 1]),
        (Tenths(), [-1, -0.9, -0.8, -0.7, 1.4]),
    ],
)
def test_a_success_in_a_held_step_reaches_the_learner(reward: RewardModel, paid: list[float]) -> None:
    """With the last transition before it, whatever is paid for: two is the bonus."""
    from rl.environments.residual import ResidualEnvironment
    from tests.toy_reach import Chunked

    model = learner(ResidualEnvironment(HeldAtTheEnd(radius=0.001), Chunked()))
    callback = EpisodeRewards(reward, RewardForm(bonus=2.0))
    for episode in range(2):
        model.learn(1, callback, reset_num_timesteps=False)
        rows = 5 * episode + np.arange(5)
        np.testing.assert_allclose(model.buffer.rewards[rows, 0], paid, atol=1e-6)
        assert model.buffer.dones[rows, 0].tolist() == [0, 0, 0, 0, 1] and not model.buffer.timeouts[rows].any()
    assert model.buffer.size() == 10 and model.buffer.left_out == 4


# Demonstrations


@pytest.mark.parametrize("reward", [NoReward(), PaperSparseReward()])
def test_a_demonstration_that_succeeds_in_a_held_step_succeeds_with_its_last_transition(reward: RewardModel) -> None:
    environment, whole = wrapped(), demonstrate(1)
    held = np.array([*[""] * (len(whole) - 2), "stale state", "stale state"])
    demonstration = dataclasses.replace(whole, log=StepLog(held=held))
    buffer, _ = demonstration_buffer([demonstration, demonstration], environment, reward, RewardForm(bonus=2.0))
    paid = np.array([*[0.0] * (len(whole) - 3), 2.0]) - isinstance(reward, NoReward)
    np.testing.assert_allclose(buffer.rewards[:, 0], [*paid, *paid])
    ends = np.flatnonzero(buffer.dones[:, 0])
    assert ends.tolist() == [len(paid) - 1, 2 * len(paid) - 1] and not buffer.timeouts.any()


def gapped(demonstration: Episode, at: list[int], **more) -> Episode:
    """Idle steps were taken out before each of these steps ended."""
    steps = np.full(len(demonstration), 0.08)
    steps[at] += 0.4
    return dataclasses.replace(demonstration, times=np.concatenate([[0.0], np.cumsum(steps)]), **more)


@pytest.mark.parametrize("at", [[0], [3], [3, 4], [1, 5]])
def test_a_demonstrations_gaps_are_no_transitions(at: list[int]) -> None:
    environment, whole = wrapped(), demonstrate(1)
    demonstration = gapped(whole, at)
    assert np.flatnonzero(demonstration.gaps).tolist() == at
    buffer, share = demonstration_buffer([demonstration, demonstrate(2)], environment, NoReward(), n_steps=3, gamma=0.9)
    plain, _ = demonstration_buffer([whole, demonstrate(2)], environment, NoReward())
    kept = np.delete(np.arange(plain.size()), at)
    assert buffer.size() == len(kept) and buffer.left_out == len(at)
    success = len(whole) - 1 - len(at)  # the row that it is learned from with
    plain.rewards[kept[success]] = 0.0  # -1 and the bonus
    for name in ("observations", "next_observations", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(buffer, name), getattr(plain, name)[kept])
    ends = {int(np.searchsorted(kept, t)) - 1 for t in at} - {-1, success}
    assert set(np.flatnonzero(buffer.timeouts[:, 0])) == ends
    returns = buffer._get_samples(np.arange(buffer.size())).rewards[:, 0].numpy()
    assert all(abs(returns[row] + 1) < 1e-6 for row in ends), "a return of the last step before a gap is its reward"
    clipped = [label(one, environment).clipped for one in (demonstration, demonstrate(2))]
    assert share == pytest.approx(float(np.concatenate([np.delete(clipped[0], at, 0), clipped[1]]).mean()))


def test_a_rate_tells_gaps_where_most_steps_are_some(tmp_path: Path) -> None:
    """Where every second step was idle, the median step is no usual one."""
    demonstration = demonstrate(1)
    sparse = dataclasses.replace(demonstration, times=np.arange(len(demonstration) + 1) * 0.2)
    assert not sparse.gaps.any() and dataclasses.replace(sparse, rate_hz=10.0).gaps.all()
    with pytest.raises(BadDemonstration, match="each step of them a gap"):
        demonstration_buffer([dataclasses.replace(sparse, rate_hz=10.0)], wrapped(), NoReward())
    save_demonstration(dataclasses.replace(sparse, rate_hz=10.0), tmp_path / "d")
    assert load_demonstration(tmp_path / "d").gaps.all()


# Episodes


def test_a_robots_rate_is_told_or_the_median() -> None:
    late = robot_episode(0, times=np.array([5, 5.1, 5.2, 5.49, 5.6, 5.7]))
    assert late.gaps.tolist() == [False, False, True, False, False]
    assert dataclasses.replace(late, rate_hz=5).gaps.tolist() == [False] * 5
    assert dataclasses.replace(late, rate_hz=15.0).gaps.tolist() == [False, False, True, True, False]
    for odd in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadClip, match="its rate is"):
            dataclasses.replace(late, rate_hz=odd)
    assert flags(late)["gap"].tolist() == late.gaps.tolist()


def test_a_step_over_a_gap_is_paid_nothing_and_keeps_its_place() -> None:
    path = np.array([[60, 60], [64, 60], [68, 60], [90, 60], [94, 60]])
    clip = dataclasses.replace(square_clip(path), times=np.array([0, 0.08, 0.16, 0.6, 0.68]))
    track = lambda _: nullcontext(clip)  # noqa: E731
    episode = robot_episode(0, steps=4)
    for reward in (MotionReward(FixedDirection(np.array([1.0, 0])), track), AnyMotionReward(track)):
        assert reward.score(episode).tolist() == pytest.approx([1, 1, 0, 1])


@pytest.mark.gl
def test_an_episodes_clip_has_the_measured_times() -> None:
    """Though its recording, of a simulator, says even ones."""
    from mpr.reward.tracked import track_episode
    from tracking.synth.clip import record_synthetic

    recording = record_synthetic("open_microwave", "open", 10_000)
    steps = len(recording) - 1
    times = recording.times + 0.5 * (np.arange(steps + 1) > 2)
    zeros = np.zeros((steps, 9))
    made = {"states": np.zeros((steps + 1, 3)), "times": times, "executed_actions": zeros, "recording": recording}
    episode = Episode(**made, terminated=True, truncated=False, success=True)
    assert np.flatnonzero(episode.gaps).tolist() == [2]
    with track_episode(episode) as clip:
        assert np.flatnonzero(clip.gaps).tolist() == [2]


def test_idle_steps_taken_out_leave_gaps() -> None:
    found = to_demonstration(robot_episode(0, steps=8, log=noted(8, [2, 4, 5]), rate_hz=10.0), 0)
    assert len(found) == 5 and found.rate_hz == 10.0
    assert found.gaps.tolist() == [False, True, True, False, False]


def test_a_late_beat_is_a_gap_in_the_step_and_in_the_episode(tmp_path: Path) -> None:
    table = Table(ToyOperator({6: Mark.SUCCESS}))
    table.env.reset(seed=0)
    said = []
    for step in range(6):
        if step == 3:
            table.clock.advance(0.27)  # something took so long
        *_, info = table.steps(1)
        said.append(info["gap"])
    assert table.env.finished is not None
    save_episode(table.env.finished, tmp_path / "e")
    episode = load_episode(tmp_path / "e")
    assert said == [False, False, False, True, False, False] == episode.gaps.tolist() == flags(episode)["gap"].tolist()
    assert "Hz on average, 1 gap of 0.27 s" in episode_summary(episode)
    assert len(episode) == 6
