"""FrankaEnv when something is gone, wrong or over: what holds the arm, ends an episode, and who is asked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from mpr.core.errors import UserError
from robot.environment import Stopped
from robot.hardware.action import NOTHING, STEP_M
from robot.hardware.arm import ArmFeatures, Mode
from robot.hardware.pose import angle_between
from robot.recording.flags import flags
from robot.session import episode_summary, one_episode, watch_session
from robot.setting import ROBOT_RATE_HZ
from robot.teleop.operator import Answer, Mark
from tests.robot.table import Table
from tests.toy_arm import HOME, ToyArm
from tests.toy_station import ToyOperator


@pytest.mark.parametrize("infinite", [np.inf, -np.inf, np.nan])
def test_an_action_that_is_not_finite_is_named_and_nothing_is_sent(infinite: float) -> None:
    table = Table()
    table.base.action = np.array([infinite, *NOTHING[1:]], np.float32)
    table.env.reset(seed=0)
    *_, info = table.steps(1)
    assert info["event"].kind == "bad action" and table.arm.sent == []


def test_an_image_that_is_too_old_is_marked_and_holds_the_arm() -> None:
    table = Table()
    table.env.reset(seed=0)
    table.steps(2)
    table.cameras[1].frozen = True
    *_, info = table.steps(1)
    assert info["stale"] == ("wrist",) and info["event"] is None, "seen after the command of that step went out"
    sent = len(table.arm.sent)
    *_, info = table.steps(1)
    assert info["event"].kind == "stale image" and len(table.arm.sent) == sent
    table.cameras[1].frozen = False
    table.steps(1)
    *_, info = table.steps(1)
    assert info["event"] is None and len(table.arm.sent) == sent + 1
    while not table.steps(1)[3]:
        pass
    assert table.env.finished is not None
    assert {name: np.flatnonzero(at).tolist() for name, at in table.env.finished.log.stale.items()} == {"wrist": [3, 4]}


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


@pytest.mark.parametrize(("kind", "image"), [("bad image", SMALL), ("bad image", GREY), ("bad state", None)])
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
    assert table.arm.sent[0][1].pose.position[0] - before.position[0] == pytest.approx(STEP_M * 0.3)


def test_a_state_that_is_too_old_is_marked_in_the_last_view_too() -> None:
    table = Table(ToyOperator({3: Mark.SUCCESS}))
    table.env.reset(seed=0)
    table.steps(2)
    table.arm.late = 0.5
    *_, info = table.steps(1)
    assert info["stale"] == ("state",) and table.env.finished is not None
    assert {name: np.flatnonzero(at).tolist() for name, at in table.env.finished.log.stale.items()} == {"state": [3]}


def test_leaving_a_session_holds_the_arm_before_anything_else_is_let_go() -> None:
    table = Table()
    left: list[tuple[str, int]] = []
    with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
        stack.callback(lambda: left.append(("cameras", len(table.arm.stops))))
        stack.enter_context(watch_session(table.env, wall=False))
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
    assert episode is not None and not episode.success and "joint_reflex" in episode_summary(episode)
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
    episode = table.env.finished
    assert episode is not None and episode.about["arm"] == "toy" and episode.rate_hz == ROBOT_RATE_HZ
    assert flags(episode)["unsent"].tolist() == [False, False, True, False, False]
    assert set(episode.log.arrays) >= {"sent_s", "late_s", "missed", "met", "state_s", "joints_rad", "frame_s/wrist"}
