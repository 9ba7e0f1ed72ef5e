"""Demonstrations as Minari data sets, and others' data sets as demonstrations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("minari")

import gymnasium
import minari
from minari.data_collector import EpisodeBuffer

from mpr.core.errors import UserError
from rl.commands import demos
from rl.data.demonstrations import (
    BadDemonstration,
    labels,
)
from rl.environments.kitchen.minari_data import read_minari, save_minari
from rl.environments.kitchen.scene import build_kitchen
from rl.environments.kitchen.stock import joint_positions
from rl.environments.kitchen.tasks import find_task
from tests.rl.made_demonstrations import assert_same, made, numbers, stock_episode, write_minari
from tracking.simulator.gl import mujoco


def test_minari_keeps_labels_images_and_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = [made(5, 4, ("front",)), made(9, 6, ("front",), success=False)]
    save_minari(iter(written), tmp_path, "kitchen/toy-v0", "toys")
    for a, b in zip(read_minari(tmp_path / "kitchen" / "toy-v0"), written, strict=True):
        assert_same(a, b)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = minari.load_dataset("kitchen/toy-v0")  # as anybody would
    assert data.total_episodes == 2 and data.total_steps == 10
    episode = data[1]
    np.testing.assert_array_equal(episode.actions, written[1].executed_actions)
    np.testing.assert_array_equal(episode.infos["label"], labels(written[1]))
    assert episode.truncations.tolist() == [False] * 5 + [True] and not episode.terminations.any()
    assert data[0].rewards.tolist() == [0, 0, 0, 1] and data[0].terminations.tolist() == [False] * 3 + [True]
    assert len(list(read_minari("kitchen/toy-v0"))) == 2, "read by name"
    save_minari(written[:1], tmp_path, "kitchen/toy-v0", "again")
    assert len(list(read_minari("kitchen/toy-v0"))) == 1, "replaced, not appended to"
    assert "jax" not in sys.modules


def test_minari_refuses_nothing_and_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with pytest.raises(BadDemonstration, match="no demonstration to save"):
        save_minari([], tmp_path, "kitchen/toy-v0", "none")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadDemonstration, match=r"no Minari data set D4RL/kitchen/mixed-v2.*minari download"):
        list(read_minari("D4RL/kitchen/mixed-v2", "microwave"))
    broken = (made(seed, size=4) if seed < 2 else 1 / 0 for seed in range(3))
    with pytest.raises(ZeroDivisionError):
        save_minari(broken, tmp_path, "kitchen/toy-v0", "killed half-way")
    assert not (tmp_path / "kitchen" / "toy-v0").exists()


def test_d4rls_kitchen_is_read_cut_and_its_state_rebuilt(tmp_path: Path) -> None:
    goals = gymnasium.spaces.Dict({"microwave": numbers(1), "kettle": numbers(7)})
    space = gymnasium.spaces.Dict({"observation": numbers(59), "achieved_goal": goals, "desired_goal": goals})
    episodes = [
        stock_episode(0, [0, 0, 0.2, 0.4, 0.5, 0.7, 0.7, 0.7]),
        stock_episode(1, [0, 0.1, 0.2]),  # never opens it
        stock_episode(2, [0.6, 0.7, 0.7]),  # begins with it open
        stock_episode(3, [0, 0.3, 0.6]),
    ]
    where = write_minari(tmp_path, space, episodes)
    found = list(read_minari(where, "microwave"))
    assert [(d.seed, len(d), d.success) for d in found] == [(0, 4, True), (3, 2, True)]
    first, task, data = found[0], find_task("microwave"), mujoco.MjData(build_kitchen())
    stored: Any = episodes[0].observations
    np.testing.assert_allclose(first.states[:, :59], stored["observation"][:5], rtol=1e-6)
    np.testing.assert_allclose(first.executed_actions, np.asarray(episodes[0].actions)[:4], rtol=1e-6)
    assert first.teacher_actions is None
    np.testing.assert_allclose(np.diff(first.times), 0.08)
    assert first.recording is not None
    np.testing.assert_allclose(task.travel(first.recording.qpos), [0, 0, 0.2, 0.4, 0.5])
    for t, qpos in enumerate(joint_positions(stored["observation"][:5])):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(data.model, data)
        gap = data.site("microhandle_site").xpos - data.site("end_effector").xpos
        np.testing.assert_allclose(first.states[t, 59:], gap, atol=1e-6)
    with pytest.raises(UserError, match="ends at FrankaKitchen-v1's own success: leave --full_open out"):
        demos.main(["--source", str(where), "--full_open", "true", "--out", str(tmp_path / "full")])
    with pytest.raises(BadDemonstration, match="gave 0 demonstrations of hinge"):
        demos.main(["--source", str(where), "--task", "hinge", "--out", str(tmp_path / "out")])


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    buffer = EpisodeBuffer(id=0, observations=np.zeros((2, 3)), actions=np.zeros((1, 9)), rewards=[0.0],
                           terminations=[False], truncations=[True])  # fmt: skip
    with pytest.raises(BadDemonstration, match=r"has observations Box.*what can be read are ours"):
        list(read_minari(write_minari(tmp_path, numbers(3), [buffer])))
