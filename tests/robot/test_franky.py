"""The franky adapter on a stand-in with franky's traps: connected, controlled, ended, homed, recovered."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from robot.arms.franka import FRANKA_HOME_POSE, FRANKA_HOME_RAD
from robot.arms.franky import FrankyArm
from robot.hardware.action import NOTHING
from robot.hardware.arm import ArmError, Mode, Target
from robot.hardware.clock import WallClock
from robot.hardware.pose import Pose
from robot.safety.guard import Guard, Held, Sent
from robot.safety.limits import Limits
from robot.safety.watch import Seen
from robot.station import StationConfig, named_station
from tests.fake_franky import JOINT_REFLEX, World
from tests.waiting import until


def test_nothing_is_imported_or_connected_before_it_is_entered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "franky", None)
    arm = FrankyArm("nowhere")
    assert arm.features.real and arm.features.home is FRANKA_HOME_POSE
    with pytest.raises(ArmError, match="not connected"):
        arm.state()
    with pytest.raises(ModuleNotFoundError) as refused, arm:
        pass
    assert refused.value.name == "franky"  # by which the command line names the extra


def test_entered_it_is_controlled_where_it_stands(world: World):
    with FrankyArm("arm") as arm:
        state = arm.state()
        assert state.mode is Mode.MOVING and state.errors == () and state.width == 0.04
        np.testing.assert_array_equal(state.pose.quaternion, [1, 0, 0, 0])  # franky does not promise unit length
        assert world.targets == []
        assert ("connected", "Enforce") in world.said
    assert world.motion is None


@pytest.mark.parametrize("enforced", [True, False])
def test_a_station_says_whether_the_kernel_has_to_be_real_time(world: World, enforced: bool):
    config = StationConfig("franky", "arm", "a.mp4", "b.mp4", enforce_real_time=enforced)
    with named_station(config) as at, at.arm:
        assert ("connected", "Enforce" if enforced else "Ignore") in world.said


def test_a_target_is_sent_as_a_unit_quaternion(world: World):
    with FrankyArm("arm") as arm:
        sent = arm.send(Target(Pose(np.array([0.4, 0.1, 0.5]), np.array([1.0005, 0, 0, 0])), 0.041))
        np.testing.assert_array_equal(sent.pose.quaternion, [1, 0, 0, 0])
        np.testing.assert_array_equal(world.targets[-1].translation, [0.4, 0.1, 0.5])
        assert sent.width == 0.04  # too little to tell the hand: what it really stays at


def test_letting_go_frees_the_connection(world: World):
    """franky disconnects with its object, and the arm takes one connection at a time: no cycle may hold it."""
    for _ in range(2):
        with FrankyArm("arm") as arm:
            world.reflex()
            until(lambda: arm.state().mode is Mode.REFLEX)
        assert world.said[-1] == ("let go",)
        world.mode = "Idle"


def test_a_latched_reflex_shows_and_only_recover_clears_it(world: World):
    with FrankyArm("arm") as arm:
        pose = arm.state().pose
        world.reflex()  # all flags down again
        until(lambda: arm.state().mode is Mode.REFLEX)
        assert arm.state().errors == ("joint_reflex",)
        with pytest.raises(ArmError, match="reflex"):
            arm.send(Target(pose, 0.04))
        with pytest.raises(ArmError, match="reflex"):
            arm.home()
        arm.stop()  # has stopped already
        assert world.targets == [] and ("recovered",) not in world.said
        arm.recover()
        assert arm.state().mode is Mode.MOVING and world.said.count(("recovered",)) == 1
        arm.send(Target(pose, 0.04))
        assert len(world.targets) == 1


def test_entered_in_a_reflex_it_waits_for_recover(world: World):
    world.reflex(JOINT_REFLEX)
    with FrankyArm("arm") as arm:
        assert arm.state().mode is Mode.REFLEX and ("tracker",) not in world.said
        arm.recover()
        assert arm.state().mode is Mode.MOVING


@pytest.mark.parametrize("name, mode", [("UserStopped", Mode.STOPPED), ("Guiding", Mode.GUIDING), ("New", Mode.OTHER)])
def test_modes_that_do_not_obey(world: World, name: str, mode: Mode):
    with FrankyArm("arm") as arm:
        world.mode, world.motion = name, None
        until(lambda: arm.state().mode is mode)
        with pytest.raises(ArmError, match=mode.value):
            arm.recover()
        world.mode = "Idle"  # the button is released: and still nothing controls it
        until(lambda: "does not run" in str(arm.state().errors))
        assert arm.state().mode is Mode.OTHER
        arm.recover()
        assert arm.state().mode is Mode.MOVING


def test_a_tracker_that_does_not_start_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("robot.arms.franky_link._PATIENCE", 0.1)
    world.deaf = True
    with pytest.raises(ArmError, match="does not run"), FrankyArm("arm"):
        pass
    assert world.said[-1] == ("let go",)


def test_a_clock_that_stands_still_makes_a_stale_state(world: World):
    with FrankyArm("arm") as arm:
        world.frozen = True
        time.sleep(0.03)
        frozen = arm.state().time
        time.sleep(0.05)
        assert arm.state().time == frozen
        world.clock -= 5  # nor is one that goes back news
        time.sleep(0.03)
        assert arm.state().time == frozen
        world.clock += 6
        until(lambda: arm.state().time > frozen)
        assert arm.state().time <= time.monotonic()


def test_a_lost_link_is_an_error_until_a_person_recovers_it(world: World):
    with FrankyArm("arm") as arm:
        pose = arm.state().pose
        world.lose()
        until(lambda: not arm._link._newest._thread.is_alive() and not arm._hand._newest._thread.is_alive())  # type: ignore
        world.lost = False  # the cable is back: the old connection is not
        for call in (arm.state, lambda: arm.send(Target(pose, 0.04)), arm.home):
            with pytest.raises(ArmError, match="lost"):
                call()
        world.lost = True
        with pytest.raises(ArmError, match="not reached"):
            arm.recover()
        world.lost, world.mode = False, "Idle"
        arm.recover()
        assert arm.state().mode is Mode.MOVING and world.said.count(("connected", "Enforce")) == 2


def test_stop_holds_the_measured_pose_and_does_not_sink(world: World):
    with FrankyArm("arm") as arm:
        arm.send(Target(Pose(np.array([0.45, 0, 0.5]), np.array([1.0, 0, 0, 0])), 0.08))
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, [0.4, 0, 0.5])
        for _ in range(5):
            world.position = world.position - [0, 0, 0.002]
            time.sleep(0.02)
            arm.stop()
        assert len(world.targets) == 2


def test_home_opens_goes_there_and_is_controlled_again(world: World):
    with FrankyArm("arm") as arm:
        arm.home()
        np.testing.assert_array_equal(arm.state().joints, FRANKA_HOME_RAD)
        assert arm.state().width == 0.08 and arm.state().mode is Mode.MOVING
        assert world.said.count(("tracker",)) == 2 and ("move", 0.08) in world.said


def test_a_hand_that_once_opened_short_is_told_again_on_the_way_home(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("robot.arms.franky_hand.STUCK", 0.5)
    world.obstacle = 0.05  # a handle, from within
    with FrankyArm("arm") as arm:
        arm.send(Target(arm.state().pose, 0.08))
        until(lambda: ("hand free",) in world.said and arm.state().width == 0.05)
        with pytest.raises(ArmError, match=r"did not open: 0\.050 m of 0\.080"):
            arm.home()  # it is there still
        world.obstacle = np.inf
        arm.recover()
        arm.home()
        assert arm.state().width == 0.08


def on_the_way(arm: FrankyArm) -> tuple[threading.Thread, list[str]]:
    """Home, in a thread; and what it said."""
    said: list[str] = []

    def go() -> None:
        try:
            arm.home()
        except ArmError as error:
            said.append(str(error))

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    return thread, said


def test_stopped_on_its_way_home_it_is_not_controlled(world: World):
    world.slow_way = True
    with FrankyArm("arm") as arm:
        thread, said = on_the_way(arm)
        until(lambda: type(world.motion).__name__ == "JointMotion")
        assert arm.state().errors == ()
        arm.stop()
        thread.join(60)
        assert said and world.motion is None and world.said.count(("tracker",)) == 1
        assert arm.state().mode is Mode.OTHER


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever runs the tests may have had Ctrl-C ignored, as a shell has it for what it puts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_on_the_way_home_stays_one(world: World, interruptible: None):
    world.slow_way = True
    with FrankyArm("arm") as arm:
        with pytest.raises(KeyboardInterrupt):
            threading.Timer(0.3, _thread.interrupt_main).start()
            arm.home()
        assert ("stopped",) in world.said and world.motion is None
        arm.recover()  # at once: nothing is left over that the start would raise
        assert arm.state().mode is Mode.MOVING


def still_ended(world: World, arm: FrankyArm, mode: Mode) -> None:
    """Neither stop nor home nor a command clears what ended the controller, or starts another."""
    pose, trackers = arm.state().pose, world.said.count(("tracker",))
    for _ in range(2):
        arm.stop()
        for call in (arm.home, lambda: arm.send(Target(pose, 0.04))):
            with pytest.raises(ArmError, match="let it recover"):
                call()
    assert ("recovered",) not in world.said and world.said.count(("tracker",)) == trackers
    assert world.motion is None and arm.state().mode is mode


def test_a_reflex_on_the_way_home_stays_whatever_is_called_but_recover(world: World):
    world.slow_way = True
    with FrankyArm("arm") as arm:
        thread, said = on_the_way(arm)
        until(lambda: type(world.motion).__name__ == "JointMotion")
        world.reflex()
        thread.join(60)
        assert "reflex" in said[0]
        until(lambda: arm.state().mode is Mode.REFLEX)
        still_ended(world, arm, Mode.REFLEX)
        arm.recover()
        assert arm.state().mode is Mode.MOVING


@pytest.mark.parametrize("how", ["reflex", "button"])
def test_what_ends_the_controller_while_the_hand_opens_keeps_the_arm_from_home(world: World, how: str):
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        thread, said = on_the_way(arm)
        until(lambda: ("move", 0.08) in world.said)
        if how == "reflex":
            world.reflex()
        else:  # pressed and released again: nothing latched, and no controller
            world.mode, world.motion = "Idle", None
        until(lambda: not arm._connected()[0].reading().controlled)
        world.slow_hand = False
        thread.join(60)
        assert said and world.motion is None and world.said.count(("tracker",)) == 1
        still_ended(world, arm, Mode.REFLEX if how == "reflex" else Mode.OTHER)


def test_entered_again_in_a_reflex_it_waits_for_recover(world: World):
    arm = FrankyArm("arm")
    with arm:
        world.reflex()
        until(lambda: arm.state().mode is Mode.REFLEX)
    with arm:
        still_ended(world, arm, Mode.REFLEX)


def test_a_link_lost_in_a_reflex_comes_back_in_it_by_nothing_but_recover(world: World):
    arm = FrankyArm("arm")
    with arm:
        world.reflex()
        world.lose()
        until(lambda: not arm._link._newest._thread.is_alive())  # type: ignore
        world.lost = False
        arm.stop()  # an arm whose link is lost stops by itself
        for call in (arm.home, arm.state):
            with pytest.raises(ArmError, match="lost"):
                call()
        assert world.said.count(("connected", "Enforce")) == 1 and ("recovered",) not in world.said
    with arm:
        still_ended(world, arm, Mode.REFLEX)


def test_the_hand_has_one_command_at_a_time_and_nobody_waits(world: World):
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        pose = arm.state().pose
        for width in (0.06, 0.03, 0.05, 0.005):  # the first is under way; of the others, the last counts
            arm.send(Target(pose, width))
            until(lambda: ("move", 0.06) in world.said)
            time.sleep(0.05)  # some turns of the hand's thread
        assert [said for said in world.said if said[0] in ("move", "grasp")] == [("move", 0.06)]
        world.slow_hand = False
        until(lambda: ("grasp", 0.0) in world.said)
        assert [said for said in world.said if said[0] in ("move", "grasp")] == [("move", 0.06), ("grasp", 0.0)]


@pytest.mark.parametrize("ends", [True, False])
def test_the_hand_is_not_let_go_while_it_moves(world: World, monkeypatch: pytest.MonkeyPatch, ends: bool):
    monkeypatch.setattr("robot.arms.franky_hand._CLOSING", 5.0 if ends else 0.1)
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        arm.send(Target(arm.state().pose, 0.06))
        until(lambda: ("move", 0.06) in world.said)
        if ends:
            threading.Timer(0.2, setattr, (world, "slow_hand", False)).start()
    assert world.slow_hand is not ends and ("crashed",) not in world.said
    world.slow_hand = False


@pytest.mark.parametrize("width", [float("nan"), float("inf")])
def test_a_width_that_is_none(world: World, width: float):
    with FrankyArm("arm") as arm, pytest.raises(ArmError, match="finite"):
        arm.send(Target(arm.state().pose, width))


def test_the_guard_holds_and_asks_in_a_reflex(world: World):
    clock = WallClock()
    with FrankyArm("arm") as arm:
        guard = Guard(arm, Limits(), clock)
        assert isinstance(guard.act(NOTHING, Seen(arm.state(), {}, clock.now())), Sent)
        world.reflex()
        until(lambda: arm.state().mode is Mode.REFLEX)
        held = guard.act(NOTHING, Seen(arm.state(), {}, clock.now()))
        assert isinstance(held, Held) and held.event.ask and "joint_reflex" in held.event.message
