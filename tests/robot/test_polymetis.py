"""The Polymetis adapter against its server, in a process of its own, on a stand-in for the polymetis package."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robot.arms.franka import FRANKA_HOME_POSE, FRANKA_HOME_RAD, HAND, StateStamp, applied, inverse, wished
from robot.arms.polymetis import PolymetisArm
from robot.hardware.arm import ArmError, Mode, Target
from robot.hardware.clock import WallClock
from robot.hardware.pose import Pose, angle_between, distance_between
from robot.safety.guard import Guard
from robot.safety.limits import Limits
from tests.robot.fake_polymetis import SERVER, Side
from tests.waiting import until


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    side = Side(tmp_path)
    yield side
    side.process.kill()
    side.process.wait()


def in_thread(call: Callable[[], None]) -> Callable[[], list[str]]:
    """Called there; what it said in the end is asked for here."""
    said: list[str] = []

    def go() -> None:
        try:
            call()
            said.append("done")
        except ArmError as error:
            said.append(str(error))

    threading.Thread(target=go, daemon=True).start()
    return lambda: said


def test_poses_are_of_the_hand_there_and_of_the_flange_here(side: Side):
    with PolymetisArm(port=side.port) as arm:
        state = arm.state()
        assert state.mode is Mode.MOVING and not state.errors and state.width == 0.04
        np.testing.assert_allclose(state.pose.position, [0.4, 0.1, 0.5 - 0.1034], atol=1e-6)  # the flange points down
        sent = arm.send(Target(state.pose, 0.06))
        assert sent.width == 0.06 and distance_between(sent.pose, state.pose) < 1e-9
        _, position, quaternion = next(line for line in side.log() if line[0] == "pose")
        np.testing.assert_allclose(position, [0.4, 0.1, 0.5], atol=1e-6)
        assert abs(abs(quaternion[0]) - 1) < 1e-6  # x first


def test_a_quaternion_that_is_too_long_is_made_one(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(long=True)
        assert abs(np.linalg.norm(arm.state().pose.quaternion) - 1) < 1e-9


def test_nan_is_no_state(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(nan=True)
        with pytest.raises(ArmError, match="the arm's state is none"):
            arm.state()


def test_no_controller_shows_and_is_started_by_recover_alone(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(stopped=True)
        state = arm.state()
        assert state.mode is Mode.OTHER and state.errors == ("no controller runs",) and not state.mode.obeys
        with pytest.raises(ArmError, match="no controller running"):
            arm.send(Target(state.pose, 0.04))
        side.wrong()
        assert side.count("start") == 1 and arm.state().mode is Mode.OTHER
        arm.recover()
        assert side.count("start") == 2 and arm.state().mode is Mode.MOVING


def test_after_a_reflex_home_is_refused_and_moves_nothing(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(stopped=True)
        assert arm.state().mode is Mode.OTHER
        side.wrong()  # Polymetis has cleared the error by itself
        before = side.log()
        for _ in range(2):
            arm.stop()
            with pytest.raises(ArmError, match="let it recover"):
                arm.home()
        assert side.log() == before and arm.state().mode is Mode.OTHER
        arm.recover()
        arm.home()
        assert arm.state().mode is Mode.MOVING


@pytest.mark.parametrize("what, said", [({"error_code": 1}, "error code 1"), ({"time": 5.0}, "stands still")])
def test_home_is_refused_in_a_reflex_that_still_lasts(side: Side, what: dict, said: str):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(**what)
        with pytest.raises(ArmError, match=said):
            arm.home()
        assert side.count("move") == 0 and side.count("start") == 1


def test_a_reflex_while_the_gripper_opens_keeps_the_arm_from_home(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(**{"slow hand": True})
        said = in_thread(arm.home)
        until(lambda: side.count("goto"))
        side.wrong(**{"stopped": True})
        until(said)
        assert "let it recover" in said()[0]
        assert side.count("move") == 0 and side.count("start") == 1 and arm.state().mode is Mode.OTHER


@pytest.mark.parametrize("near", [False, True])
def test_after_a_reflex_on_the_way_home_no_stop_starts_a_controller(side: Side, near: bool):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(**{"slow way": True})
        said = in_thread(arm.home)
        until(lambda: side.count("move"))
        if near:  # so near that the joints do not tell; but the state has stood still, as it does in a reflex
            side.wrong(**{"slow way": True, "time": time.time() + 1})
            until(said)
        side.wrong(stopped=not near)
        until(said)
        assert ("stands still" if near else "rad off") in said()[0]
        until(lambda: arm.state().mode is Mode.OTHER)
        guard = Guard(arm, Limits(), WallClock())
        guard.fault("arm error", said()[0])
        arm.stop()
        time.sleep(0.7)  # the server finds its client silent
        assert side.count("start") == 1 and arm.state().mode is Mode.OTHER and len(guard.log) == 1


def test_a_way_home_whose_state_stands_still_is_not_said_to_be_stopped_before_it_is(side: Side):
    """It may be a reflex, or a net that hangs: no controller may be started, nor is the arm sure to stand."""
    with PolymetisArm(port=side.port) as arm:
        arm._ask("home", joints=list(FRANKA_HOME_RAD))
        side.wrong(**{"slow way": True, "time": 5.0})
        for _ in range(2):
            with pytest.raises(ArmError, match="stands still"):
                arm.stop()
        assert side.count("start") == 1
        side.wrong(**{"slow way": True})
        arm.stop()
        assert side.count("start") == 2  # in place of the way home


@pytest.mark.parametrize("how", ["entered again", "another client"])
def test_entering_starts_no_controller_that_a_reflex_ended(side: Side, how: str):
    arm = PolymetisArm(port=side.port)
    with arm:
        side.wrong(stopped=True)
        assert arm.state().mode is Mode.OTHER
        side.wrong()
    with arm if how == "entered again" else PolymetisArm(port=side.port) as again:
        state = again.state()
        assert state.mode is Mode.OTHER and state.errors == ("no controller runs",) and side.count("start") == 1
        again.recover()
        assert again.state().mode is Mode.MOVING


@pytest.mark.parametrize("what", [{"error_code": 1}, {"time": 5.0}])
def test_entered_in_a_reflex_it_waits_for_recover(side: Side, what: dict):
    side.wrong(**what)
    with PolymetisArm(port=side.port) as arm:
        assert side.count("start") == 0 and not arm.state().mode.obeys
        side.wrong()
        assert arm.state().errors == ("no controller runs",)
        arm.recover()
        assert arm.state().mode is Mode.MOVING and side.count("start") == 1


def test_errors_of_arm_and_gripper_are_named(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(error_code=1)
        assert arm.state().errors == ("error code 1",)
        side.wrong(**{"no gripper": True})
        until(lambda: arm.state().errors)
        assert "the gripper is lost: failed to connect" in arm.state().errors[0]


def test_what_cannot_be_reached_is_an_error(side: Side):
    with PolymetisArm(port=side.port) as arm:
        pose = arm.state().pose
        side.wrong(**{"no inverse": True})
        with pytest.raises(ArmError, match="nothing was sent"):
            arm.send(Target(pose, 0.04))
        with pytest.raises(ArmError, match="finite"):
            arm.send(Target(pose, float("nan")))


def test_a_killed_server_is_an_error_at_once_and_ever_after(side: Side):
    with PolymetisArm(port=side.port) as arm:
        pose = arm.state().pose
        os.kill(side.process.pid, signal.SIGKILL)
        side.process.wait()
        for call in (arm.state, lambda: arm.send(Target(pose, 0.04)), arm.stop, arm.home, arm.recover):
            with pytest.raises(ArmError, match="Polymetis server at"):
                call()


def test_a_server_that_hangs_is_lost_until_recovered(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(slow=0.5)
        for _ in range(2):  # the late answer is not taken for the second question's
            with pytest.raises(ArmError, match="is lost"):
                arm.state()
        side.wrong()
        arm.recover()
        assert arm.state().mode is Mode.MOVING


def test_a_clock_that_stands_still_keeps_its_time(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(time=time.time() + 1)
        first = arm.state().time
        time.sleep(0.02)
        assert arm.state().time == first
        side.wrong(time=time.time() + 2)
        assert arm.state().time > first


def test_held_once_however_often_it_is_said(side: Side):
    with PolymetisArm(port=side.port) as arm:
        arm.stop()  # where its controller started
        assert side.count("joints") == 0
        arm.send(Target(arm.state().pose, 0.04))
        for _ in range(5):
            arm.stop()
        assert side.count("joints") == 2  # by the target, and by the first of the five


@pytest.mark.parametrize("how", ["silent", "gone", "killed"])
def test_without_its_client_the_arm_is_held(side: Side, how: str):
    script = f"""
import sys, time
sys.path.insert(0, {str(Path.cwd())!r})
from robot.arms.polymetis import PolymetisArm
from robot.hardware.arm import Target
arm = PolymetisArm(port={side.port}).__enter__()
arm.send(Target(arm.state().pose, 0.04))
print("sent", flush=True)
if {how!r} != "gone": time.sleep(60)
arm._drop()
"""
    client = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None and client.stdout.readline() == "sent\n"
    if how == "killed":
        client.kill()
    until(lambda: side.count("joints") == 2)  # the target's, and the hold's
    if how == "silent":  # and a word later it is served again
        assert client.poll() is None
    client.kill()
    client.wait()
    with PolymetisArm(port=side.port) as arm:
        assert arm.state().mode is Mode.MOVING


def test_home_opens_goes_there_and_is_controlled_again(side: Side):
    with PolymetisArm(port=side.port) as arm:
        arm.home()
        state = arm.state()
        np.testing.assert_allclose(state.joints, FRANKA_HOME_RAD, atol=1e-6)
        assert state.width == 0.08 and state.mode is Mode.MOVING
        names = [line[0] for line in side.log()]
        assert names.index("goto") < names.index("move") < len(names) - 1 and names[-1] == "start"
        assert all(line[-1] is False for line in side.log() if line[0] in ("goto", "grasp"))
        assert next(line for line in side.log() if line[0] == "move")[2] == {"blocking": False}


def test_a_gripper_that_once_opened_short_is_told_again_on_the_way_home(side: Side, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("robot.arms.polymetis.WAY_HOME", 2.0)
    with PolymetisArm(port=side.port) as arm:
        side.wrong(obstacle=0.05)  # a handle, from within
        arm.send(Target(arm.state().pose, 0.08))
        until(lambda: arm.state().width == 0.05)
        side.wrong()
        arm.home()
        assert arm.state().width == 0.08 and side.count("goto") == 2


def test_stopped_on_its_way_home_it_stays(side: Side):
    with PolymetisArm(port=side.port) as arm:
        side.wrong(**{"slow way": True})
        said = in_thread(arm.home)
        until(lambda: side.count("move"))
        arm.stop()
        until(said)
        assert "stopped" in said()[0] and side.count("start") == 2  # in place of the way home


def test_the_gripper_is_told_what_changed_enough_alone(side: Side):
    with PolymetisArm(port=side.port) as arm:
        pose = arm.state().pose
        for width in (0.041, 0.039, 0.042):
            assert arm.send(Target(pose, width)).width == 0.04
        assert arm.send(Target(pose, 0.005)).width == 0.0
        until(lambda: side.count("grasp") == 1)
        assert side.count("goto") <= 1


def test_wished_widths():
    assert wished(0.5, 0.04, 0.08) == 0.08 and wished(0.009, 0.04, 0.08) == 0.0 and wished(-1, 0.04, 0.08) == 0.0
    assert wished(0.043, 0.04, 0.08) == 0.04 and wished(0.045, 0.04, 0.08) == 0.045
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ArmError):
            wished(bad, 0.04, 0.08)


def test_a_tool_and_its_inverse():
    flange = applied(FRANKA_HOME_POSE, inverse(HAND))
    back = applied(flange, HAND)
    assert distance_between(back, FRANKA_HOME_POSE) < 1e-12 and angle_between(back, FRANKA_HOME_POSE) < 1e-6
    np.testing.assert_allclose(flange.position, FRANKA_HOME_POSE.position + np.array([0, 0, 0.1034]), atol=1e-12)
    assert isinstance(flange, Pose)


def test_a_stamp_is_ours_and_news_alone_gets_a_new_one():
    stamp = StateStamp()
    assert [stamp.of(theirs, ours) for theirs, ours in ((5, 100), (5, 101), (4, 102), (6, 103))] == [100, 100, 100, 103]


def test_nothing_is_reached_before_it_is_entered():
    arm = PolymetisArm(port=1)
    assert arm.features.home is FRANKA_HOME_POSE
    with pytest.raises(ArmError, match="start polymetis_server"), arm:
        pass


@pytest.mark.parametrize("host", ["..", "h" * 64])
def test_a_host_that_is_no_host_name_is_an_arm_error(host: str):
    with pytest.raises(ArmError, match="no Polymetis server at"), PolymetisArm(host):
        pass


def test_the_server_is_written_for_python_3_8():
    source = SERVER.read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= set(sys.stdlib_module_names)
    froms = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert froms <= set(sys.stdlib_module_names)
