"""The campaign itself: the judge sees what breaks a limit, and faults do what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot.faults import arm as arms
from robot.faults import camera as cameras
from robot.faults import loop, real_time
from robot.faults import policy as policies
from robot.faults.arm import FaultyArm
from robot.faults.camera import FaultyCamera
from robot.faults.catalogue import EXPECTED_EVENTS, catalogue
from robot.faults.judge import Judged
from robot.faults.policy import FaultyPolicy
from robot.faults.trigger import Trigger, once
from robot.hardware.arm import ArmError, Mode, Target
from robot.hardware.camera import CameraError
from robot.hardware.pose import Pose
from robot.safety.limits import Limits
from tests.toy_arm import HOME, ToyArm, ToyClock
from tests.toy_station import Forward, ToyCamera

LIMITS = Limits()
TURN = np.array([math.sin(0.2), 0, 0, math.cos(0.2)])  # 0.4 rad about x


def judged(clock: ToyClock, *positions, quaternion=None, width: float = 0.04, every: float = 0.1) -> Judged:
    judge = Judged(ToyArm(clock, lag=1e-3), LIMITS, clock)
    for position in positions:
        clock.advance(every)
        turned = HOME.quaternion if quaternion is None else quaternion
        judge.send(Target(Pose(np.array(position, float), turned), width))
    return judge


def along(*steps: float) -> list[tuple[float, float, float]]:
    return [(0.5 + x, 0.0, 0.4) for x in np.cumsum(steps)]


def test_the_judge_passes_what_keeps_to_the_limits() -> None:
    assert judged(ToyClock(), *along(0.05, 0.05, -0.05, 0.05), every=0.3).broken == []
    clock = ToyClock()
    judge = judged(clock, *along(*[0.035] * 10))
    assert judge.broken == [] and judge.commands == 10


@pytest.mark.parametrize(
    ("name", "positions", "more"),
    [
        ("step", along(0.051), {}),
        ("step", along(0.05, -0.06), {"every": 1.0}),
        ("second", along(*[0.036] * 10), {}),
        ("workspace", [(0.5, 0.0, 0.0)], {}),
        ("gripper", along(0.01), {"width": 0.081}),
        ("turn", along(0.01), {"quaternion": TURN}),
    ],
)
def test_the_judge_names_the_limit_that_is_broken(name: str, positions, more) -> None:
    assert any(f"s: {name} " in line for line in judged(ToyClock(), *positions, **more).broken)


def test_the_judge_sees_a_pull_too_hard_and_a_command_to_an_arm_that_stopped() -> None:
    clock = ToyClock()
    judge = Judged(ToyArm(clock, lag=100.0), LIMITS, clock)  # hardly follows
    for x in (0.04, 0.08, 0.12):
        clock.advance(0.5)
        judge.send(Target(Pose(HOME.position + np.array([x, 0, 0]), HOME.quaternion), 0.04))
    assert any("lead" in line for line in judge.broken)
    judge.broken.clear()
    judge.stop()
    for x in (0.03, -0.03):  # each within a step of where the arm is, not of one another
        clock.advance(2.0)
        judge.send(Target(judge.state().pose.moved((x, 0, 0), HOME.rotation * HOME.rotation.inv()), 0.04))
    assert [line.split(": ")[1][:4] for line in judge.broken] == ["step"]
    judge.broken.clear()
    judge.arm.mode = Mode.REFLEX  # type: ignore[attr-defined]
    judge.stop()
    judge.send(Target(judge.state().pose, 0.04))
    assert len(judge.broken) == 1 and "reflex" in judge.broken[0]


def test_after_a_stop_the_judge_measures_from_where_the_arm_stands() -> None:
    clock = ToyClock()
    judge = judged(clock, *along(0.05), every=1.0)
    clock.advance(2.0)
    judge.stop()
    judge.arm.push(np.array([0.2, 0, 0]), np.zeros(3))  # type: ignore[attr-defined]
    clock.advance(0.1)
    judge.send(Target(judge.state().pose.moved((0.04, 0, 0), HOME.rotation * HOME.rotation.inv()), 0.04))
    assert judge.broken == []


def test_on_the_wall_s_clock_the_judge_holds_a_command_against_what_the_guard_saw() -> None:
    clock = ToyClock()
    strict, fair = (Judged(ToyArm(clock), LIMITS, clock, jitter) for jitter in (0.0, 0.03))
    for judge, broken in ((strict, 1), (fair, 0)):
        seen = judge.state().pose
        judge.arm.push(np.array([-0.02, 0, 0]), np.zeros(3))  # type: ignore[attr-defined]
        judge.send(Target(seen.moved((0.045, 0, 0), HOME.rotation * HOME.rotation.inv()), 0.04))
        assert len(judge.broken) == broken
        judge.send(Target(seen.moved((0.1, 0, 0), HOME.rotation * HOME.rotation.inv()), 0.04))
        assert len(judge.broken) > broken, "neither lets a step or a pull that is too long through"


def test_the_judge_keeps_the_names_of_the_last_calls() -> None:
    judge = judged(ToyClock(), *along(0.01))
    judge.state()
    judge.stop()
    judge.recover()
    judge.home()
    judge.state()
    assert list(judge.calls) == ["send", "stop", "recover", "home"]


def test_every_kind_of_fault_is_in_the_catalogue_and_only_those_that_harm_nobody_have_no_name() -> None:
    cases = list(catalogue())
    kinds = {case.kind for case in cases}
    assert kinds == {
        *arms.ARM_FAULTS,
        *cameras.CAMERA_FAULTS,
        *policies.POLICY_FAULTS,
        *loop.LOOP_FAULTS,
        *real_time.REAL_TIME_EVENTS,
    }
    assert len(cases) >= 200 and sum(case.on_the_wall for case in cases) <= 8
    assert len({case.name for case in cases}) == len(cases)
    harmless = {"huge", "to and fro", "full speed", "down", "turn of zeros", "upside down"}
    assert kinds - EXPECTED_EVENTS.keys() - {*loop.LOOP_FAULTS, *real_time.REAL_TIME_EVENTS} == harmless, (
        "these are actions: the limits are all there is to say"
    )


@pytest.mark.parametrize("kind", arms.ARM_FAULTS)
def test_an_arm_s_fault_shows_while_it_is_on_and_neither_before_nor_after(kind: str) -> None:
    clock = ToyClock(10.0)
    inner = ToyArm(clock)
    trigger = Trigger(clock, command=2, seconds=0.5)
    arm = FaultyArm(inner, kind, trigger)
    target = Target(HOME, 0.04)

    def shows() -> bool:
        clock.advance(0.05)
        try:
            arm.send(target)
            state = arm.state()
            arm.stop()
        except ArmError:
            return True
        truth = inner.state()
        fields = ("mode", "errors", "pose", "time", "width")
        return any(getattr(state, name) != getattr(truth, name) for name in fields)

    assert not shows()
    arm.send(target)
    assert shows() or shows(), "a late state shows once time has passed"
    clock.advance(1.0)
    assert not shows() and trigger.happened


@pytest.mark.parametrize("kind", cameras.CAMERA_FAULTS)
def test_a_camera_s_fault_shows_while_it_is_on(kind: str) -> None:
    clock = ToyClock(10.0)
    trigger = Trigger(clock, command=1, seconds=0.5)
    inner = ToyCamera("world", clock)
    camera = FaultyCamera(inner, kind, trigger)

    def shows() -> bool:
        clock.advance(0.1)
        truth = inner.latest()
        try:
            found = camera.latest()
        except CameraError:
            return True
        return found.time != truth.time or found.number != truth.number or not np.array_equal(found.image, truth.image)

    assert not shows()
    trigger.sent()
    assert shows()
    clock.advance(1.0)
    assert not shows()


@pytest.mark.parametrize("kind", policies.POLICY_FAULTS)
def test_a_policy_s_fault_shows_while_it_is_on(kind: str) -> None:
    clock = ToyClock(10.0)
    trigger = Trigger(clock, command=1, seconds=0.5)
    policy = FaultyPolicy(Forward(), kind, trigger)
    policy.reset(0, lambda step: {})
    calm = policy.act(np.zeros(8))
    trigger.sent()
    before, found = clock.now(), policy.act(np.zeros(8))
    assert clock.now() > before if kind == policies.SLOW else not np.array_equal(found, calm)


class Calls:
    """Counts."""

    count = 0

    def call(self) -> int:
        self.count += 1
        return self.count


def test_what_is_to_happen_once_happens_at_the_first_call_after_the_trigger() -> None:
    trigger, calls, times = Trigger(ToyClock(), command=2), Calls(), []
    once(calls, "call", trigger, lambda: times.append(calls.count))
    assert calls.call() == 1
    trigger.sent()
    assert calls.call() == 2 and times == []
    trigger.sent()
    assert [calls.call(), calls.call()] == [3, 4] and times == [2]


def test_an_error_comes_out_of_the_call_it_was_injected_into() -> None:
    trigger, calls = Trigger(ToyClock(), command=1), Calls()
    once(calls, "call", trigger, real_time.press)
    trigger.sent()
    with pytest.raises(KeyboardInterrupt):
        calls.call()
    assert calls.call() == 1, "only once, and the call itself was not made"
