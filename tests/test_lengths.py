"""T actions have T+1 observations, on every way in: an episode in which they do not is named, and the others go on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("minari")

import h5py
from gymnasium.spaces import Dict

from mpr import cli
from mpr.core.checksums import write_sums
from mpr.core.data.episode_folder import load_episode, save_episode
from rl.data.demonstrations import BadDemonstration, load_demonstrations, save_demonstration
from rl.environments.kitchen.minari_data import read_minari, save_minari
from robot.commands.export import ExportConfig
from robot.commands.export_compared import find_episodes
from robot.recording.demonstrations import write_demonstrations
from tests.rl.made_demonstrations import made, numbers, stock_episode, write_minari
from tests.toy_robot_episodes import robot_episode

TRAVELS = [0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7]
GOALS = Dict({"microwave": numbers(1), "kettle": numbers(7)})
STOCK = Dict({"observation": numbers(59), "achieved_goal": GOALS, "desired_goal": GOALS})


def stock_set(root: Path) -> Path:
    """Three episodes of D4RL's kitchen, the microwave opened in each."""
    return write_minari(root, STOCK, [stock_episode(number, TRAVELS) for number in range(3)])


def our_set(root: Path) -> Path:
    save_minari([made(seed) for seed in range(3)], root, "some/toys-v0", "toys")
    return root / "some" / "toys-v0"


def change(where: Path, name: str, make: Any, episode: int = 1) -> None:
    """Put `make(values)` in the place of an episode's array; nothing, where it makes None."""
    with h5py.File(where / "data" / "main_data.hdf5", "a") as file:
        group: Any = file[f"episode_{episode}"]
        values = group[name][()]
        del group[name]
        if (changed := make(values)) is not None:
            group.create_dataset(name, data=changed)


ODD = {
    "the first gone": lambda a: a[1:],
    "the last gone": lambda a: a[:-1],
    "the first twice": lambda a: np.concatenate([a[:1], a]),
    "none": lambda a: a[:0],
    "not there": lambda a: None,
}
STOCK_ARRAYS = ("observations/observation", "observations/achieved_goal/microwave", "actions", "rewards")
OUR_ARRAYS = ("observations/state", "actions", "infos/label", "infos/time", "terminations", "truncations", "rewards")


def left_out(where: Path, **asked: Any) -> tuple[list[int], list[str]]:
    """The seeds of the demonstrations read, and what was told."""
    told: list[str] = []
    return [one.seed for one in read_minari(where, tell=told.append, **asked)], told


@pytest.mark.parametrize(
    ("name", "odd"), [(name, odd) for name in STOCK_ARRAYS for odd in ODD if "goal" not in name or odd != "not there"]
)
def test_an_odd_episode_of_a_stock_set_is_named_and_the_others_go_on(tmp_path, name, odd):
    where = stock_set(tmp_path)
    change(where, name, ODD[odd])
    seeds, told = left_out(where, task="microwave")
    assert seeds == [0, 2]
    assert len(told) == 2 and "left out is episode 1: " in told[0] and "1 of 3 episodes read are left out" in told[1]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", OUR_ARRAYS)
def test_an_odd_episode_of_a_set_of_ours_is_named_and_the_others_go_on(tmp_path, name, odd):
    where = our_set(tmp_path)
    change(where, name, ODD[odd])
    seeds, told = left_out(where)
    assert seeds == [0, 2]
    assert len(told) == 2 and "left out is episode 1: " in told[0] and "1 of 3 episodes read are left out" in told[1]


@pytest.mark.parametrize(("make", "says"), [
    (lambda a: a[:, :58], r"observations \(7, 58\) and actions \(6, 9\), FrankaKitchen-v1's are \[T\+1, 59\]"),
    (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 70, np.nan, a), "holds NaN or infinity"),
    (lambda a: a[1:], "6 actions need 7 observations: observation, got 6"),
])  # fmt: skip
def test_the_reason_is_the_reason(tmp_path, make, says):
    where = stock_set(tmp_path)
    change(where, "observations/observation", make)
    assert re.search(says, left_out(where, task="microwave")[1][0])
    for episode in (0, 2):
        change(where, "observations/observation", make, episode)
    with pytest.raises(BadDemonstration, match=f"holds no episode that is one: episode 0: .*{says}"):
        list(read_minari(where, "microwave", tell=lambda line: None))


def test_the_command_says_so_and_goes_on(tmp_path, capsys):
    where = stock_set(tmp_path / "set")
    change(where, "observations/observation", ODD["the first gone"])
    asked = ["demos", "--source", str(where), "--num_demos", "5", "--out", str(tmp_path / "out")]
    assert cli.main(asked) == 0
    out = capsys.readouterr().out
    assert "left out is episode 1: 6 actions need 7 observations: observation, got 6" in out
    assert "1 of 3 episodes read are left out" in out and "2 demonstrations of 2 attempts" in out
    assert [d.seed for d in load_demonstrations(tmp_path / "out")] == [0, 2]


@pytest.mark.parametrize(
    ("name", "cut"), [("states", slice(1, None)), ("executed_actions", slice(1)), ("times", slice(0, 0))]
)
def test_a_folder_of_odd_lengths_is_named_and_the_others_go_on(tmp_path, capsys, name, cut):
    for seed in range(3):
        save_demonstration(made(seed), tmp_path / f"demonstration_{seed:06d}")
    file = tmp_path / "demonstration_000001" / "arrays.npz"
    with np.load(file) as z:
        np.savez(file, **{**z, name: z[name][cut]})
    assert [d.seed for d in load_demonstrations(tmp_path)] == [0, 2]
    out = capsys.readouterr().out
    assert "demonstration_000001: episode 1: " in out and "1 of 3 demonstrations are left out" in out
    assert [d.seed for d in load_demonstrations(tmp_path, 2)] == [0, 2]
    with pytest.raises(BadDemonstration, match=r"--num_demos 3: .* holds 2 demonstrations and 1 that are none"):
        load_demonstrations(tmp_path, 3)


def odd_episodes(root: Path) -> dict[int, Path]:
    """Three robot episodes, the second without its last state, its checksums right."""
    folders = {number: root / f"episode_{number:05d}" for number in range(3)}
    for number, folder in folders.items():
        save_episode(robot_episode(number), folder)
    file = folders[1] / "arrays.npz"
    with np.load(file) as z:
        arrays = {**z, "states": z["states"][:-1]}
    np.savez(file, **arrays)
    write_sums(folders[1])
    return folders


def test_an_odd_robot_episode_is_named_and_the_others_go_on(tmp_path, capsys):
    folders = odd_episodes(tmp_path / "session")
    written = write_demonstrations(folders, tmp_path / "demos")
    assert [folder.name for folder in written] == ["demonstration_000000", "demonstration_000002"]
    assert "episode 1 is left out: " in capsys.readouterr().out
    found = find_episodes(ExportConfig(episodes=tmp_path / "session", out=tmp_path / "out"))
    out = capsys.readouterr().out
    assert len(found) == 2 and "5 actions need 6 states, got 5" in out and "1 of 3 episodes are left out" in out
    assert len(load_episode(folders[0], verify=True)) == 5
