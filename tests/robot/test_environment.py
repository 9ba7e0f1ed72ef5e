"""FrankaEnv on a toy arm: what is seen, sent and kept, and how episodes end."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from mpr.core.data.step_log import count_texts
from mpr.core.errors import UserError
from rl.environments.starts import SEEDS_BY_ROLE
from robot.environment import FrankaEnv
from robot.hardware.action import NOTHING, ROTATION_FACTOR, STEP_M, composed, turn_base_of
from robot.hardware.clock import WallClock
from robot.hardware.counting import FROM_LAST, FROM_MEASURED
from robot.session import ArmResidual, one_episode
from robot.station import StationConfig
from robot.teleop.operator import Mark
from tests.robot.table import Table
from tests.toy_arm import HOME, ToyClock
from tests.toy_station import Forward, ToyOperator


def test_an_observation_is_what_the_base_policy_was_shown_at_that_very_beat() -> None:
    table = Table()
    observation, info = table.env.reset(seed=3)
    assert table.env.observation_space.contains(observation) and info["stale"] == ()
    for _ in range(3):
        observation, *_ = table.steps(1)
        np.testing.assert_array_equal(observation["pose"], table.base.states[-1][:7])
        np.testing.assert_array_equal(observation["world"], table.base.shown[-1]["world"])
        np.testing.assert_array_equal(observation["base_action"], table.base.action)
    assert table.base.resets == [3] and table.operator.seeds == [3]
    assert len({shown["wrist"].tobytes() for shown in table.base.shown}) == 4, "each beat looks anew"


def test_what_is_sent_is_base_and_residual_composed_from_the_measured_pose() -> None:
    table = Table()
    table.env.reset(seed=0)
    before = table.arm.state().pose
    residual = np.array([0.5, -1, 0, 0, 0, 0, 1, 0], np.float32)
    table.steps(1, residual)
    (_, sent), *_ = table.arm.sent
    wanted = composed(table.base.action, residual, 0.1)
    np.testing.assert_allclose(sent.pose.position - before.position, STEP_M * wanted[:3], atol=1e-9)
    assert sent.width == pytest.approx(0.04)


class Always(ArmResidual):
    def __init__(self, residual: np.ndarray) -> None:
        self.residual = residual

    def act(self, observation) -> np.ndarray:
        return self.residual


def test_a_residual_outside_its_range_is_recorded_as_the_turn_that_was_made() -> None:
    table = Table()
    one_episode(table.env, 0, Always(np.array([4, 0, 0, 0, 0, 0.3, 3, -2], np.float32)))
    assert table.env.finished is not None
    recorded = table.env.finished.residual_actions[0]
    np.testing.assert_allclose(recorded, [1, 0, 0, 0, 0, 0.1, 1, -1], atol=1e-6)
    made = turn_base_of(table.env.finished.executed_actions[0]).as_rotvec()
    np.testing.assert_allclose(made, 0.1 * ROTATION_FACTOR * turn_base_of(recorded).as_rotvec(), atol=1e-6)


@pytest.mark.parametrize("clock", [ToyClock, WallClock])
def test_garbage_is_collected_before_an_episode_that_a_wall_clock_drives_and_not_in_its_middle(clock: type) -> None:
    table = Table()
    table.env.clock = clock()
    gc.unfreeze()  # what the tests themselves have set aside
    try:
        table.env.reset(seed=0)
        assert bool(gc.get_freeze_count()) == (clock is WallClock)
    finally:
        gc.unfreeze()


def test_closed_after_the_arm_was_left_it_tells_no_false_alarm() -> None:
    table = Table()
    one_episode(table.env, 0)
    table.arm.raising.add("stop")  # as an arm that is not connected any more
    table.env.close()
    assert table.env.guard.latched is None


def test_threads_that_a_collection_stopped_have_read_again_before_the_first_look(monkeypatch) -> None:
    class Wall(ToyClock, WallClock):
        def sleep_until(self, deadline: float) -> None:
            super().sleep_until(deadline)
            table.arm.late = 0.0

    def collected() -> None:
        table.clock.advance(0.3)
        table.arm.late = 0.3  # what its thread read before

    table = Table()
    table.clock.__class__ = Wall
    monkeypatch.setattr("robot.environment.collect_now", collected)
    assert table.env.reset(seed=0)[1]["stale"] == ()
    assert table.steps(1)[4]["event"] is None


def test_commands_keep_to_the_beat_and_times_are_measured() -> None:
    table = Table()
    episode, mark = one_episode(table.env, 0)
    times = [time for time, _ in table.arm.sent]
    np.testing.assert_allclose(np.diff(times), 0.1, atol=1e-9)
    assert (len(episode), mark, episode.truncated, episode.terminated) == (10, None, True, False)
    np.testing.assert_allclose(episode.times, np.arange(11) / 10, atol=1e-9)
    assert episode.about["overruns"] == 0 and episode.task == "toy" and count_texts(episode.log.held) == {}


@pytest.mark.parametrize(
    ("mark", "terminated"), [(Mark.SUCCESS, True), (Mark.FAILURE, False), (Mark.REDO, False), (Mark.QUIT, False)]
)
def test_the_operator_s_mark_ends_an_episode_and_success_alone_terminates(mark: Mark, terminated: bool) -> None:
    table = Table(ToyOperator({4: mark}))
    episode, said = one_episode(table.env, 0)
    assert said is mark and len(episode) == 4
    assert (episode.terminated, episode.truncated, episode.success) == (terminated, not terminated, terminated)
    assert table.arm.stops[-1] == table.clock.now() > table.arm.sent[-1][0], "it holds where the episode ended"


def test_the_next_episode_begins_at_home_with_nothing_of_the_last() -> None:
    table = Table(ToyOperator({4: Mark.SUCCESS}))
    one_episode(table.env, 0)
    assert table.arm.state().pose.position[0] > HOME.position[0] + 0.005
    observation, info = table.env.reset()
    np.testing.assert_allclose(observation["pose"][:3], HOME.position, atol=1e-6)
    assert table.base.resets == table.operator.seeds == [0, info["seed"]] and len(table.env.buffer) == 0
    assert info["seed"] == table.env.seed and info["seed"] in SEEDS_BY_ROLE["training"]


def test_executed_actions_are_what_was_sent_and_a_held_step_stays() -> None:
    table = Table()
    table.base.action = np.array([1, *NOTHING[1:]], np.float32)
    table.env.reset(seed=0)
    table.steps(3)
    table.base.action = np.array([np.nan, *NOTHING[1:]], np.float32)
    table.steps(1)
    *_, info = table.steps(1)  # the action of the observation before was not finite
    assert info["event"].kind == "bad action" and not info["event"].ask
    table.base.action = Forward().action
    while not table.steps(1)[3]:
        pass
    episode = table.env.finished
    assert episode is not None and count_texts(episode.log.held) == {"bad action": 2}
    poses = episode.states[:, :3]
    sent = {round(time - 5.0, 6): target for time, target in table.arm.sent}
    for k in range(len(episode)):
        target = sent.get(round(episode.times[k], 6))
        by = episode.executed_actions[k, :3] * STEP_M
        np.testing.assert_allclose(by, 0 if target is None else target.pose.position - poses[k], atol=1e-9)


def test_an_episode_s_actions_are_in_the_terms_that_its_targets_count_by() -> None:
    for targets in (FROM_MEASURED, FROM_LAST):
        table = Table(targets=targets, step_limit=6)
        table.arm.lag = 0.5
        episode, _ = one_episode(table.env, 0)
        assert episode.about["targets"] == targets
        np.testing.assert_allclose(episode.executed_actions[:, 0], table.base.action[0], atol=1e-6)
        gone = table.arm.sent[-1][1].pose.position[0] - table.arm.sent[0][1].pose.position[0]
        assert (gone > 0.9 * 5 * 0.2 * STEP_M) == (targets == FROM_LAST)


def test_a_base_policy_whose_actions_count_otherwise_is_refused() -> None:
    table = Table()
    table.base.targets = FROM_MEASURED  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="--targets last: this base policy's actions count from the measured pose"):
        FrankaEnv(table.arm, table.cameras, table.base, table.operator, clock=table.clock, targets=FROM_LAST)
    with pytest.raises(UserError, match="no targets 'next'; there is measured, last"):
        StationConfig(targets="next")
