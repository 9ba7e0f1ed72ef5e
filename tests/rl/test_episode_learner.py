"""A learner that is given whole episodes: updates by parts and at once, resumed, and in a process that is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.beside import ProcessGone
from mpr.core.checkpoints import last_checkpoint
from mpr.core.errors import UserError
from rl.residual.config import NO_DEMONSTRATIONS, FinetuneConfig
from rl.residual.episode_learner import EpisodeLearner, PractisedEpisode, Sizes, manual_seed
from rl.residual.learner_process import LearnerProcess, LearnerSetup, replay_updates
from tests.rl.sac_runs import assert_same_checkpoints

SIZES = Sizes(3, 1)


def config(**asked: Any) -> FinetuneConfig:
    given = {"env": "gymnasium:Pendulum-v1", "base": Path("zero"), "demos": NO_DEMONSTRATIONS, "reward": "environment"}
    given |= {"warmup_steps": 5, "utd": 1.5, "batch": 8, "buffer": 400, "compile": "false", "checkpoint_every": 1}
    return FinetuneConfig(**given | asked)


def practised(seed: int, steps: int = 12) -> PractisedEpisode:
    rng = np.random.default_rng(seed)
    kept = np.ones(steps, bool)
    kept[rng.integers(1, steps - 1)] = False
    observations, rewards = (rng.normal(size=size).astype(np.float32) for size in ((steps + 1, 4), steps))
    return PractisedEpisode(
        observations, rng.uniform(-1, 1, (steps, 1)).astype(np.float32), rewards, kept, bool(seed % 2)
    )


def arrays(learner: EpisodeLearner) -> list[torch.Tensor]:
    return [*learner.actor().values(), torch.get_rng_state(), torch.tensor(learner.updates)]


def assert_alike(one: EpisodeLearner, other: EpisodeLearner) -> None:
    assert (one.updates, one.owed, one.steps, one.episodes) == (other.updates, other.owed, other.steps, other.episodes)
    for (name, mine), theirs in zip(one.actor().items(), other.actor().values(), strict=True):
        assert torch.equal(mine, theirs), name


def learned(parts: list[int], **asked: Any) -> EpisodeLearner:
    """Two episodes, their updates by parts."""
    learner = EpisodeLearner(config(**asked), SIZES)
    for seed in range(2):
        learner.add(practised(seed))
    for most in parts:
        learner.update(most)
    while learner.owed:
        learner.update(1000)
    return learner


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=6))
def test_updates_by_parts_are_those_made_at_once(parts: list[int]) -> None:
    one, other = learned(parts), learned([])
    assert one.updates == round(1.5 * 24) and not one.owed
    assert_alike(one, other)


def test_an_episode_lies_in_the_buffer_as_practice_itself_stores_it() -> None:
    learner = EpisodeLearner(config(), SIZES)
    episode = practised(1)
    learner.add(episode)
    buffer, rows = learner.model.buffer, np.flatnonzero(episode.kept)
    assert buffer.size() == len(rows) == 11
    np.testing.assert_array_equal(buffer.observations[:11, 0], episode.observations[:-1][rows])
    np.testing.assert_array_equal(buffer.next_observations[:11, 0], episode.observations[1:][rows])
    np.testing.assert_array_equal(buffer.rewards[:11, 0], episode.rewards[rows])
    ends = [10, int(np.flatnonzero(~episode.kept)[0]) - 1]  # the last, and the one before what was left out
    assert sorted(np.flatnonzero(buffer.dones[:11, 0])) == sorted(ends) and buffer.timeouts[10, 0] == 1


def test_no_update_is_owed_before_there_were_steps_enough() -> None:
    learner = EpisodeLearner(config(warmup_steps=20), SIZES)
    learner.add(practised(0))
    assert learner.owed == 0 and learner.update(5) == 0
    learner.add(practised(1))
    assert learner.owed == 18


@pytest.mark.parametrize("made", [0, 7, 18, 30])
def test_a_checkpoint_in_the_midst_of_what_is_owed_goes_on_as_unbroken(tmp_path: Path, made: int) -> None:
    whole = learned([])
    broken = EpisodeLearner(config(), SIZES)
    for seed in range(2):
        broken.add(practised(seed))
    while broken.updates < made:
        broken.update(made - broken.updates)
    broken.save(tmp_path, 2, {"mine": 1})
    again = EpisodeLearner(config(), SIZES)
    found = last_checkpoint(tmp_path)
    assert found is not None and again.restore(found)["mine"] == 1
    while again.owed:
        again.update(4)
    assert_alike(again, whole)


def test_noise_is_decided_by_seed_and_episode() -> None:
    drawn = {
        (seed, episode): torch.rand(1, generator=manual_seed(seed, episode)).item()
        for seed in range(3)
        for episode in range(3)
    }
    assert len(set(drawn.values())) == 9 and drawn[1, 2] == torch.rand(1, generator=manual_seed(1, 2)).item()


# --- in a process of its own ------------------------------------------------------------------------------------------


def demonstrations() -> dict[str, np.ndarray]:
    """A full buffer's, as those of demonstrations are."""
    learner = EpisodeLearner(config(), SIZES)
    learner.add(practised(90))
    return learner.model.buffer.arrays() | {"pos": np.array(0)}


def setup(run: Path, schedule: str = "fixed") -> LearnerSetup:
    return LearnerSetup(config(demos=run, reward="none", pretrain=10), SIZES, run, schedule, {"task": "test"})


def fixed(run: Path, kill_after: int = 0) -> list[Any]:
    """Four episodes; the learner may be killed once it has handed an actor over, and another goes on."""
    handed: list[Any] = []
    number, kill = 0, kill_after
    while number < 4:
        with LearnerProcess(setup(run), demonstrations()) as learner:
            handed = handed[: number + 1]
            if not handed:
                handed.append(learner.actor())
            while number < 4:
                learner.add(number + 1, practised(number))
                number += 1
                handed.append(learner.handed_over())
                if number == kill:
                    kill = 0
                    os.kill(learner.pid, signal.SIGKILL)
                    break
            else:
                handed.append(learner.settle(run / "policy"))
    return handed


def test_the_actor_of_an_episode_has_the_updates_owed_for_all_but_the_last_and_a_killed_learner_goes_on(
    tmp_path: Path,
) -> None:
    whole = fixed(tmp_path / "whole")
    assert [one.updates for one in whole] == [0, 0, 18, 36, 54, 72]
    assert [one.owed for one in whole] == [0, 18, 18, 18, 18, 0]
    broken = fixed(tmp_path / "broken", kill_after=2)
    for one, other in zip(whole, broken, strict=True):
        assert all(torch.equal(mine, other.actor[name]) for name, mine in one.actor.items())
    found = [last_checkpoint(tmp_path / name) for name in ("whole", "broken")]
    assert found[0] is not None and found[1] is not None
    assert_same_checkpoints(found[0], found[1])
    told = [
        json.loads((run / "checkpoint.json").read_text())
        for run in (found[0], *(tmp_path / "whole" / "policy").glob("*/*"))
    ]
    assert [one["counters"]["_n_updates"] for one in told] == [54, 72], (
        "what is settled lies apart from where it goes on"
    )


def test_a_free_run_done_again_by_its_counts_gives_the_same_bytes(tmp_path: Path) -> None:
    events = []
    with LearnerProcess(setup(tmp_path, "free"), demonstrations()) as learner:
        learner.actor()
        for number in range(1, 4):
            learner.add(number, practised(number - 1))
            handed = learner.handed_over()
            events.append((handed.updates, practised(number - 1)))
        last = learner.settle(tmp_path / "policy")
    assert last.owed == 0 and events[0][0] == 0
    again = EpisodeLearner(setup(tmp_path, "free").config, SIZES)
    again.demonstrate(demonstrations())
    again.learn_critics()
    replay_updates(again, events)
    assert again.updates == last.updates
    assert all(torch.equal(mine, last.actor[name]) for name, mine in again.actor().items())
    with pytest.raises(ValueError, match="updates are asked for"):
        replay_updates(again, [(again.updates + 1, practised(3))])


def test_what_goes_wrong_beside_is_told(tmp_path: Path) -> None:
    with LearnerProcess(setup(tmp_path), demonstrations()) as learner:
        learner.actor()
        learner.add(3, practised(0))
        assert learner.handed_over().given == (3,)
        learner.add(2, practised(0))
        with pytest.raises(UserError, match="episode 2 came after episode 3"):
            learner.handed_over()
        with pytest.raises(ProcessGone, match="learner, has ended"):
            learner.actor()
    with pytest.raises(UserError, match="no schedule 'fast'; there is fixed, free"):
        setup(tmp_path, "fast")
    with pytest.raises(ValueError, match="an episode of 12 rewards: 12 observations"):
        one = practised(0)
        PractisedEpisode(one.observations[1:], one.residuals, one.rewards, one.kept, True)


# --- what a hand did --------------------------------------------------------------------------------------------------


def led(seed: int, *steps: int) -> PractisedEpisode:
    episode = practised(seed)
    flags = np.zeros(len(episode.rewards), bool)
    flags[list(steps)] = True
    return dataclasses.replace(episode, led=flags, kept=np.ones(len(flags), bool))


@pytest.mark.parametrize("demonstrated", [False, True])
def test_steps_led_by_a_hand_stand_among_the_demonstrations_too(demonstrated: bool) -> None:
    learner = EpisodeLearner(config(demos=Path("some"), reward="none") if demonstrated else config(), SIZES)
    if demonstrated:
        learner.demonstrate(demonstrations())
    before = learner._shown.size()
    one = led(2, 2, 3, 4, 10, 11)  # a success at its end
    learner.add(one)
    learner.add(led(1))
    buffer = learner._shown
    assert learner.model.buffer.demonstrations is buffer and buffer.size() == before + 5
    rows = slice(before, before + 5)
    np.testing.assert_array_equal(buffer.observations[rows, 0], one.observations[[2, 3, 4, 10, 11]])
    np.testing.assert_array_equal(buffer.rewards[rows, 0], one.rewards[[2, 3, 4, 10, 11]])
    assert buffer.dones[rows, 0].tolist() == [0, 0, 1, 0, 1]
    assert buffer.timeouts[rows, 0].tolist() == [0, 0, 1, 0, 0], "where the hand let go the episode went on"
    assert learner.model.buffer.size() == 24, "they are what was practised as well"


def test_what_hands_showed_is_kept_with_the_checkpoint(tmp_path: Path) -> None:
    whole = EpisodeLearner(config(), SIZES)
    whole.add(led(0, 3, 4))
    whole.save(tmp_path, 1, {})
    again, found = EpisodeLearner(config(), SIZES), last_checkpoint(tmp_path)
    assert found is not None
    again.restore(found)
    for learner in (whole, again):
        torch.manual_seed(1)
        np.random.seed(1)
        learner.add(led(1, 7))
        while learner.owed:
            learner.update(50)
    assert_alike(whole, again)
    assert whole._shown.size() == again._shown.size() == 3
