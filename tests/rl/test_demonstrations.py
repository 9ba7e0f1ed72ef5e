"""Demonstrations: what is refused, folders, Minari data sets of two kinds, the command. Physics in none."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("minari")

import gymnasium
import minari
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from mpr import cli
from rl import demos
from rl.demonstrations import (
    BadDemonstration,
    Demonstration,
    check_shown,
    check_sizes,
    demonstration_folder,
    load_demonstration,
    load_demonstrations,
    save_demonstration,
)
from rl.kitchen.scene import build
from rl.kitchen.stock import joint_positions
from rl.kitchen.tasks import find_task
from rl.minari_data import read_minari, save_minari
from tracking.errors import UserError
from tracking.gl import mujoco
from tracking.scene import CameraPath, SceneRecording

PIXELS = (40, 36, 3)  # large enough for Minari to take it for a picture


def made(seed: int = 0, steps: int = 5, cameras: tuple[str, ...] = (), success: bool = True, size: int = 4) -> Any:
    """Random numbers in a demonstration's form."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.05, 0.1, steps + 1))
    path = CameraPath(rng.normal(size=(steps + 1, 3)), np.tile([0.0, 0, 0, 1], (steps + 1, 1)), 0.8, 64, 64)
    return Demonstration(
        states=rng.normal(size=(steps + 1, size)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        executed=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        times=times,
        success=success,
        seed=seed,
        frames={c: rng.integers(0, 256, (steps + 1, *PIXELS), dtype=np.uint8) for c in cameras},
        recording=SceneRecording("kitchen", {"base_offset": [0.01, 0.02]}, rng.normal(size=(steps + 1, 3)), times, 12.5,
                                 path, ("door",), ("door",)),
    )  # fmt: skip


def assert_same(a: Demonstration, b: Demonstration) -> None:
    for name in ("states", "actions", "executed", "times"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype
    assert (a.success, a.seed, a.shows, set(a.frames)) == (b.success, b.seed, b.shows, set(b.frames))
    for camera in a.frames:
        assert len(a.frames[camera]) == len(b.frames[camera])
        for t in range(len(a.frames[camera])):
            np.testing.assert_array_equal(a.frames[camera][t], b.frames[camera][t])


# --- what is refused --------------------------------------------------------------------------------------------------

NAN = np.full((6, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"actions": np.zeros((0, 2), np.float32), "executed": np.zeros((0, 2), np.float32)}, "it is empty"),
        ({"states": np.zeros((5, 4), np.float32)}, "5 actions need 6 states, got 5"),
        ({"times": np.arange(7.0)}, "need 6 times, got 7"),
        ({"executed": np.zeros((5, 3), np.float32)}, r"actions \(5, 2\), executed \(5, 3\)"),
        (
            {"states": np.where(np.arange(24).reshape(6, 4) == 9, NAN, 0)},
            "states holds NaN or infinity, first at step 2",
        ),
        ({"actions": np.full((5, 2), np.inf, np.float32)}, "actions holds NaN or infinity"),
        ({"states": np.zeros((6, 4))}, "states must be float32, got float64"),
        ({"times": np.zeros(6)}, "times do not increase"),
        ({"frames": {"front": np.zeros((5, *PIXELS), np.uint8)}}, "need 6 frames of front, got 5"),
        ({"frames": {"../front": np.zeros((6, *PIXELS), np.uint8)}}, "a camera cannot be called"),
        ({"recording": made(steps=6).recording}, "need 6 recorded frames, got 7"),
        ({"states": np.zeros(6, np.float32)}, r"states \(6,\) and actions \(5, 2\) must be"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict, says: str) -> None:
    with pytest.raises(BadDemonstration, match=f"demonstration 7: .*{says}"):
        replace(made(seed=7), **change)


def test_another_tasks_demonstrations_are_refused(tmp_path: Path) -> None:
    some = [replace(made(0), shows="slide"), made(1)]
    check_shown(some, "slide")  # of the second nobody said
    with pytest.raises(BadDemonstration, match="demonstration 0 shows 'slide', wanted is 'slide, fully'"):
        check_shown(some, "slide, fully")
    for one, shows in zip(some, ("slide", "hinge"), strict=True):
        save_demonstration(replace(one, shows=shows), demonstration_folder(tmp_path, one.seed))
    assert_same(load_demonstration(demonstration_folder(tmp_path, 0)), some[0])
    with pytest.raises(BadDemonstration, match="demonstration 1 shows 'hinge'"):
        load_demonstrations(tmp_path)


def test_another_robots_demonstrations_are_refused() -> None:
    check_sizes([made(0), made(1)], 4, 2)
    with pytest.raises(
        BadDemonstration, match="demonstration 1 has 5 state and 2 action dimensions, wanted are 4 and 2"
    ):
        check_sizes([made(0), made(1, size=5)], 4, 2)
    with pytest.raises(
        BadDemonstration, match="demonstration 0 has 4 state and 2 action dimensions, wanted are 4 and 9"
    ):
        check_sizes([made(0)], 4, 9)
    with pytest.raises(BadDemonstration, match="mpr demos"):
        check_sizes([], 4, 2)


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folders_keep_everything_and_frames_stay_on_disk(tmp_path: Path) -> None:
    written = [made(seed, steps, ("front", "left")) for seed, steps in ((12, 5), (3, 8))]
    for d in written:
        save_demonstration(d, tmp_path / f"demonstration_{d.seed:06d}")
    (tmp_path / ".demonstration_000001.77.tmp").mkdir()  # killed while writing
    found = load_demonstrations(tmp_path)
    assert [d.seed for d in found] == [3, 12]
    for a, b in zip(found, reversed(written), strict=True):
        assert_same(a, b)
        assert a.recording is not None and b.recording is not None
        assert a.recording.to_bytes() == b.recording.to_bytes()
        assert isinstance(a.frames["front"], np.memmap)
    names = ("arrays.npz", "recording.npz", "frames_left.npy", "demonstration.json")
    before = [(tmp_path / "demonstration_000003" / name).read_bytes() for name in names]
    save_demonstration(written[1], tmp_path / "demonstration_000003")
    assert before == [(tmp_path / "demonstration_000003" / name).read_bytes() for name in names]


@pytest.mark.parametrize("name", ["arrays.npz", "recording.npz", "frames_front.npy", "demonstration.json"])
def test_a_damaged_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(cameras=("front",)), folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadDemonstration, match="demonstration_000000 cannot be read"):
        load_demonstration(folder)
    (folder / name).unlink()
    with pytest.raises(BadDemonstration, match=f"half-written: .*{name} is missing"):
        load_demonstration(folder)


@pytest.mark.parametrize("name", ["arrays.npz", "recording.npz"])
@pytest.mark.parametrize(
    ("place", "bit", "raised"),
    [
        (6, 6, "version"),  # the zip version that a member needs
        (8, 0, "password"),  # flags: encrypted
        (8, 5, "patched data"),
        (10, 0, "compression method"),
    ],
)
def test_one_flipped_bit_of_the_zip_is_refused_by_name(
    tmp_path: Path, name: str, place: int, bit: int, raised: str
) -> None:
    """In the zip's directory: what the first member's entry says at `place`."""
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(), folder)
    flip(folder / name, (folder / name).read_bytes().index(b"PK\x01\x02") + place, bit)
    with pytest.raises(BadDemonstration, match=f"demonstration_000000 cannot be read .*{raised}"):
        load_demonstration(folder)


@pytest.mark.parametrize("name", ["arrays.npz", "recording.npz"])
def test_one_flipped_bit_of_the_packed_numbers_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(), folder)
    flip(folder / name, 28, 1)  # where the first member's first block says how it is packed
    with pytest.raises(BadDemonstration, match=r"demonstration_000000 cannot be read .*decompressing"):
        load_demonstration(folder)


def flip(file: Path, place: int, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


def test_no_and_unlike_demonstrations_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadDemonstration, match=r"no demonstrations in .*: make some with `mpr demos"):
        load_demonstrations(tmp_path)
    for seed, size in ((0, 4), (1, 5)):
        save_demonstration(made(seed, size=size), tmp_path / f"demonstration_{seed:06d}")
    with pytest.raises(BadDemonstration, match="demonstration 1 has 5 state"):
        load_demonstrations(tmp_path)


def test_a_folder_whose_numbers_went_bad_names_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(), folder)
    with np.load(folder / "arrays.npz") as z:
        arrays = dict(z)
    np.savez(folder / "arrays.npz", **{**arrays, "states": np.full_like(arrays["states"], np.nan)})
    with pytest.raises(BadDemonstration, match=f"{folder}: demonstration 0: states holds NaN"):
        load_demonstration(folder)


# --- Minari -----------------------------------------------------------------------------------------------------------


def test_minari_keeps_labels_pictures_and_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = [made(5, 4, ("front",)), made(9, 6, ("front",), success=False)]
    save_minari(iter(written), tmp_path, "kitchen/toy-v0", "toys")
    for a, b in zip(read_minari(tmp_path / "kitchen" / "toy-v0"), written, strict=True):
        assert_same(a, b)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = minari.load_dataset("kitchen/toy-v0")  # as anybody would
    assert data.total_episodes == 2 and data.total_steps == 10
    episode = data[1]
    np.testing.assert_array_equal(episode.actions, written[1].executed)
    np.testing.assert_array_equal(episode.infos["label"], written[1].actions)
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


def write_minari(root: Path, observations: gymnasium.Space, episodes: list[EpisodeBuffer]) -> Path:
    (root / "some").mkdir(parents=True)
    actions = gymnasium.spaces.Box(-1, 1, (9,), np.float64)
    storage = MinariStorage.new(root / "some", observations, actions)
    storage.update_metadata({"dataset_id": "some-v0", "minari_version": minari.__version__})
    storage.update_episodes(episodes)
    (root / "some").rename(root / "data")
    return root


def stock_episode(number: int, travels: list[float]) -> EpisodeBuffer:
    """As D4RL's kitchen: the microwave's door goes through `travels` while the arm moves a little."""
    rng, steps = np.random.default_rng(number), len(travels) - 1
    observation = rng.normal(scale=0.05, size=(steps + 1, 59))
    observation[:, 18 + 22 - 9] = -np.array(travels)
    goals = {"microwave": observation[:, 31:32], "kettle": observation[:, 32:39]}
    return EpisodeBuffer(
        id=number,
        observations={"observation": observation, "achieved_goal": goals, "desired_goal": goals},
        actions=rng.uniform(-1, 1, (steps, 9)),
        rewards=[0.0] * steps,
        terminations=[False] * steps,
        truncations=[False] * (steps - 1) + [True],
    )


def numbers(size: int) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)


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
    first, task, data = found[0], find_task("microwave"), mujoco.MjData(build())
    stored: Any = episodes[0].observations
    np.testing.assert_allclose(first.states[:, :59], stored["observation"][:5], rtol=1e-6)
    np.testing.assert_allclose(first.actions, np.asarray(episodes[0].actions)[:4], rtol=1e-6)
    np.testing.assert_array_equal(first.actions, first.executed)
    np.testing.assert_allclose(np.diff(first.times), 0.08)
    assert first.recording is not None
    np.testing.assert_allclose(task.travel(first.recording.qpos), [0, 0, 0.2, 0.4, 0.5])
    for t, qpos in enumerate(joint_positions(stored["observation"][:5])):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(data.model, data)
        gap = data.site("microhandle_site").xpos - data.site("end_effector").xpos
        np.testing.assert_allclose(first.states[t, 59:], gap, atol=1e-6)
    with pytest.raises(UserError, match="ends at FrankaKitchen-v1's own success: leave --fully out"):
        demos.main(["--source", str(where), "--fully", "true", "--out", str(tmp_path / "full")])
    with pytest.raises(BadDemonstration, match="gave 0 demonstrations of hinge"):
        demos.main(["--source", str(where), "--task", "hinge", "--out", str(tmp_path / "out")])


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    buffer = EpisodeBuffer(id=0, observations=np.zeros((2, 3)), actions=np.zeros((1, 9)), rewards=[0.0],
                           terminations=[False], truncations=[True])  # fmt: skip
    with pytest.raises(BadDemonstration, match=r"has observations Box.*what can be read are ours"):
        list(read_minari(write_minari(tmp_path, numbers(3), [buffer])))


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def expert(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of kitchen and expert: seed 2 fails. Lists the seeds asked for."""
    asked: list[int] = []

    def demonstrate(environment: object, seed: int, noise: float) -> Demonstration:
        asked.append(seed)
        return made(seed, success=seed != 2)

    monkeypatch.setattr(demos, "KitchenEnvironment", lambda *_, **__: None)
    monkeypatch.setattr(demos, "demonstrate", demonstrate)
    return asked


def test_command_keeps_successes_counts_failures_and_resumes(tmp_path: Path, expert: list[int]) -> None:
    out = tmp_path / "demos"
    demos.main(["--count", "2", "--out", str(out)])
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"seed": 2, "suc')  # killed while writing
    demos.main(["--count", "4", "--minari", "true", "--out", str(out)])
    assert expert == [0, 1, 2, 3, 4]
    assert [d.seed for d in load_demonstrations(out)] == [0, 1, 3, 4]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["seed"], row["success"]) for row in rows] == [(0, True), (1, True), (2, False), (3, True), (4, True)]
    assert json.loads((out / "summary.json").read_text()) == {"demonstrations": 4, "tried": 5, "mean_steps": 5.0}
    assert [d.seed for d in read_minari(out / "minari" / "kitchen" / "microwave-v0")] == [0, 1, 3, 4]
    demos.main(["--count", "4", "--minari", "true", "--out", str(out)])
    assert expert == [0, 1, 2, 3, 4], "what is there is not made again"


def test_command_ends_as_if_never_killed(tmp_path: Path, expert: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between keeping a demonstration and logging it."""
    log = demos.RunFolder.log

    def killed(self: Any, **values: Any) -> None:
        if values["seed"] == 1 and len(expert) == 2:
            raise KeyboardInterrupt
        log(self, **values)

    monkeypatch.setattr(demos.RunFolder, "log", killed)
    with pytest.raises(KeyboardInterrupt):
        demos.main(["--count", "3", "--out", str(tmp_path / "broken")])
    demos.main(["--count", "3", "--out", str(tmp_path / "broken")])
    demos.main(["--count", "3", "--out", str(tmp_path / "whole")])
    listed = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    assert listed == {p.relative_to(tmp_path / "broken") for p in (tmp_path / "broken").rglob("*") if p.is_file()}
    for name in listed - {Path("config.yaml"), Path("versions.json")}:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


def test_command_reads_minari_through_the_same_door(tmp_path: Path) -> None:
    save_minari([made(s) for s in (4, 8, 6)], tmp_path, "some/toys-v0", "toys")
    arguments = ["--source", str(tmp_path / "some" / "toys-v0"), "--out", str(tmp_path / "out")]
    demos.main([*arguments, "--count", "2"])
    demos.main([*arguments, "--count", "20"])  # there are three
    assert [d.seed for d in load_demonstrations(tmp_path / "out")] == [4, 6, 8]
    rows = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["seed"] for row in rows] == [4, 8, 6], "each read once"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "fridge"], ["no kitchen task 'fridge'", "microwave, hinge, slide"]),
        (["--seed", "9990"], ["seeds 0 to 9,999", "evaluation"]),
        (["--seed", "-1"], ["seeds 0 to 9,999"]),
        (["--count", "0"], ["count must be at least 1"]),
        (["--views", "[front, behind]"], ["no kitchen view 'behind'", "mirrored"]),
        (["--noise", "-0.1"], ["noise must lie in 0 to 1"]),
        (["--size", "8"], ["size must be 16 to 640"]),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], says: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["demos", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in says), said
    assert not (tmp_path / "out").exists()


def test_dry_run_says_how_much_and_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demos.main(["--dry-run", "--views", "[front, left]", "--count", "10", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "at most 150 MB" in said and "scripted expert" in said and not (tmp_path / "out").exists()


def test_command_gives_up_where_nothing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "KitchenEnvironment", lambda *_, **__: None)
    monkeypatch.setattr(demos, "demonstrate", lambda _, seed, __: made(seed, success=False))
    with pytest.raises(UserError, match="20 seeds in a row failed at microwave"):
        demos.main(["--out", str(tmp_path / "out")])


@pytest.mark.parametrize("words", [["--ajar", "true"], ["--noise", "0.2"], ["--seed", "5"]])
def test_what_only_the_expert_heeds_is_refused_beside_a_source(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["demos", "--source", str(tmp_path / "toys-v0"), *words, "--out", str(tmp_path / "out")]
    assert cli.main(asked) == 2
    error = capsys.readouterr().err
    assert f"{words[0]} is the expert's" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seeds", [(4, 4), (4, 10_000), (4, -1)])
def test_a_data_set_s_seeds_are_ours_and_no_two_alike(tmp_path: Path, seeds: tuple[int, int]) -> None:
    """One of the practised episodes' would be trained on as if it were a demonstration's; of two alike one is lost."""
    save_minari([replace(made(), seed=seed) for seed in seeds], tmp_path, "some/toys-v0", "toys")
    arguments = ["--source", str(tmp_path / "some" / "toys-v0"), "--out", str(tmp_path / "out"), "--count", "2"]
    for _ in range(2):  # nor when it is resumed
        with pytest.raises(BadDemonstration, match=rf"toys-v0 has seed {seeds[1]}.* 0 to 9,999"):
            demos.main(arguments)
    assert [d.seed for d in load_demonstrations(tmp_path / "out")] == [4]
