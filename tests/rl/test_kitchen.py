"""The kitchen against its compiled model and against gymnasium: table, environment, arm and expert."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import lru_cache

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium_robotics")

from gymnasium.utils.env_checker import check_env
from gymnasium_robotics.envs.franka_kitchen import kitchen_env

from rl.environments.kitchen import scene
from rl.environments.kitchen.arm import KitchenArm
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import Follower, Plan, opening_plan
from rl.environments.kitchen.tasks import ARM, STOCK_RADIUS, Task, find_task
from tests.rl.kitchen_episodes import TASK_NAMES, open_to

# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", map(find_task, TASK_NAMES), ids=TASK_NAMES)
def test_index_table_agrees_with_the_compiled_model(task: Task) -> None:
    model = scene.build_kitchen()
    joint = model.joint(task.joint)
    assert joint.qposadr[0] == task.qpos
    away = joint.range[np.argmax(np.abs(joint.range))]
    assert away == pytest.approx(task.sign * task.limit)
    bodies = {model.body(model.site(task.handle).bodyid[0]).name, model.body(joint.bodyid[0]).name}
    assert bodies <= set(task.part_bodies) <= set(task.object_bodies)
    assert all(model.body(name).id > 0 for name in task.object_bodies)


@pytest.mark.parametrize("task", map(find_task, TASK_NAMES), ids=TASK_NAMES)
def test_goals_and_radius_are_the_installed_environments(task: Task) -> None:
    assert kitchen_env.OBS_ELEMENT_INDICES[task.stock_name].tolist() == list(task.joints)
    assert kitchen_env.OBS_ELEMENT_GOALS[task.stock_name].tolist() == list(task.goal)
    assert kitchen_env.BONUS_THRESH == STOCK_RADIUS


# --- the environment --------------------------------------------------------------------------------------------------


def test_environment_passes_gymnasiums_own_check() -> None:
    check_env(KitchenEnvironment("microwave"), skip_render_check=True)


def test_a_state_written_from_outside_survives_the_next_step() -> None:
    environment = KitchenEnvironment("microwave", robot_noise_ratio=0.0)
    environment.reset(seed=1)
    qpos = environment.data.qpos.copy()
    qpos[ARM] += [0.5, 0.3, -0.4, 0.3, 0.4, 0.3, -0.5]
    environment.write_qpos(qpos)
    environment.step(np.zeros(9))
    assert np.abs(environment.data.qpos[ARM] - qpos[ARM]).max() < 0.02


@pytest.mark.parametrize(("task", "travel"), [("microwave", 0.45), ("slide", 0.07)])
def test_success_is_the_first_crossing_of_the_stock_threshold(task: str, travel: float) -> None:
    environment = KitchenEnvironment(task)
    environment.reset(seed=2)
    open_to(environment, travel - 0.01)
    _, reward, terminated, truncated, info = environment.step(np.zeros(9))
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
    open_to(environment, travel + 0.01)
    _, reward, terminated, truncated, info = environment.step(np.zeros(9))
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


def test_hinge_success_needs_the_other_door_shut() -> None:
    task, qpos = find_task("hinge"), np.zeros(30)
    qpos[task.qpos] = 1.3
    assert task.solved(qpos)
    qpos[20] = -0.3
    assert not task.solved(qpos)


def test_time_limit_truncates_and_success_terminates_never_both() -> None:
    environment = KitchenEnvironment("microwave", step_limit=2)
    environment.reset(seed=3)
    assert environment.step(np.zeros(9))[2:4] == (False, False)
    assert environment.step(np.zeros(9))[2:4] == (False, True)
    environment.reset(seed=3)
    environment.step(np.zeros(9))
    open_to(environment, 0.6)
    assert environment.step(np.zeros(9))[2:4] == (True, False), "success on the last step is no time-out"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda kitchen: pickle.loads(pickle.dumps(kitchen))])
def test_a_copy_plays_what_the_environment_plays_and_stands_before_its_first_reset(copied: Callable) -> None:
    kitchen = KitchenEnvironment("microwave", step_limit=20)
    kitchen.reset(seed=10_070)
    for _ in range(3):
        kitchen.step(np.full(9, 0.5))
    other = copied(kitchen)
    with pytest.raises(gymnasium.error.ResetNeeded):
        other.step(np.zeros(9))
    played = []
    for one in (kitchen, other):
        seen = [one.reset(seed=10_077)[0], *(one.step(np.full(9, 0.8))[0] for _ in range(10))]
        qpos = one.data.qpos.copy()
        qpos[one.task.qpos] = one.task.sign * 0.5
        one.write_qpos(qpos)
        played.append((np.array(seen), np.array(one.trajectory), one.travel))
    np.testing.assert_array_equal(played[0][0], played[1][0])
    np.testing.assert_array_equal(played[0][1], played[1][1])
    assert np.abs(np.diff(played[1][1], axis=0)).max() > 0.01 and played[0][2] == played[1][2] == pytest.approx(0.5)


def test_the_final_frame_is_kept() -> None:
    environment = KitchenEnvironment("microwave")
    environment.reset(seed=4)
    open_to(environment, 0.6)
    observation, _, terminated, _, _ = environment.step(np.zeros(9))
    assert terminated and len(environment.trajectory) == 2
    assert environment.task.travel(environment.trajectory[-1]) > 0.45
    np.testing.assert_array_equal(environment.trajectory[-1], environment.data.qpos)
    np.testing.assert_allclose(observation[ARM], environment.data.qpos[ARM], atol=0.01)


def test_reset_places_robot_arm_and_door_by_seed() -> None:
    environment = KitchenEnvironment("hinge", ajar=True, object_noise_ratio=0.0)
    starts = [(environment.reset(seed=s)[0], environment.base_offset, environment.travel) for s in (5, 6, 5)]
    np.testing.assert_array_equal(starts[0][0], starts[2][0])
    assert np.abs(starts[0][0][ARM] - starts[1][0][ARM]).max() > 0.01
    for observation, base, travel in starts:
        assert (base >= 0).all() and (base <= 0.08).all() and 0 <= travel <= 0.35
        assert observation.shape == (62,)
    assert starts[0][2] != starts[1][2]


def test_the_state_ends_with_handle_minus_gripper() -> None:
    environment = KitchenEnvironment("slide")
    observation, _ = environment.reset(seed=7)
    np.testing.assert_allclose(observation[-3:], environment.handle - environment.gripper)
    before = environment.handle
    open_to(environment, 0.2)
    np.testing.assert_allclose(environment.handle - before, [0.2, 0, 0], atol=1e-3)


# --- arm and expert ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def arm_of_the_kitchen() -> KitchenArm:
    return KitchenArm(scene.build_kitchen())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=7, max_size=7))
def test_inverse_kinematics_finds_reachable_poses(turn: list[float]) -> None:
    arm = arm_of_the_kitchen()
    grasp = find_task("slide").grasp
    assert grasp is not None
    posture = np.array(grasp.posture)
    position, orientation = arm.pose(np.clip(posture + turn, arm.low, arm.high))
    q, error = arm.solve(position, orientation, posture, posture, iterations=300)
    assert error < 2e-3 and (q >= arm.low).all() and (q <= arm.high).all()
    np.testing.assert_allclose(arm.pose(q)[1], orientation, atol=0.02)


def test_plans_respect_the_motors_and_the_shift() -> None:
    environment = KitchenEnvironment("hinge")
    environment.reset(seed=8)
    shift = np.array([0.05, -0.15, 0.02])
    here, beside = Plan(environment).reach(), Plan(environment, shift).reach()
    grip, miss = here.arm.pose(here.q)[0], beside.arm.pose(beside.q)[0]
    np.testing.assert_allclose(miss - grip, shift, atol=5e-3)
    assert np.abs(np.diff(here.swing(1.2, 3).joints, axis=0)).max() < 0.1, "3 steps are too few for the arm"


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_expert_opens_ajar_doors_too_and_its_labels_carry_no_noise(task: str) -> None:
    environment, rng = KitchenEnvironment(task, ajar=True), np.random.default_rng(9)
    environment.reset(seed=9)
    follower, terminated, truncated = Follower(opening_plan(environment, rng)), False, False
    while not (terminated or truncated):
        before = environment.data.qpos.copy()
        label = follower.act(environment.data)
        np.testing.assert_array_equal(before, environment.data.qpos)
        terminated, truncated = environment.step(label)[2:4]
    assert terminated
