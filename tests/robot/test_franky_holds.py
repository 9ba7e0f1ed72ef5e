"""The franky adapter on its stand-in: what stops stays stopped, whatever it overlaps."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robot.arms.franky import FrankyArm
from robot.hardware.arm import ArmError, Mode, Target
from robot.hardware.clock import WallClock
from robot.hardware.pose import Pose, angle_between, distance_between
from robot.safety.guard import Guard, Sent
from robot.safety.limits import Limits
from robot.safety.watch import Seen
from tests.fake_franky import World
from tests.waiting import until


class Controller:
    """In the place of the impedance controller: hangs with a target that it has taken, or refuses it."""

    def __init__(self, arm: FrankyArm, refuses: bool = False) -> None:
        self.real, self.refuses = arm._tracker, refuses
        self.hangs, self.go = threading.Event(), threading.Event()
        self.stop = self.real.stop

    def set_target(self, target: object) -> None:
        self.real.set_target(target)
        if self.refuses:
            raise RuntimeError("no more")
        if not self.hangs.is_set():
            self.hangs.set()
            assert self.go.wait(60)


def test_a_stop_while_the_first_target_is_given_holds_arm_and_hand(world: World):
    with FrankyArm("arm") as arm:
        at, said = arm.state().pose, []
        controller = arm._tracker = Controller(arm)

        def send() -> None:
            try:
                arm.send(Target(at.moved(0.05 * np.eye(3)[0], Rotation.identity()), 0.0))
            except ArmError as error:
                said.append(str(error))

        thread = threading.Thread(target=send)
        thread.start()
        assert controller.hangs.wait(60)
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)
        controller.go.set()
        thread.join(60)
        assert said == ["stopped while it was told where to go"]
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)
        time.sleep(0.1)  # the hand's thread
        assert not [line for line in world.said if line[0] == "grasp"]


def test_a_stop_that_overlaps_a_target_and_comes_late_holds_all_the_same(world: World):
    """The stop's own pull hangs while a target goes out: the one that was told last is the stop's."""
    with FrankyArm("arm") as arm:
        at = arm.state().pose
        away = Target(at.moved(0.05 * np.eye(3)[0], Rotation.identity()), 0.0)
        arm.send(Target(at, 0.04))
        controller = arm._tracker = Controller(arm)
        thread = threading.Thread(target=arm.stop)
        thread.start()
        assert controller.hangs.wait(60)
        arm.send(away)
        controller.go.set()
        thread.join(60)
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)


@pytest.mark.parametrize("comes", [True, False])
def test_a_stop_pulls_the_arm_to_no_pose_that_is_older_than_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch, comes: bool
):
    """The state hangs while the arm moves: a newer one is waited for; without, the last target is where it holds."""
    monkeypatch.setattr("robot.arms.franky_link.RECENT", recent := 1.0 if comes else 0.05)
    with FrankyArm("arm") as arm:
        ahead = arm.state().pose.moved(0.05 * np.eye(3)[0], Rotation.identity())
        arm.send(Target(ahead, 0.04))
        world.tells.clear()
        time.sleep(recent + 0.1)
        world.position = where = world.position + np.array([0.03, 0, 0])
        if comes:
            threading.Timer(0.05, world.tells.set).start()
        began = time.monotonic()
        arm.stop()
        assert not comes or time.monotonic() - began < recent, "no longer than until one comes"
        world.tells.set()
        np.testing.assert_allclose(world.targets[-1].translation, where if comes else ahead.position)
        said = len(world.targets)
        until(lambda: np.array_equal(arm.state().pose.position, where))
        arm.stop()
        assert len(world.targets) == said, "a hold stays where it is"


def test_a_stop_drops_what_the_hand_was_to_do_next_even_in_a_reflex(world: World):
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        at = arm.state().pose
        arm.send(Target(at, 0.08))
        until(lambda: ("move", 0.08) in world.said)
        arm.send(Target(at, 0.0))  # waits for the hand
        world.reflex()
        until(lambda: arm.state().mode is Mode.REFLEX)
        arm.stop()
        world.slow_hand = False
        arm._hand._running.done = True  # type: ignore[union-attr]
        time.sleep(0.1)
        assert not [line for line in world.said if line[0] == "grasp"]


def test_a_target_that_is_refused_is_no_wish_for_the_hand_and_leaves_it_to_stop(world: World):
    with FrankyArm("arm") as arm:
        at = arm.state().pose
        controller = arm._tracker = Controller(arm, refuses=True)
        with pytest.raises(ArmError, match="refused"):
            arm.send(Target(at.moved(0.05 * np.eye(3)[0], Rotation.identity()), 0.0))
        arm._tracker = controller.real
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)
        time.sleep(0.1)
        assert not [line for line in world.said if line[0] == "grasp"]


def test_no_target_that_gets_out_leaves_the_limits_whatever_is_asked(world: World):
    """The guard's law once more, behind it: what the controller and the hand were really told."""
    limits, clock, random = Limits(), WallClock(), np.random.default_rng(0)
    extremes = [0.0, 1.0, -1.0, 1e9, -1e9, np.nan, np.inf]
    with FrankyArm("arm") as arm:
        guard, last = Guard(arm, limits, clock), None
        for _ in range(80):
            time.sleep(0.01)
            state, before = arm.state(), len(world.targets)
            action = random.choice(extremes, 8, p=[0.2, 0.25, 0.25, 0.1, 0.1, 0.05, 0.05])
            done = guard.act(action, Seen(state, {}, clock.now()))
            assert isinstance(done, Sent) == bool(np.isfinite(action).all()) or done.event.kind == "out of reach"
            for target in world.targets[before:]:
                pose = Pose(target.translation, target.quaternion)
                assert limits.inside(pose) and distance_between(pose, state.pose) <= limits.lead + 1e-9
                assert angle_between(pose, state.pose) <= limits.lead_turn + 1e-6
                assert last is None or distance_between(pose, last) <= limits.step + 1e-9
                world.position = (world.position + target.translation) / 2
                last = pose if isinstance(done, Sent) else None
            until(lambda: np.array_equal(arm.state().pose.position, world.position))
        widths = [line[1] for line in world.said if line[0] in ("move", "grasp")]
    assert len(world.targets) > 40 and widths and all(w == 0 or limits.narrowest <= w <= limits.widest for w in widths)


def test_a_hand_lost_in_the_middle_of_a_command_keeps_nothing_and_hides_nothing(world: World):
    def lost(timeout: float | None = None) -> bool:
        raise RuntimeError("UDP receive: Timeout")

    world.slow_hand = True
    with pytest.raises(ZeroDivisionError), FrankyArm("arm") as arm:
        arm.send(Target(arm.state().pose, 0.08))
        until(lambda: ("move", 0.08) in world.said)
        arm._hand._running.wait = lost  # type: ignore[union-attr]
        raise ZeroDivisionError
    assert arm._link is None
    del arm
    assert world.said[-1] == ("let go",)
