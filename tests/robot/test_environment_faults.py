"""FrankaEnv on a toy arm: what is seen, sent and kept, how episodes end, and what happens when something is gone."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from robot.action import NOTHING, ROTATION_FACTOR, STEP, composed, turn_base_of
from robot.arm import ArmFeatures, Mode
from robot.clock import WallClock
from robot.commands.run import watched
from robot.environment import FrankaEnv, Stopped
from robot.operator import Answer, Mark
from robot.pose import angle_between
from robot.session import no_residual, one_episode, told
from tests.toy_arm import HOME, ToyArm, ToyClock
from tests.toy_station import Forward, ToyCamera, ToyOperator
from tracking.errors import UserError


class Table:
    """Everything of a session, at hand."""

    def __init__(self, operator: ToyOperator | None = None, **more) -> None:
        self.clock = ToyClock(5.0)
        self.arm, self.operator = ToyArm(self.clock), operator or ToyOperator()
        self.cameras = [ToyCamera(name, self.clock) for name in ("world", "wrist")]
        self.base = Forward()
        self.env = FrankaEnv(
            self.arm, self.cameras, self.base, self.operator, clock=self.clock, task="toy", **{"step_limit": 10, **more}
        )

    def steps(self, count: int, residual=None):
        found = [self.env.step(no_residual({}) if residual is None else residual) for _ in range(count)]
        return found[-1]


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
    np.testing.assert_allclose(sent.pose.position - before.position, STEP * wanted[:3], atol=1e-9)
    assert sent.width == pytest.approx(0.04)


def test_a_residual_outside_its_range_is_recorded_as_the_turn_that_was_made() -> None:
    table = Table()
    one_episode(table.env, 0, lambda _: np.array([4, 0, 0, 0, 0, 0.3, 3, -2], np.float32))
    assert table.env.finished is not None
    recorded = table.env.finished.residual_actions[0]
    np.testing.assert_allclose(recorded, [1, 0, 0, 0, 0, 0.1, 1, -1], atol=1e-6)
    made = turn_base_of(table.env.finished.executed_actions[0]).as_rotvec()
    np.testing.assert_allclose(made, 0.1 * ROTATION_FACTOR * turn_base_of(recorded).as_rotvec(), atol=1e-6)


@pytest.mark.parametrize("clock", [ToyClock, WallClock])
def test_garbage_is_collected_before_an_episode_that_a_wall_clock_drives_and_not_in_its_middle(clock: type) -> None:
    table = Table()
    table.env.clock = clock()
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
    assert episode.about["overruns"] == 0 and episode.about["task"] == "toy" and episode.about["held"] == {}


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
    observation, _ = table.env.reset()
    np.testing.assert_allclose(observation["pose"][:3], HOME.position, atol=1e-6)
    assert table.base.resets == [0, 1] and len(table.env.kept) == 0


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
    assert episode is not None and episode.about["held"] == {"bad action": 2}
    poses = episode.states[:, :3]
    sent = {round(time - 5.0, 6): target for time, target in table.arm.sent}
    for k in range(len(episode)):
        target = sent.get(round(episode.times[k], 6))
        by = episode.executed_actions[k, :3] * STEP
        np.testing.assert_allclose(by, 0 if target is None else target.pose.position - poses[k], atol=1e-9)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf, np.nan])
def test_an_action_that_is_not_finite_is_named_and_nothing_is_sent(infinite: float) -> None:
    table = Table()
    table.base.action = np.array([infinite, *NOTHING[1:]], np.float32)
    table.env.reset(seed=0)
    *_, info = table.steps(1)
    assert info["event"].kind == "bad action" and table.arm.sent == []


def test_a_picture_that_is_too_old_is_marked_and_holds_the_arm() -> None:
    table = Table()
    table.env.reset(seed=0)
    table.steps(2)
    table.cameras[1].frozen = True
    *_, info = table.steps(1)
    assert info["stale"] == ("wrist",) and info["event"] is None, "seen after the command of that step went out"
    sent = len(table.arm.sent)
    *_, info = table.steps(1)
    assert info["event"].kind == "stale picture" and len(table.arm.sent) == sent
    table.cameras[1].frozen = False
    table.steps(1)
    *_, info = table.steps(1)
    assert info["event"] is None and len(table.arm.sent) == sent + 1
    while not table.steps(1)[3]:
        pass
    assert table.env.finished is not None and table.env.finished.about["stale"] == {"wrist": [3, 4]}


def test_a_camera_that_is_gone_ends_the_episode_which_is_whole_up_to_there() -> None:
    table = Table()
    table.env.reset(seed=0)
    table.steps(2)
    table.cameras[0].gone = True
    *_, terminated, truncated, info = table.steps(1)
    assert truncated and not terminated and info["event"].kind == "camera error" and info["event"].ask
    episode = table.env.finished
    assert episode is not None and len(episode) == 3 and (np.diff(episode.times) > 0).all()
    assert episode.about["fault"].startswith("camera error")
    table.operator.when_asked = lambda question: setattr(table.cameras[0], "gone", False)
    table.env.reset()
    assert "camera world is gone" in table.operator.asked[-2], "asked to mend it, then to put things back"


SMALL, GREY = np.full((8, 8, 3), 9, np.uint8), np.full((16, 16), 9, np.uint8)


@pytest.mark.parametrize(("kind", "image"), [("bad picture", SMALL), ("bad picture", GREY), ("bad state", None)])
def test_what_no_episode_can_hold_ends_one_that_is_whole_up_to_there(kind: str, image: np.ndarray | None) -> None:
    table = Table()
    table.env.reset(seed=0)
    table.steps(2)
    if image is None:
        table.arm.wrong = {"width": np.nan}
    else:
        latest = table.cameras[0].latest
        table.cameras[0].latest = lambda: replace(latest(), image=image)  # type: ignore[method-assign]
    *_, terminated, truncated, info = table.steps(1)
    assert truncated and not terminated and info["event"].kind == kind and info["event"].ask
    episode = table.env.finished
    assert episode is not None and len(episode) == 3 and np.isfinite(episode.states).all()
    assert episode.about["fault"].startswith(kind)


def test_an_arm_s_error_is_cleared_by_the_operator_s_word_alone() -> None:
    table = Table(ToyOperator(answers=(Answer.GO, Answer.GO, Answer.GO, Answer.RECOVER)))
    table.env.reset(seed=0)
    table.steps(2)
    table.arm.mode = Mode.REFLEX
    *_, truncated, info = table.steps(1)[1:]
    assert truncated and info["event"].kind == "arm error" and table.arm.recovers == 0
    table.env.reset()  # answers: GO (still in reflex), GO (again), RECOVER, then GO for the scene
    assert table.arm.recovers == 1 and table.env.guard.latched is None
    asked = [question for question in table.operator.asked if question.startswith("arm error")]
    assert len(asked) == 3


def test_why_the_arm_did_not_recover_is_said() -> None:
    table = Table(ToyOperator(answers=(Answer.RECOVER, Answer.RECOVER)))
    table.arm.mode = Mode.REFLEX
    table.arm.raising = {"recover"}
    table.operator.when_asked = lambda _: table.arm.raising.clear() if len(table.operator.asked) == 2 else None
    table.env.reset(seed=0)
    assert table.operator.said == ["not recovered: the toy was told to fail at recover"] and table.arm.recovers == 1


def test_quitting_is_said_by_an_exception_and_nothing_moves_after_it() -> None:
    table = Table(ToyOperator(answers=(Answer.QUIT,)))
    with pytest.raises(Stopped):
        table.env.reset(seed=0)
    assert table.arm.sent == []


def test_a_policy_of_another_arm_is_refused_by_name() -> None:
    table = Table()
    table.base.action = np.zeros(9, np.float32)
    with pytest.raises(UserError, match=r"shape \(9,\): this arm takes 8"):
        table.env.reset(seed=0)


def broken(table: Table, where: str, error: BaseException) -> None:
    def raising(*_: object) -> None:
        raise error

    target = {"act": table.base, "mark": table.operator, "latest": table.cameras[1], "sleep_until": table.clock}[where]
    setattr(target, where, raising)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["ctrl_c", "error"])
@pytest.mark.parametrize("where", ["act", "mark", "latest", "sleep_until"])
def test_whatever_is_raised_in_a_step_the_arm_is_held_first(where: str, error: BaseException) -> None:
    table = Table()
    table.env.reset(seed=0)
    table.steps(2)
    stops = len(table.arm.stops)
    broken(table, where, error)
    with pytest.raises(type(error)):
        table.steps(1)
    assert len(table.arm.stops) > stops and table.arm.stops[-1] >= table.arm.sent[-1][0]
    with pytest.raises(ResetNeeded):
        table.steps(1)


def test_closed_it_holds_the_arm() -> None:
    table = Table()
    table.env.reset(seed=0)
    table.steps(2)
    table.env.close()
    assert table.arm.stops[-1] >= table.arm.sent[-1][0]
    with pytest.raises(ResetNeeded):
        table.steps(1)


def test_a_base_turn_that_is_no_unit_quaternion_is_the_turn_it_says() -> None:
    table = Table()
    table.base.action = np.array([0, 0, 0, 0.3, 0, 0, 3, 0], np.float32)
    observation, _ = table.env.reset(seed=0)
    before = table.arm.state().pose
    table.steps(1)
    assert angle_between(before, table.arm.sent[0][1].pose) == pytest.approx(2 * np.arctan(0.1), abs=1e-6)
    assert table.env.observation_space.contains(observation)


def test_no_more_than_the_whole_of_a_residual_counts() -> None:
    table = Table()
    table.env.reset(seed=0)
    before = table.arm.state().pose
    table.steps(1, np.array([100, 0, 0, 0, 0, 0, 1, 0], np.float32))
    assert table.arm.sent[0][1].pose.position[0] - before.position[0] == pytest.approx(STEP * 0.3)


def test_a_state_that_is_too_old_is_marked_in_the_last_view_too() -> None:
    table = Table(ToyOperator({3: Mark.SUCCESS}))
    table.env.reset(seed=0)
    table.steps(2)
    table.arm.late = 0.5
    *_, info = table.steps(1)
    assert info["stale"] == ("state",) and table.env.finished is not None
    assert table.env.finished.about["stale"] == {"state": [3]}


def test_leaving_a_session_holds_the_arm_before_anything_else_is_let_go() -> None:
    table = Table()
    left: list[tuple[str, int]] = []
    with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
        stack.callback(lambda: left.append(("cameras", len(table.arm.stops))))
        stack.enter_context(watched(table.env, wall=False))
        table.env.reset(seed=0)
        table.steps(2)
        before = len(table.arm.stops)
        raise KeyboardInterrupt
    assert left == [("cameras", before + 1)]


def test_after_a_mark_the_arm_is_held_before_cameras_are_looked_at() -> None:
    table = Table(ToyOperator({2: Mark.FAILURE}))
    table.env.reset(seed=0)
    table.steps(1)
    order: list[str] = []
    stop, latest = table.arm.stop, table.cameras[0].latest
    table.arm.stop = lambda: (order.append("stop"), stop())[1]  # type: ignore[method-assign]
    table.cameras[0].latest = lambda: (order.append("look"), latest())[1]  # type: ignore[method-assign]
    table.steps(1)
    assert order[0] == "stop" and "look" in order


def test_after_the_end_nothing_moves_until_reset() -> None:
    table = Table(ToyOperator({2: Mark.SUCCESS}))
    one_episode(table.env, 0)
    sent = len(table.arm.sent)
    with pytest.raises(ResetNeeded):
        table.steps(1)
    assert len(table.arm.sent) == sent


def test_a_fault_in_the_last_view_comes_before_the_mark() -> None:
    table = Table(ToyOperator({3: Mark.SUCCESS}))
    table.env.reset(seed=0)
    table.steps(2)
    table.arm.errors = ("joint_reflex",)
    *_, terminated, truncated, info = table.steps(1)
    episode = table.env.finished
    assert not terminated and truncated and info["event"].kind == "arm error"
    assert episode is not None and not episode.success and "joint_reflex" in told(episode)
    assert episode.about["mark"] == "", "it was overruled"


def test_an_arm_that_is_not_well_is_asked_about_before_it_goes_home() -> None:
    table = Table(ToyOperator(answers=(Answer.RECOVER,)))
    table.arm.mode = Mode.REFLEX
    home, modes = table.arm.home, []
    table.arm.home = lambda: (modes.append(table.arm.mode), home())[1]  # type: ignore[method-assign]
    table.env.reset(seed=0)
    assert modes == [Mode.IDLE] and table.operator.asked[0].startswith("arm error")


def test_a_real_arm_goes_home_only_when_a_person_says_that_its_way_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(ToyOperator(answers=(Answer.QUIT,)))
    monkeypatch.setattr(ToyArm, "features", ArmFeatures("real", real=True, home=HOME))
    table.arm.home = lambda: pytest.fail("it went home")  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        table.env.reset(seed=0)
    assert "way free" in table.operator.asked[0]


def test_steps_at_which_nothing_was_sent_are_flagged() -> None:
    table = Table(step_limit=5)
    table.env.reset(seed=0)
    calm = table.base.action
    for step in range(5):
        table.base.action = np.full(8, np.nan, np.float32) if step == 1 else calm
        table.steps(1)
    about = table.env.finished.about  # type: ignore[union-attr]
    assert about["unsent"] == [False, False, True, False, False]
    assert len(about["sent_times"]) == 5 and len(about["state_times"]) == len(about["joints"]) == 6
    assert about["arm"] == "toy"
