"""The simulated arm in lockstep: what a real one would do, the same every time, and an episode from end to end."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import env_checker
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from stable_baselines3.common import env_checker as sb3_checker

from mpr.core.data.episode import Episode
from mpr.core.data.step_log import count_texts
from mpr.core.errors import NoGL, UserError
from rl.environments.kitchen.environment import BASE_OFFSET
from rl.environments.kitchen.tasks import ARM, MICROWAVE
from robot.environment import FrankaEnv
from robot.hardware.action import NOTHING
from robot.hardware.arm import ArmError, Mode, Target
from robot.hardware.camera import CameraError
from robot.hardware.pose import Pose, angle_between, distance_between
from robot.simulated import Twin, simulated
from robot.simulated.arm import SimulatedArm
from robot.simulated.camera_renderer import TWIN_CAMERAS
from robot.simulated.cameras import SimulatedCamera
from robot.simulated.impedance import Gains, clipped, hand_torques, pose_error, rotation_vector
from robot.simulated.microwave import TWIN
from robot.simulated.physics import TWIN_HAND_WIDEST_M, Measured, Physics
from robot.simulated.tasks import MICROWAVE_HOME_POSE, MICROWAVE_HOME_RAD
from robot.simulated.world import Lockstep
from robot.station import StationConfig, named_station
from robot.teleop.keys import Keys, PressedKey
from robot.teleop.operator import Answer, Mark

READY = np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4])
SMALL = (32, 48)


@pytest.fixture(scope="module")
def physics() -> Physics:
    return Physics(TWIN)


@pytest.fixture
def twin() -> Iterator[Twin]:
    with simulated(size=SMALL) as made, made.arm:
        yield made


def here(twin: Twin) -> Lockstep:
    assert isinstance(twin.world, Lockstep)
    return twin.world


def let_pass(twin: Twin, seconds: float) -> None:
    twin.clock.sleep_until(twin.clock.now() + seconds)


def test_frames_and_joint_zeros_are_a_real_pandas(physics):
    physics.place(READY)
    pose = physics.pose()
    np.testing.assert_allclose(pose.position, [0.307, 0.0, 0.487], atol=1e-3)
    assert abs(pose.quaternion[0]) > 0.9999  # xyzw: the hand looks down
    np.testing.assert_allclose(physics.measured().state.joints, READY, atol=1e-12)


def test_home_is_where_the_features_say(physics):
    physics.place(MICROWAVE_HOME_RAD, base_offset=(0.03, 0.05))
    assert distance_between(physics.pose(), MICROWAVE_HOME_POSE) < 1e-5
    assert angle_between(physics.pose(), MICROWAVE_HOME_POSE) < 1e-5 and TWIN.limits.inside(MICROWAVE_HOME_POSE)


@given(st.lists(st.floats(-np.pi, np.pi), min_size=3, max_size=3))
def test_rotation_vector_agrees_with_scipy(vector):
    matrix = Rotation.from_rotvec(vector).as_matrix()
    again = Rotation.from_rotvec(rotation_vector(matrix))
    assert (again * Rotation.from_matrix(matrix).inv()).magnitude() < 1e-5


def test_posture_pulls_in_the_null_space_alone():
    rng = np.random.default_rng(0)
    half, jacobian, q = rng.normal(size=(7, 7)), rng.normal(size=(6, 7)), rng.normal(size=7)
    inertia, zero = half @ half.T + np.eye(7), np.zeros(7)
    tau = hand_torques(np.zeros(6), jacobian, inertia, q, zero, zero, zero, Gains())
    assert np.abs(tau).max() > 0.1
    np.testing.assert_allclose(jacobian @ np.linalg.solve(inertia, tau), np.zeros(6), atol=1e-2)


def test_a_far_target_pulls_no_harder_than_one_at_the_limit():
    turned = Rotation.from_rotvec([0, 2.0, 0]).as_matrix()
    far = pose_error(np.zeros(3), np.eye(3), np.array([3.0, 0.0, 4.0]), turned)
    np.testing.assert_allclose(clipped(far, Gains()), [0.06, 0.0, 0.08, 0.0, 0.5, 0.0], atol=1e-9)


def test_holds_still_and_reaches_a_step_without_overshoot(twin):
    start = twin.arm.state()
    let_pass(twin, 0.5)
    assert distance_between(twin.arm.state().pose, start.pose) < 1e-6
    target = start.pose.moved([0.0, 0.0, 0.05], Rotation.from_rotvec([0.0, 0.0, 0.25]))
    twin.arm.send(Target(target, 0.02))
    assert twin.arm.state().mode is Mode.MOVING
    highest = 0.0
    for _ in range(200):
        let_pass(twin, 0.01)
        highest = max(highest, twin.arm.state().pose.position[2] - start.pose.position[2])
    now = twin.arm.state()
    assert 0.049 < highest < 0.051
    assert distance_between(now.pose, target) < 1e-3 and angle_between(now.pose, target) < 0.01
    assert now.width == pytest.approx(0.02, abs=2e-3) and now.time == pytest.approx(start.time + 2.5)


def test_stop_holds_where_it_is_and_a_width_it_does_not_have_is_not_sent(twin):
    far = twin.arm.state().pose.moved([0.0, 0.0, 0.05], Rotation.identity())
    assert twin.arm.send(Target(far, 1.0)).width == TWIN_HAND_WIDEST_M
    let_pass(twin, 0.3)
    twin.arm.stop()
    stopped = twin.arm.state()
    assert stopped.mode is Mode.IDLE
    let_pass(twin, 1.0)
    assert distance_between(twin.arm.state().pose, stopped.pose) < 0.005 < distance_between(stopped.pose, far)


def test_an_arm_that_is_not_entered_does_nothing():
    with simulated(size=SMALL) as twin:
        assert twin.arm.features.home is MICROWAVE_HOME_POSE and not twin.arm.features.real
        for call in (twin.arm.state, twin.arm.home, twin.arm.stop, twin.arm.recover):
            with pytest.raises(ArmError):
                call()
        with pytest.raises(CameraError):
            twin.cameras[0].latest()


def test_features_can_be_asked_for_before_it_is_entered_and_after_it_was_left():
    with simulated(size=SMALL) as twin:
        arm, (standing, wrist) = twin.arm, twin.cameras
        before = standing.features.view
        with arm:
            pass
    after = standing.features.view
    assert before is not None and after is not None
    np.testing.assert_array_equal(before.pose.position, after.pose.position)
    assert arm.features.home is MICROWAVE_HOME_POSE
    assert wrist.features.view is None and wrist.features.height == SMALL[0]


class Nowhere(Lockstep):
    """A world that is not there yet, or is gone."""

    there = False

    def measured(self) -> Measured:
        if not self.there:
            raise ArmError("there is no world")
        return super().measured()


def test_a_camera_keeps_the_view_it_had_when_its_world_is_gone():
    world = Nowhere(TWIN, SMALL)
    standing, wrist = (SimulatedCamera(world, name) for name in TWIN_CAMERAS)
    assert standing.features.view is None and standing.features.width == wrist.features.width == SMALL[1]
    world.there = True
    stock = standing.features.view
    world.physics.place(base_offset=np.array([0.03, 0.05]))
    moved = standing.features.view
    world.there = False
    kept = standing.features.view
    assert stock is not None and moved is not None and kept is not None
    np.testing.assert_array_equal(kept.pose.position, moved.pose.position)
    assert abs(moved.pose.position - stock.pose.position).max() > 0.01


def test_a_joint_that_runs_too_fast_latches_a_reflex(twin):
    physics = here(twin).physics
    start, physics.gains = twin.arm.state(), Gains(stiffness=30000.0)
    twin.arm.send(Target(start.pose.moved([0.0, -1.0, 0.0], Rotation.identity()), 0.08))
    let_pass(twin, 0.5)
    state = twin.arm.state()
    assert state.mode is Mode.REFLEX and state.errors == ("joint_velocity_violation",)
    assert "rad/s" in physics.cause
    physics.gains = Gains()
    let_pass(twin, 1.0)
    assert np.abs(physics.data.qvel[ARM]).max() < 0.05  # it braked and stays


@pytest.mark.parametrize("errors", [(), ("joint_reflex",)])
def test_only_recover_clears_a_reflex(twin, errors):
    start = twin.arm.state()
    twin.arm.reflex(errors)
    twin.arm.stop()
    let_pass(twin, 0.2)
    twin.operator.ask("everything back in its place?")
    for call in (twin.arm.home, lambda: twin.arm.send(Target(start.pose, 0.08))):
        with pytest.raises(ArmError, match="recover"):
            call()
    with SimulatedArm(twin.world) as again:
        assert again.state().mode is Mode.REFLEX and again.state().errors == errors
    assert twin.operator.ask("recover?", tuple(Answer)) is Answer.RECOVER
    with pytest.raises(ArmError):  # the other one left
        again.state()
    twin.arm.recover()
    assert twin.arm.state().mode is Mode.IDLE and twin.arm.state().errors == ()
    twin.arm.send(Target(start.pose, 0.08))


def test_a_reflex_on_the_way_home_is_an_error(twin):
    physics = here(twin).physics
    physics.place(READY)
    physics.fastest = np.full(7, 0.3)
    with pytest.raises(ArmError, match="stopped itself"):
        twin.arm.home()


def test_home_from_the_handle_of_the_open_door(twin):
    physics = here(twin).physics
    twin.expert.reset(0)
    for _ in range(100):
        state = twin.arm.state()
        action = twin.expert.act(np.array([*state.pose.position, *state.pose.quaternion, state.width]))
        pose = state.pose.moved(0.05 * action[:3], Rotation.from_quat(action[3:7]))
        twin.arm.send(Target(pose, 0.04 + 0.04 * float(action[7])))
        let_pass(twin, 0.1)
        if twin.operator.mark() is Mark.SUCCESS:
            break
    assert MICROWAVE.solved(physics.data.qpos) and twin.arm.state().width < 0.06
    before = twin.clock.now()
    twin.arm.home()
    assert distance_between(twin.arm.state().pose, MICROWAVE_HOME_POSE) < 0.01 and twin.arm.state().width > 0.078
    assert twin.arm.state().mode is Mode.IDLE and 1 < twin.clock.now() - before < 10
    assert twin.operator.mark() is Mark.SUCCESS  # nobody shut it
    assert twin.operator.ask("everything back in its place?") is Answer.GO
    assert twin.operator.mark() is None


def test_an_arm_that_cannot_come_home_says_so(twin):
    physics = here(twin).physics
    physics.place(READY)
    physics.model.dof_frictionloss[2] = 1000.0
    with pytest.raises(ArmError, match=r"joint \d is"):
        twin.arm.home()
    assert twin.arm.state().mode is Mode.IDLE


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.02, 0.05), max_size=6))
def test_the_clock_passes_by_sleeping_to_the_deadline_and_less_than_a_step_beyond(waits):
    world = CLOCK
    for wait in waits:
        before = world.now()
        world.sleep_until(before + wait)
        beyond = world.now() - max(before + wait, before)
        assert -1e-8 < beyond < 0.001
    assert world.measured().state.time == world.now()


CLOCK = Lockstep(TWIN, SMALL)


def test_where_the_operator_puts_things_depends_on_the_episode_s_seed_alone(twin):
    def places(*seeds: int) -> list[list[float]]:
        with simulated(size=SMALL) as other:
            found = []
            for episode in seeds:
                other.operator.begins(episode)
                other.operator.ask("is the way free?")
                other.operator.ask("everything back in its place?")
                found.append(here(other).physics.snapshot.base_offset.tolist())
        return found

    first = places(4, 5, 6)
    assert first[1:] == places(5, 6)
    assert len({tuple(place) for place in first}) == 3 and np.min(first) >= 0 and np.max(first) <= 0.08
    twin.operator.say("a line")
    assert twin.operator.said == ["a line"] and twin.operator.asked == []


class Pressing(Keys):
    """A terminal at which one key is pressed for whatever is asked."""

    pressed = "enter"

    def take(self, names: Container[str]) -> list[PressedKey]:
        return [PressedKey(self.pressed, 0.0)] if self.pressed in names else []

    def forget(self) -> None:
        """It will be pressed again."""


@pytest.mark.parametrize(("key", "answer"), [("enter", Answer.GO), ("c", Answer.RECOVER), ("q", Answer.QUIT)])
def test_where_a_person_answers_the_scene_is_put_back_all_the_same(twin, monkeypatch, key: str, answer: Answer):
    monkeypatch.setattr("robot.station.Keys", Pressing)
    monkeypatch.setattr(Pressing, "pressed", key)
    monkeypatch.setattr("robot.simulated.simulated", lambda *_: nullcontext(twin))
    physics = here(twin).physics
    physics.data.qpos[list(MICROWAVE.joints)] = -0.5
    with named_station(StationConfig(operator="keyboard").resolved()) as at:
        at.operator.begins(4)
        assert at.operator.ask("everything back in its place?", tuple(Answer)) is answer
    stays = answer is Answer.QUIT
    assert twin.world.measured().travel == pytest.approx(0.5 if stays else 0.0, abs=0.01)
    draw = np.random.default_rng(4).uniform(0.0, BASE_OFFSET, 2)
    np.testing.assert_allclose(physics.snapshot.base_offset, [0, 0] if stays else draw)


def test_the_door_is_where_the_base_was_put(twin):
    twin.operator.ask("?")
    door, physics = twin.world.measured().door, here(twin).physics
    handle = physics.data.site(MICROWAVE.handle).xpos - physics.data.body("panda0_link0").xpos
    assert np.linalg.norm(door.handle) == pytest.approx(np.linalg.norm(handle))
    assert TWIN.limits.inside(Pose(door.handle, np.array([0.0, 0, 0, 1])))


def test_what_cannot_be_simulated_is_refused():
    for wrong in ({"task": "kettle"}, {"size": (33, 32)}, {"size": (8, 8)}):
        with pytest.raises(UserError), simulated(**wrong):
            pass


def test_without_gl_the_arm_works_and_a_camera_says_what_is_missing(twin, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(NoGL):
        twin.cameras[0].__enter__()
    assert twin.arm.state().mode is Mode.IDLE


@pytest.mark.gl
def test_cameras_show_the_scene_as_it_was_at_the_last_thirtieth_of_a_second(twin):
    world, wrist = twin.cameras
    with world, wrist:
        first, hand = world.latest(), wrist.latest()
        assert first.image.shape == (*SMALL, 3) and first.image.dtype == np.uint8
        assert not np.array_equal(first.image, hand.image) and hand.time == first.time
        lower = twin.arm.state().pose.moved([0.0, 0.0, 0.05], Rotation.identity())
        twin.arm.send(Target(lower, 0.0))
        numbers = []
        for _ in range(100):
            let_pass(twin, 0.01)
            image = world.latest()
            assert 0 <= twin.clock.now() - image.time < 1 / 30 + 1e-9
            assert 0 <= image.time - image.number / 30 < 0.001  # the first step not before
            numbers.append(image.number)
        assert numbers == sorted(numbers) and set(np.diff(numbers)) == {0, 1}
        assert not np.array_equal(world.latest().image, first.image)
        assert not np.array_equal(wrist.latest().image, hand.image)


def environment(stack: ExitStack) -> FrankaEnv:
    twin = stack.enter_context(simulated(size=(64, 64)))
    for part in (twin.arm, *twin.cameras):
        stack.enter_context(part)
    return FrankaEnv(
        twin.arm, twin.cameras, twin.expert, twin.operator, clock=twin.clock, limits=twin.limits, task="microwave"
    )


def episode(seed: int) -> Episode:
    with ExitStack() as stack:
        env = environment(stack)
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(NOTHING.astype(np.float32))
            over = terminated or truncated
        assert env.finished is not None
        return env.finished


@pytest.mark.gl
def test_the_expert_opens_the_microwave_and_the_same_again_to_the_last_bit():
    first, again = episode(0), episode(0)
    assert first.success and 30 < len(first) < 100
    assert count_texts(first.log.held) == {} and first.log.stale == {}
    for name in ("states", "times", "base_actions", "executed_actions"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert set(first.frames) == {"world", "wrist"}
    for camera, frames in first.frames.items():
        assert np.array_equal(np.stack(list(frames)), np.stack(list(again.frames[camera]))), camera


@pytest.mark.gl
def test_the_environment_passes_both_checkers():
    with ExitStack() as stack:
        env = environment(stack)
        # The operator puts things elsewhere each time; nobody makes one by its name.
        env.spec = EnvSpec("mpr/Franka-v0", nondeterministic=True)
        env_checker.check_env(env, skip_render_check=True, skip_close_check=True)
        sb3_checker.check_env(env)


def test_the_operator_gives_an_arm_up_that_does_not_recover(twin):
    with twin.arm:
        for episode in (1, 2):
            twin.operator.begins(episode)
            answers = [twin.operator.ask("an error", tuple(Answer)) for _ in range(5)]
            assert answers == [Answer.RECOVER] * 3 + [Answer.QUIT] * 2
            assert twin.operator.ask("everything back in its place?") is Answer.GO
