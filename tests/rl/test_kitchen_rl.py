"""The kitchen as a policy practises in it: dense reward, what an episode reports, the expert's demonstrations."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium_robotics")

from mpr.core.data.episode import Episode
from rl.data.demonstrations import labels
from rl.environments.kitchen.camera import camera_path
from rl.environments.kitchen.demonstrate import demonstrate
from rl.environments.kitchen.dense import DenseReward, dense
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import SHUT, opening_plan
from rl.environments.kitchen.images import KitchenImages, with_images
from rl.environments.kitchen.recording import record_kitchen, scene_recording
from rl.environments.kitchen.tasks import ARM, KITCHEN_TASKS, find_task

TASK_NAMES = list(KITCHEN_TASKS.ours)
SEED = 610_000


@lru_cache(maxsize=6)
def kitchen(task: str, ajar: bool = False, threshold: float | None = None) -> KitchenEnvironment:
    """Kept between tests, as compiling the kitchen takes longer than they do; every user resets it."""
    return KitchenEnvironment(task, ajar=ajar, threshold=threshold)


@lru_cache(maxsize=16)
def shown(task: str, seed: int = SEED, noise: float = 0.05) -> Episode:
    return demonstrate(kitchen(task), seed, noise)


def open_to(environment: KitchenEnvironment, travel: float) -> None:
    qpos = environment.data.qpos.copy()
    qpos[environment.task.qpos] = environment.task.sign * travel
    environment.write_qpos(qpos)


# --- the dense reward -------------------------------------------------------------------------------------------------


def dense_at(task: str, distance: float, travel: float) -> float:
    """Of one step that ends `distance` metres from the handle with the door at `travel`."""
    gripper = np.array([[9.0, 9.0, 9.0], [0.0, distance, 0.0]])
    return float(dense(find_task(task), gripper, np.zeros((2, 3)), np.array([9.0, travel]))[0])


@pytest.mark.parametrize("task", TASK_NAMES)
def test_dense_by_hand(task: str) -> None:
    opened = find_task(task).opened
    assert dense_at(task, 0.0, 0.0) == pytest.approx(0.5)
    assert dense_at(task, 0.1, 0.0) == pytest.approx(0.5 / np.e)
    assert dense_at(task, 5.0, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert dense_at(task, 5.0, opened / 2) == pytest.approx(0.5)
    assert dense_at(task, 0.0, opened / 2) == pytest.approx(0.75)
    assert dense_at(task, 5.0, opened) == dense_at(task, 0.0, 2 * opened) == 1.0
    assert dense_at(task, 5.0, -0.2) == pytest.approx(0.0, abs=1e-6), "pushing it shut is no progress"


far, way = st.floats(0.0, 2.0), st.floats(-0.1, 2.0)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(TASK_NAMES), far, far, way, way)
def test_dense_grows_with_nearness_and_with_opening(task: str, a: float, b: float, shut: float, open_: float) -> None:
    near, distant, less, more = min(a, b), max(a, b), min(shut, open_), max(shut, open_)
    for travel in (less, more):
        assert 0.0 <= dense_at(task, distant, travel) <= dense_at(task, near, travel) <= 1.0
    for distance in (near, distant):
        assert dense_at(task, distance, less) <= dense_at(task, distance, more) + 1e-7


def test_dense_refuses_what_does_not_fit() -> None:
    task, still = find_task("hinge"), np.zeros((4, 3))
    assert dense(task, still, still, np.zeros(4)).shape == (3,)
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(3,\)"):
        dense(task, still, still, np.zeros(3))
    with pytest.raises(ValueError, match="NaN"):
        dense(task, still, still, np.array([0, 0, np.nan, 0]))


@pytest.mark.parametrize("task", TASK_NAMES)
def test_dense_of_an_episode_reads_its_states(task: str) -> None:
    made = shown(task)
    assert made.recording is not None
    t = find_task(task)
    scored = DenseReward(t).score(made)
    gap, travel = made.states[:, -3:], t.travel(made.recording.qpos)
    np.testing.assert_allclose(
        scored, dense(t, np.zeros_like(gap), gap, travel), atol=0.01
    )  # states are a little noisy
    moved = travel[1:] > t.still
    assert scored[~moved].max() > 0.35, "the gripper was at the handle"
    assert scored[-1] > scored[~moved].max() and (travel[-1] < t.opened or scored[-1] == 1.0)


# --- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_NAMES)
def test_one_zero_step_leaves_the_arm_where_reset_put_it(task: str) -> None:
    environment = kitchen(task, ajar=True)
    for seed in range(SEED, SEED + 4):
        environment.reset(seed=seed)
        before, door = environment.data.qpos[ARM].copy(), environment.travel
        environment.step(np.zeros(9))
        assert np.abs(environment.data.qpos[ARM] - before).max() < 0.02
        assert abs(environment.travel - door) < 0.05


@pytest.mark.parametrize("task", TASK_NAMES)
def test_ajar_doors_stand_open_differently_and_never_solved(task: str) -> None:
    environment, most = kitchen(task, ajar=True), find_task(task).ajar
    travels = []
    for seed in range(SEED, SEED + 12):
        _, info = environment.reset(seed=seed)
        assert not info["success"] and not info["opened"]
        travels.append(info["travel"])
    assert 0 <= min(travels) < most / 3 and 2 * most / 3 < max(travels) <= most
    assert task == "slide" or most == 0.35


def test_a_slide_that_counts_as_solved_is_not_yet_called_open() -> None:
    stock, full = kitchen("slide"), kitchen("slide", threshold=find_task("slide").opened)
    ends = {}
    for name, environment in (("stock", stock), ("full", full)):
        for travel in (0.1, 0.26):
            environment.reset(seed=SEED)
            open_to(environment, travel)
            _, _, terminated, _, info = environment.step(np.zeros(9))
            assert terminated == info["success"]
            ends[name, travel] = terminated, bool(info["opened"])
    assert ends == {
        ("stock", 0.1): (True, False),
        ("stock", 0.26): (True, True),
        ("full", 0.1): (False, False),
        ("full", 0.26): (True, True),
    }


@pytest.mark.parametrize("action", [np.full(9, np.nan), np.zeros(7), np.array([np.inf] + [0.0] * 8)])
def test_an_action_that_is_none_is_refused(action: np.ndarray) -> None:
    environment = kitchen("microwave")
    environment.reset(seed=SEED)
    with pytest.raises(ValueError, match="9 finite numbers"):
        environment.step(action)
    assert len(environment.trajectory) == 1


def test_a_recording_on_request_holds_every_frame_of_the_episode() -> None:
    environment = kitchen("hinge")
    environment.reset(seed=SEED)
    for _ in range(3):
        environment.step(np.full(9, 0.3))
    recording = record_kitchen(environment, "left")
    assert len(recording) == 4 and recording.rate_hz == 12.5
    np.testing.assert_array_equal(recording.qpos[-1], environment.data.qpos)
    np.testing.assert_allclose(recording.arguments["base_offset"], environment.base_offset)
    assert recording.extra["travel"][-1] == environment.travel
    environment.step(np.zeros(9))
    assert len(recording) == 4, "what was recorded does not go on growing"


# --- demonstrations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_demonstration_ends_at_the_first_success(task: str) -> None:
    made, t = shown(task), find_task(task)
    assert made.success and made.recording is not None
    assert made.states.shape == (len(made) + 1, 62) and labels(made).shape == (len(made), 9) and len(made) < 150
    solved = [t.solved(q) for q in made.recording.qpos]
    assert solved[-1] and not any(solved[:-1])


def test_what_was_executed_leads_to_the_states_seen() -> None:
    """Labels do not: they are the expert's actions before noise was added."""
    made, environment = shown("microwave"), kitchen("microwave")
    assert made.recording is not None
    noise = (made.executed_actions - labels(made))[:, ARM]
    free = np.abs(labels(made)[:, ARM]) < 0.8  # where clipping cannot touch it
    assert 0.04 < noise[free].std() < 0.06 and abs(noise[free].mean()) < 0.01
    np.testing.assert_array_equal(made.executed_actions[:, 7:], labels(made)[:, 7:])
    away = {}
    for name, actions in (("executed", made.executed_actions), ("labels", labels(made))):
        environment.reset(seed=SEED)
        for action in actions[:30]:
            environment.step(action)
        away[name] = np.abs(environment.data.qpos[ARM] - made.recording.qpos[30, ARM]).max()
    assert away["executed"] < 1e-4 < 5e-3 < away["labels"], away


def test_without_noise_labels_are_executed() -> None:
    quiet = shown("slide", SEED, 0.0)
    assert quiet.success
    np.testing.assert_array_equal(quiet.teacher_actions, quiet.executed_actions)


def test_speed_is_varied() -> None:
    """The reach from one and the same start takes different seeds' experts differently long."""
    environment = kitchen("slide")
    environment.reset(seed=SEED)
    plans = [opening_plan(environment, np.random.default_rng(seed)) for seed in range(4)]
    grips = [plan.fingers.index(SHUT) for plan in plans]
    assert max(grips) >= 1.1 * min(grips)
    assert len({len(plan) for plan in plans}) == 4


def test_a_demonstration_depends_on_its_seed_alone() -> None:
    first = shown("slide", SEED)
    again = demonstrate(kitchen("slide"), SEED)
    for name in ("states", "teacher_actions", "executed_actions"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.recording is not None and again.recording is not None
    assert first.recording.to_bytes() == again.recording.to_bytes()


# --- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.gl
def test_one_renderer_shows_data_and_evaluation_alike() -> None:
    """Whatever it showed before: another view, another place of the robot, an episode's last frame or the present."""
    environment, task = kitchen("microwave"), find_task("microwave")
    shots, fresh, now = [], [], []
    with KitchenImages(task, ["front", "mirrored"], size=48) as kept:
        for seed in (SEED, SEED + 1):
            environment.reset(seed=seed)
            environment.step(np.zeros(9))
            shots.append(kept.of(record_kitchen(environment)))
            now.append(kept.now(environment))
        elsewhere = kept.of(replace(record_kitchen(environment), arguments={"base_offset": [0.0, 0.0]}))
    with KitchenImages(task, ["front", "mirrored"], size=48) as anew:
        fresh = anew.of(record_kitchen(environment))
    for view in ("front", "mirrored"):
        assert shots[0][view].shape == (2, 48, 48, 3)
        np.testing.assert_array_equal(shots[1][view], fresh[view])
        for seen, present in zip(shots, now, strict=True):
            np.testing.assert_array_equal(seen[view][-1], present[view])
        assert (shots[0][view] != shots[1][view]).any()
        assert (shots[1][view] != elsewhere[view]).any(), "the robot stands where the recording has it"
    assert np.abs(fresh["front"].astype(int) - fresh["mirrored"]).mean() > 5


@pytest.mark.gl
def test_images_of_a_demonstration_fit_its_states() -> None:
    made = shown("slide")
    assert made.recording is not None
    short = replace(
        made,
        states=made.states[:3],
        executed_actions=made.executed_actions[:2],
        teacher_actions=labels(made)[:2],
        times=made.times[:3],
        recording=scene_recording(find_task("slide"), np.array([0.02, 0.05]), made.recording.qpos[:3], "front"),
    )
    with KitchenImages(find_task("slide"), ["left"], size=32) as images:
        assert len(with_images(short, images).frames["left"]) == 3
        assert with_images(replace(short, recording=None), images).frames == {}
    assert not np.allclose(
        camera_path(find_task("slide"), "left", 1).positions, camera_path(find_task("slide"), "front", 1).positions
    )
