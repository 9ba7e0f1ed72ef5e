"""Environments play episodes of their own: which start each reset plays, alone and in vector environments."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import ConvertCallback, EvalCallback
from stable_baselines3.common.env_checker import check_env as sb3_check
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor, VecNormalize

from mpr.core.errors import UserError
from rl.environments.residual import ResidualEnvironment
from rl.environments.starts import FIRST_SEED, SEEDS_BY_ROLE, InTurn, Starts, _process_number, learners_start
from rl.policies.base_policy import ZeroPolicy
from rl.residual.algorithm import ResidualSAC
from tests.toy_reach import Chunked, Reach, wrapped
from tests.toy_starts import blinking, makers

SEEDS = st.one_of(st.integers(0, 1_000_000), st.integers(0, 2**64))


def played(starts: Starts, seed: int | None, count: int) -> list[int]:
    return [starts.begin(seed), *(starts.begin(None) for _ in range(count - 1))]


# The law


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(sorted(SEEDS_BY_ROLE)), st.integers(2, 8), st.integers(2, 150))
def test_neighbouring_seeds_meet_no_start_twice_and_stay_within_their_role(seed, role, count, episodes):
    each = [played(Starts(role), seed + k, episodes) for k in range(count)]
    assert [starts[0] for starts in each] == [seed + k for k in range(count)]
    assert all(start in SEEDS_BY_ROLE[role] for starts in each for start in starts[1:])
    assert len({start for starts in each for start in starts}) == count * episodes
    again = [played(Starts(role), seed + k, episodes) for k in range(count)]
    assert again == each  # whoever was there before is gone


def test_eight_environments_meet_no_start_twice_in_six_thousand_episodes_each():
    """Past the first 4,900, whose last two digits are their seed's."""
    each = [played(Starts(number=k), 10_000 + k, 6_000) for k in range(8)]
    assert len({start for starts in each for start in starts}) == 48_000


@settings(max_examples=5, deadline=None)
@given(SEEDS, st.integers(2, 8), st.integers(2, 150))
def test_those_seeded_alike_begin_alike_and_go_apart(seed, count, episodes):
    alike = [Starts() for _ in range(count)]
    each = [played(starts, seed, episodes) for starts in alike]
    assert {starts[0] for starts in each} == {seed}
    assert len({start for starts in each for start in starts}) == 1 + count * (episodes - 1)
    assert [played(starts, seed, episodes) for starts in alike] == each  # the same environment, seeded so again


def test_a_number_that_is_asked_for_is_the_one_used():
    counted = Starts()
    first = played(counted, 12_345, 20)
    assert played(Starts(number=0), 12_345, 20) == first != played(Starts(number=1), 12_345, 20)
    counted.close()
    assert played(Starts(), 12_345, 20) == first


def test_unseeded_environments_take_their_streams_from_entropy():
    each = [played(Starts(), None, 100) for _ in range(8)]
    alive = [Starts() for _ in range(8)]
    together = [played(starts, None, 100) for starts in alive]
    assert len({start for starts in together for start in starts}) == 800
    assert len({tuple(starts) for starts in each + together}) == 16
    assert all(start in SEEDS_BY_ROLE["training"] for starts in each for start in starts)


def test_a_copy_is_an_environment_of_its_own():
    for seed in (None, 10_007):
        starts = Starts()
        played(starts, seed, 5)
        other = copy.deepcopy(starts)
        assert not {starts.begin(None) for _ in range(50)} & {other.begin(None) for _ in range(50)}


def _number(queue: Any) -> None:
    queue.put(_process_number())


def _numbers_of_forks(queue: Any) -> None:
    """Of two bare forks, and of a child that multiprocessing forks."""
    for _ in range(2):
        if os.fork() == 0:
            _number(queue)
            queue.close()
            queue.join_thread()
            os._exit(0)
        os.wait()
    child = multiprocessing.get_context("fork").Process(target=_number, args=(queue,))
    child.start()
    child.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_no_two_processes_have_a_number_in_common() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_numbers_of_forks, args=(queue,))
    child.start()
    told = [queue.get(timeout=60) for _ in range(3)]
    child.join()
    own = child._identity[-1]  # type: ignore[attr-defined]
    assert len({0, own, *told}) == 5, "the process, its child, and the three that the child made"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("seed", [10_000, None])
def test_a_copy_behind_a_bare_fork_has_a_stream_of_its_own(seed: int | None) -> None:
    """Two children, a child of the first, and the process itself: no start twice."""
    starts = Starts("training")
    starts.begin(seed)

    def drawn() -> list[int]:
        return [starts.begin(None) for _ in range(50)]

    def forked(work: Callable[[], list[int]]) -> list[int]:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        os.wait()
        return json.loads(os.read(reading, 1 << 16))

    played = [*forked(lambda: drawn() + forked(drawn)), *forked(drawn), *drawn()]
    assert len(played) == 200 == len(set(played))


@pytest.mark.parametrize("seed", [None, 10_007])
@pytest.mark.parametrize("kind", [Starts, InTurn])
def test_what_is_practised_next_is_the_same_before_and_after_its_reset(kind: type[Starts], seed: int | None):
    """An episode may be saved before the next is reset to, or after it, and once more after it was resumed."""
    starts = kind()
    played(starts, seed, 3)
    starts.practise()
    before = starts.upcoming()
    assert starts.upcoming() == before and before["start"] != starts.start, "to ask draws none"
    assert starts.begin(None) == before["start"] and starts.upcoming() == starts.state() == before
    expected = [starts.start, *(starts.begin(None) for _ in range(5))]
    resumed = kind()
    resumed.practise()
    resumed.restore(json.loads(json.dumps(before)))
    assert resumed.upcoming() == before
    assert [resumed.begin(before["start"]), *(resumed.begin(None) for _ in range(5))] == expected


@pytest.mark.parametrize("seed", [None, 10_007])
def test_a_stream_resumes_with_the_start_that_was_to_be_played(seed):
    whole = Starts()
    played(whole, seed, 7)
    state = json.loads(json.dumps(whole.state()))
    expected = [whole.start, *(whole.begin(None) for _ in range(10))]
    for asked in (None, state["start"]):
        resumed = Starts()
        resumed.restore(state)
        assert [resumed.begin(asked), *(resumed.begin(None) for _ in range(10))] == expected
    resumed.restore(state)
    assert resumed.begin(20_000) == 20_000  # another seed is another stream
    assert [resumed.begin(None) for _ in range(10)] != expected[1:]


def test_in_turn():
    assert played(InTurn(), 10_500, 3) == [10_500, 10_501, 10_502]
    assert played(InTurn(), None, 2) == [10_000, 10_001]


def test_a_role_that_does_not_exist_is_refused_by_name():
    with pytest.raises(UserError, match=r"no role 'test'.*demonstration, training, evaluation, report"):
        blinking(role="test")


# Environments


def test_a_seeded_reset_plays_that_start_and_every_info_names_it():
    a, b = wrapped(), wrapped()
    for seed in (3, 10_000, 700_123):
        one, told = a.reset(seed=seed)
        assert told["seed"] == a.seed == seed and np.array_equal(one, b.reset(seed=seed)[0])
    one, told = a.reset()
    assert told["seed"] in SEEDS_BY_ROLE["training"] and np.array_equal(one, b.reset(seed=told["seed"])[0])
    assert a.step(np.zeros(2, np.float32))[4]["seed"] == told["seed"]


@pytest.mark.filterwarnings("ignore:.*(infinity|unwrapped version|alternative render modes)")
@pytest.mark.parametrize("check", [gymnasium_check, sb3_check])
@pytest.mark.parametrize("role", sorted(SEEDS_BY_ROLE))
def test_checkers_accept_the_residual_environment(check, role):
    check(ResidualEnvironment(Reach(), Chunked(), role=role))


@pytest.mark.filterwarnings("ignore:.*(infinity|unwrapped version|float64)")
@pytest.mark.parametrize("residual", [False, True])
def test_checkers_accept_the_kitchen(residual):
    pytest.importorskip("gymnasium_robotics")
    from rl.environments.kitchen.environment import KitchenEnvironment

    kitchen = KitchenEnvironment("microwave", step_limit=6)
    kitchen.spec = EnvSpec("mpr/Kitchen-v0", nondeterministic=False)  # without one they do not look at the starts
    environment = ResidualEnvironment(kitchen, ZeroPolicy(9)) if residual else kitchen
    gymnasium_check(environment, skip_render_check=True, skip_close_check=True)
    sb3_check(environment)
    kitchen.reset(seed=500_003)
    observation, told = kitchen.reset()
    assert told["seed"] in SEEDS_BY_ROLE["training"] and told["seed"] % 100 == 3
    assert kitchen.step(np.zeros(9))[4]["seed"] == told["seed"]
    assert np.array_equal(observation, kitchen.reset(seed=told["seed"])[0])


def vectors() -> dict[str, Any]:
    """Name -> how such a vector environment is made of functions."""
    made = {"alone": lambda fns: [fn() for fn in fns], "DummyVecEnv": DummyVecEnv, "SyncVectorEnv": SyncVectorEnv}
    made["VecNormalize"] = lambda fns: VecNormalize(VecMonitor(DummyVecEnv(fns)))
    made["SubprocVecEnv"] = lambda fns: SubprocVecEnv(fns, start_method="fork")
    for context in ("fork", "spawn"):
        made[f"AsyncVectorEnv, {context}"] = lambda fns, context=context: AsyncVectorEnv(fns, context=context)
    return made


def starts_played(vector: Any, seed: int | None, episodes: int) -> list[list[int]]:
    """[episodes][environments] whatever vector environment it is."""
    found = []
    if isinstance(vector, list):
        for n in range(episodes):
            seeds = [None if seed is None or n else seed + k for k in range(len(vector))]
            found.append([env.reset(seed=s)[1]["seed"] for env, s in zip(vector, seeds, strict=True)])
            for env in vector:
                env.step(env.action_space.sample())
    elif hasattr(vector, "single_action_space"):
        _, told = vector.reset(seed=seed)
        found.append(list(told["seed"]))
        for _ in range(episodes - 1):
            vector.step(vector.action_space.sample())
            found.append(list(vector.step(vector.action_space.sample())[4]["seed"]))  # the step after the last resets
    else:
        if seed is not None:
            vector.seed(seed)
        vector.reset()
        found.append([told["seed"] for told in vector.unwrapped.reset_infos])
        for _ in range(episodes - 1):
            vector.step(np.zeros((vector.num_envs, 1), np.float32))
            found.append([told["seed"] for told in vector.unwrapped.reset_infos])
    return found


@pytest.mark.parametrize("kind", vectors())
def test_environments_and_an_evaluation_one_play_no_start_twice(kind):
    count, episodes, seeds = (2, 20, [None]) if "spawn" in kind else (8, 60, [None, 10_000])
    for seed in seeds:
        vector, evaluation = vectors()[kind](makers(count)), blinking(role="evaluation")
        try:
            training = starts_played(vector, seed, episodes)
        finally:
            _ = [env.close() for env in (vector if isinstance(vector, list) else [vector])]
        evaluated = [start for row in starts_played([evaluation], seed, episodes) for start in row]
        if seed is not None:
            assert training[0] == [seed + k for k in range(count)]
        flat = [int(start) for row in training for start in row]
        assert len(flat) == len(set(flat)) == count * episodes and len(set(evaluated)) == episodes
        assert set(flat) <= set(SEEDS_BY_ROLE["training"])
        assert set(evaluated[1:]) <= set(SEEDS_BY_ROLE["evaluation"])


def test_the_monitor_of_stable_baselines_logs_the_seeds(tmp_path):
    vector = DummyVecEnv([lambda: Monitor(blinking(), str(tmp_path / "log"), info_keywords=("seed",))])
    seeds = [row[0] for row in starts_played(vector, 10_040, 3)]
    vector.close()
    rows = (tmp_path / "log.monitor.csv").read_text().splitlines()[2:]
    assert [int(row.rsplit(",", 1)[1]) for row in rows] == seeds[:2]


# Learners


def practised(model: Any, steps: int, *others: Any) -> list[int]:
    """The seeds of the episodes that a learner plays in so many steps."""
    seeds: list[int] = []

    def note(local: dict[str, Any], _: Any) -> bool:
        seeds.extend(told["seed"] for told in local["infos"])
        return True

    model.learn(steps, callback=[ConvertCallback(note), *others])
    return seeds


def of(kind: Any, environment: Any, seed: int | None) -> Any:
    few = {"learning_starts": 10**6, "buffer_size": 100, "policy_kwargs": {"net_arch": [4]}, "device": "cpu"}
    return kind("MlpPolicy", environment, seed=seed, **few)


def test_a_learners_seed_gives_the_same_episodes_each_time_and_none_of_demonstrations():
    """Whatever else is in use: the second learner is made beside the first."""
    one, other = (of(ResidualSAC, DummyVecEnv(makers(3)), 0) for _ in range(2))
    seeds = practised(one, 30)
    assert seeds == practised(other, 30) and len(set(seeds)) == 30
    assert seeds[:3] == [10_000, 10_001, 10_002] and set(seeds) <= set(SEEDS_BY_ROLE["training"])
    assert not set(seeds) & set(practised(of(ResidualSAC, DummyVecEnv(makers(3)), 1), 30))
    asked = of(ResidualSAC, blinking(role="demonstration"), 7)
    assert asked.env.seed(7) and set(practised(asked, 5)) <= set(SEEDS_BY_ROLE["demonstration"])


@given(st.integers(0, 10_000_000))
def test_every_learners_seed_has_a_start_of_training(seed):
    start = learners_start(seed)
    assert start >= FIRST_SEED and (start == seed or start in SEEDS_BY_ROLE["training"])


@pytest.mark.parametrize("seed", [None, 0])
def test_an_evaluation_callback_meets_other_starts(seed):
    evaluated: list[int] = []
    environment = Monitor(blinking(role="evaluation"))
    evaluate = EvalCallback(environment, eval_freq=5, n_eval_episodes=3, verbose=0)
    step = environment.env.step

    def noted(action: Any) -> Any:
        evaluated.append(environment.get_wrapper_attr("seed"))
        return step(action)

    environment.env.step = noted  # type: ignore[method-assign]
    practice = practised(of(ResidualSAC, blinking(), seed), 20, evaluate)
    assert len(set(practice)) == 20 and len(set(evaluated)) == len(evaluated) == 12
    assert set(evaluated) <= set(SEEDS_BY_ROLE["evaluation"]) and set(practice) <= set(SEEDS_BY_ROLE["training"])


def test_practice_on_demonstrations_starts_is_refused_by_name_unless_asked_for():
    refused = r"training was seeded with 0, a demonstration's start \(0 to 9,999\): seed it with 10,000 or more"
    with pytest.raises(UserError, match=refused):
        practised(of(SAC, blinking(), 0), 5)
    assert practised(of(SAC, blinking(role="demonstration"), 0), 5)[0] == 0
    environment = blinking()
    for seed in (5, 6, 7):  # start by start is asked for
        environment.reset(seed=seed)
        environment.step(np.zeros(1, np.float32))
    environment.reset()
    with pytest.raises(UserError, match="training was seeded with 7"):
        environment.step(np.zeros(1, np.float32))
    environment.reset(seed=10_000)
    environment.step(np.zeros(1, np.float32))
