"""Recorded episodes in other people's formats, and as demonstrations: nothing is lost, moved or mixed up on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.clip import FrameSource, Picked
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.data.retime import pick_frames
from mpr.core.data.step_log import StepLog
from mpr.core.data.video import VideoFrames
from mpr.core.errors import OddLengths, UserError
from rl.data.demonstrations import BadDemonstration, labels, load_demonstrations
from rl.policies.diffusion.samples import PolicyWindows
from rl.policies.diffusion.sizes import Horizons
from robot.commands import export_compared as export
from robot.recording.demonstrations import to_demonstration, write_demonstrations
from robot.recording.recorder import Recorder, episode_folders
from tests.toy_robot_episodes import noted, robot_episode, texture

CAMERAS = ("world", "wrist")
STEPS = (5, 7, 4)


def told(number: int) -> dict[str, object]:
    """Of an odd episode the first step is idle, the third held, the fourth led; in each, two views are stale."""
    odd, steps = number % 2, STEPS[number]
    about: dict[str, object] = {"arm": "simulated", "fault": "reflex", "mark": "failure" if odd else "success"}
    log = noted(steps, [0] if odd else [], [2] if odd else [], [3] if odd else [], wrist=[1, steps])
    log = replace(log, reward=np.linspace(-1, number, steps))
    return {"task": f"open door {odd}", "about": about, "log": log, "success": number != 1}


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    recorder = Recorder(tmp_path_factory.mktemp("session"))
    for number, steps in enumerate(STEPS):
        recorder.save(robot_episode(number, steps, CAMERAS, **told(number)))
    return recorder.root


def run(session: Path, out: Path, *more: str) -> int:
    return mpr(["robot", "export", "--episodes", str(session), "--out", str(out), *more])


# LeRobot


@pytest.fixture(scope="module")
def robot_data(session, tmp_path_factory) -> Path:
    pytest.importorskip("pyarrow", reason="pyarrow, the extra `lerobot`, is not installed")
    out = tmp_path_factory.mktemp("lerobot") / "run"
    assert run(session, out, "--name", "doors") == 0
    return out / "doors"


def test_a_lerobot_set_holds_every_step_once_with_nominal_and_measured_times(session, robot_data):
    import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]

    table = parquet.read_table(robot_data / "data/chunk-000/file-000.parquet")
    rows = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    episodes = [load_episode(folder) for folder in episode_folders(session).values()]
    assert rows["index"].tolist() == list(range(sum(STEPS)))
    assert rows["episode_index"].tolist() == [e for e, steps in enumerate(STEPS) for _ in range(steps)]
    assert rows["frame_index"].tolist() == [t for steps in STEPS for t in range(steps)]
    np.testing.assert_array_equal(rows["timestamp"], (rows["frame_index"] / 10).astype(np.float32))
    np.testing.assert_array_equal(
        rows["observation.time"], np.concatenate([e.times[:-1] - e.times[0] for e in episodes])
    )
    actions = np.concatenate([e.executed_actions for e in episodes]).astype(np.float32)
    np.testing.assert_array_equal(rows["action"], actions)
    states = np.concatenate([e.states[:-1] for e in episodes]).astype(np.float32)
    np.testing.assert_array_equal(rows["observation.state"], states)
    assert np.flatnonzero(rows["next.success"]).tolist() == [4, 15], "the failure's last step is none"
    for name in ("base", "residual"):
        wanted = np.concatenate([getattr(e, f"{name}_actions") for e in episodes]).astype(np.float32)
        np.testing.assert_array_equal(rows[f"{name}_action"], wanted)
    assert [np.flatnonzero(rows[name]).tolist() for name in ("idle", "unsent", "stale")] == [[5], [7], [1, 6, 13]]
    assert np.flatnonzero(rows["intervention"]).tolist() == [8] and np.flatnonzero(rows["next.done"]).tolist() == [
        4,
        11,
        15,
    ]
    paid = np.concatenate([np.linspace(-1, e, steps) for e, steps in enumerate(STEPS)]).astype(np.float32)
    np.testing.assert_array_equal(rows["next.reward"], paid)
    assert rows["mark"].tolist() == ["success"] * 5 + ["failure"] * 7 + ["success"] * 4
    assert rows["task_index"].tolist() == [0] * 5 + [1] * 7 + [0] * 4


def test_a_set_of_episodes_of_which_some_were_paid_has_no_rewards_and_says_so(tmp_path, capsys):
    pytest.importorskip("pyarrow", reason="pyarrow, the extra `lerobot`, is not installed")
    recorder = Recorder(tmp_path / "episodes")
    for number, reward in enumerate((np.zeros(5), None)):
        recorder.save(robot_episode(number, 5, CAMERAS, log=replace(noted(5), reward=reward)))
    assert run(tmp_path / "episodes", tmp_path / "out", "--name", "some") == 0
    assert "next.reward is left out: not all episodes were paid" in capsys.readouterr().out
    assert "next.reward" not in json.loads((tmp_path / "out/some/meta/info.json").read_text())["features"]


def test_its_files_describe_it(robot_data):
    import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]

    info = json.loads((robot_data / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_frames"]) == ("v3.0", 10, 16)
    assert info["features"]["observation.images.wrist"]["shape"] == [48, 64, 3] and info["robot_type"] == "simulated"
    assert info["features"]["action"] == {"dtype": "float32", "shape": [8], "names": None}
    tasks = parquet.read_table(robot_data / "meta/tasks.parquet")
    assert tasks["__index_level_0__"].to_pylist() == ["open door 0", "open door 1"]
    assert b"pandas" in tasks.schema.metadata
    stats = json.loads((robot_data / "meta/stats.json").read_text())
    data = parquet.read_table(robot_data / "data/chunk-000/file-000.parquet")
    np.testing.assert_allclose(stats["action"]["mean"], np.array(data["action"].to_pylist()).mean(0), atol=1e-6)
    assert info["features"]["mark"] == {"dtype": "string", "shape": [1], "names": None}
    assert set(stats) == set(info["features"]) - {"mark"}, "a text has no statistics"
    assert np.shape(stats["observation.images.world"]["std"]) == (3, 1, 1)
    rows = parquet.read_table(robot_data / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [(0, 5), (5, 12), (12, 16)]
    np.testing.assert_allclose(rows[1]["stats/observation.state/count"], [7])
    about = json.loads(rows[1]["about"])
    assert (about["fault"], about["terminated"], about["task"]) == ("reflex", True, "open door 1")
    assert about["log"]["held"][1:4] == ["", "guard", ""] and about["log"]["stale/wrist"] == [
        t in (1, 7) for t in range(8)
    ]
    for name in ("base_action", "residual_action", "idle", "unsent", "intervention", "stale", "mark"):
        assert name in info["features"] and not name.startswith(("action", "observation")), "LeRobot would train on it"


def test_find_sees_each_episode_with_its_own_images(session, robot_data, tmp_path):
    camera = "observation.images.wrist"
    find = ["find", "--lerobot", str(robot_data), "--camera", camera, "--sheet", "0", "--out", str(tmp_path / "found")]
    assert mpr(find) == 0
    entries = [json.loads(line) for line in (tmp_path / "found/manifest.jsonl").read_text().splitlines()]
    assert [e["narration"] for e in entries] == ["open door 0", "open door 1", "open door 0"]
    video = VideoFrames(entries[0]["video"])
    for entry, folder in zip(entries, episode_folders(session).values(), strict=True):
        source = load_episode(folder).frames["wrist"]
        taken = pick_frames(video.times, entry["start_s"], entry["stop_s"], 0).tolist()
        assert len(taken) == len(source) - 1
        for t, frame in enumerate(taken):
            off = [np.abs(video[frame].astype(int) - source[i]).mean() for i in range(len(source))]
            assert np.argmin(off) == t and off[t] < export.IMAGE_ERROR["lerobot"] / 2


def test_lerobot_itself_reads_every_row_and_image(session, robot_data, tmp_path, monkeypatch):
    """With lerobot 0.4.4 and what it needs on PYTHONPATH, but for torch and draccus; for torchcodec FFmpeg, too."""
    pytest.importorskip("lerobot", reason="lerobot is not installed: it asks for an older torch than ours")
    from datasets import config as cache  # pyright: ignore[reportMissingImports]
    from lerobot.datasets import lerobot_dataset, utils  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(cache, "HF_DATASETS_CACHE", tmp_path / "cache")
    before = {"observation.images.wrist": [-0.1, 0.0]}
    data = lerobot_dataset.LeRobotDataset("robot/doors", root=robot_data, delta_timestamps=before)
    assert (data.num_episodes, len(data), data.fps) == (len(STEPS), sum(STEPS), 10)
    kinds = utils.dataset_to_policy_features(data.meta.features)
    assert [name for name, one in kinds.items() if one.type.name == "ACTION"] == ["action"], "what policies predict"
    episodes = [load_episode(folder) for folder in episode_folders(session).values()]
    for i, (episode, t) in enumerate((one, t) for one in episodes for t in range(len(one))):
        row = data[i]
        assert row["task"] == episode.task and row["frame_index"] == t
        assert row["next.success"] == (episode.success and t == len(episode) - 1)
        for name, values in export.lerobot.lerobot_columns(episode, paid=True).items():
            if name == "mark":
                assert row[name] == values[t]
                continue
            np.testing.assert_array_equal(row[name], values[t].astype(row[name].numpy().dtype), err_msg=name)
        earlier, now = row["observation.images.wrist"]
        for camera, at, image in [
            ("world", t, row["observation.images.world"]),
            ("wrist", max(t - 1, 0), earlier),  # before the first there is the first
            ("wrist", t, now),
        ]:
            source, found = episode.frames[camera], image.permute(1, 2, 0).numpy() * 255
            off = [np.abs(found - source[k]).mean() for k in range(len(source))]
            assert np.argmin(off) == at and off[at] < export.IMAGE_ERROR["lerobot"] / 2


# Minari


def test_a_minari_set_is_exact_and_tells_failure_from_time_out(session, tmp_path, monkeypatch, capsys):
    minari = pytest.importorskip("minari", reason="minari, the extra `policy`, is not installed")
    assert run(session, tmp_path / "run", "--format", "minari") == 0
    said = capsys.readouterr().out
    assert "world: 19 images, equal" in said and "stale: 19 rows, equal" in said
    assert "left out of the episodes: arm, fault, held, mark, rate_hz, reward, seed, task" in said
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "run"))
    data = minari.load_dataset("robot/episodes-v0")
    for number, found in enumerate(data):
        source = load_episode(episode_folders(session)[number])
        np.testing.assert_array_equal(found.observations["state"], source.states)
        np.testing.assert_array_equal(found.actions, source.executed_actions)
        np.testing.assert_array_equal(found.infos["time"], source.times)
        np.testing.assert_array_equal(found.infos["base_action"], source.base_actions)
        assert np.flatnonzero(found.infos["stale"]).tolist() == [1, STEPS[number]]
        flagged = [np.flatnonzero(found.infos[name]).tolist() for name in ("idle", "unsent", "intervention")]
        assert flagged == ([[0], [2], [3]] if number == 1 else [[], [], []])
        wrist = source.frames["wrist"]
        assert all((found.observations["images"]["wrist"][t] == wrist[t]).all() for t in range(len(wrist)))
        assert found.rewards.sum() == found.rewards[-1] == (number != 1)
        assert found.terminations.tolist() == [False] * (STEPS[number] - 1) + [True], "the failure terminated, too"
        assert data.action_space.contains(found.actions[0])


def test_a_place_may_be_relative(session, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="minari, the extra `policy`, is not installed")
    monkeypatch.chdir(tmp_path)
    assert run(session, Path("run"), "--format", "minari") == 0
    assert minari.MinariDataset(tmp_path / "run/robot/episodes-v0/data").total_episodes == 3


# The comparison


def changed(parts: list[export.EpisodeParts], number: int, name: str, value: object) -> list[export.EpisodeParts]:
    arrays, frames = parts[number]
    made = {**arrays, name: value} if name in arrays else arrays
    return [*parts[:number], (made, {**frames, name: value} if name in frames else frames), *parts[number + 1 :]]  # type: ignore


def shifted(frames: FrameSource, by: int) -> FrameSource:
    return Picked(frames, (np.arange(len(frames)) + by).clip(0, len(frames) - 1))


def test_what_reads_back_otherwise_is_found(session):
    episodes = [load_episode(folder) for folder in episode_folders(session).values()]
    parts = list(export.source_parts("minari", episodes))

    def wrong(found: list[export.EpisodeParts]) -> list[str]:
        return [one.name for one in export.compare_with_source(iter(parts), iter(found), 3) if not one.within(0)]

    assert wrong(parts) == []
    state = parts[1][0]["state"].copy()
    state[3, 2] = np.nextafter(state[3, 2], 9)
    assert wrong(changed(parts, 1, "state", state)) == ["state"]
    state[3, 2] = np.nan
    assert wrong(changed(parts, 1, "state", state)) == ["state"]
    assert wrong(changed(parts, 2, "world", parts[2][1]["wrist"])) == ["world"]
    for found, says in [
        (parts[:2], "2 episodes"),
        ([*parts, parts[0]], "or more"),
        (changed(parts, 0, "state", state[:2]), r"state reads back as \(2, 7\)"),
        (changed(parts, 0, "action", parts[0][0]["action"].astype(np.float32)), "float32, written were"),
        (changed(parts, 0, "wrist", parts[1][1]["wrist"]), "8 images, written were 6"),
        (changed(parts, 0, "wrist", shifted(parts[0][1]["wrist"], 1)), "one out of place"),
        (changed(parts, 0, "wrist", shifted(parts[0][1]["wrist"], -1)), "one out of place"),
    ]:
        with pytest.raises(UserError, match=says):
            wrong(found)


def test_a_set_that_reads_back_otherwise_is_not_called_done(session, tmp_path, monkeypatch, capsys):
    pytest.importorskip("minari", reason="minari, the extra `policy`, is not installed")
    buffer = export.minari._buffer
    monkeypatch.setattr(export.minari, "_buffer", lambda n, e: buffer(n, replace(e, states=e.states + 1e-12)))
    assert run(session, tmp_path / "run", "--format", "minari", "--successes") == 2
    assert "in state: do not use it" in capsys.readouterr().err
    assert not (tmp_path / "run" / "summary.json").exists()


# Refusals


def test_refusals_are_one_line(session, tmp_path, capsys):
    assert run(session, tmp_path / "a", "--format", "hdf5") == 2
    assert "no format 'hdf5'; there is lerobot, minari" in capsys.readouterr().err
    assert run(tmp_path / "nowhere", tmp_path / "a") == 2
    assert "holds 0 episodes, none to export" in capsys.readouterr().err
    assert run(session, tmp_path / "a", "--name", "../x") == 2
    assert "--name '../x'" in capsys.readouterr().err
    recorder = Recorder(tmp_path / "torn")
    file = recorder.save(robot_episode()) / "world.mp4"
    file.write_bytes(file.read_bytes()[:-1])
    assert run(recorder.root, tmp_path / "a") == 2
    assert "episode_000000/world.mp4 is torn" in capsys.readouterr().err
    assert run(session, tmp_path / "a", "--dry-run") == 0 and "episodes: 3" in capsys.readouterr().out
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("kind", "needs", "world"), [("lerobot", "pyarrow", "observation.images.world"), ("minari", "minari", "world")]
)
def test_episodes_that_do_not_fit_together_are_refused(kind, needs, world, tmp_path, capsys):
    pytest.importorskip(needs, reason=f"{needs}, which the format {kind} needs, is not installed")
    small = np.stack([texture(1, t, 32, 32) for t in range(6)])
    for number, (other, says) in enumerate(
        [
            (robot_episode(1, frames={"world": small}), f"{world} of (32, 32, 3), the first (48, 64, 3)"),
            (robot_episode(1, cameras=("wrist",)), f"{world} of nothing, the first (48, 64, 3)"),
            (robot_episode(1, states=np.zeros((6, 9))), "state of (9,), the first (7,)"),
        ]
    ):
        recorder = Recorder(tmp_path / str(number))
        recorder.save(robot_episode(0))
        recorder.save(other)
        assert run(recorder.root, recorder.root / "out", "--format", kind) == 2
        assert says in capsys.readouterr().err
        assert not (recorder.root / "out").exists()


# Demonstrations


def idle_episode(*idle: int, steps: int = 5, **changes: object) -> Episode:
    return robot_episode(0, steps, task="open", log=noted(steps, idle), **changes)


@pytest.mark.parametrize(
    ("idle", "acted"), [((), [0, 1, 2, 3, 4]), ((0, 1), [2, 3, 4]), ((2,), [0, 1, 3, 4]), ((3, 4), [0, 1, 2])]
)
def test_idle_steps_go_and_every_action_stays_beside_what_it_was_made_of(idle, acted):
    episode = idle_episode(*idle)
    made = to_demonstration(episode, 12)
    assert made.seed == 12 and made.task == "open" and made.success and len(made) == len(acted)
    np.testing.assert_array_equal(made.executed_actions, episode.executed_actions[acted].astype(np.float32))
    np.testing.assert_array_equal(labels(made), made.executed_actions)
    assert made.base_actions is None and made.teacher_actions is None
    np.testing.assert_array_equal(made.states, episode.states[[*acted, 5]].astype(np.float32))
    np.testing.assert_array_equal(made.times, episode.times[[*acted, 5]])
    for t, at in enumerate([*acted, 5]):
        assert (made.frames["world"][t] == episode.frames["world"][at]).all()


def test_notes_that_do_not_fit_and_nothing_but_idleness_are_refused():
    with pytest.raises(BadDemonstration, match="demonstration 3: not one of its 5 steps teaches"):
        to_demonstration(idle_episode(0, 1, 2, 3, 4), 3)
    with pytest.raises(OddLengths, match="5 actions need 5 notes of idle, got 2"):
        robot_episode(0, log=StepLog(idle=np.array([True, False])))


def test_steps_at_which_nothing_was_sent_or_seen_teach_nothing():
    found = to_demonstration(robot_episode(0, log=noted(5, [0], [1], wrist=[3, 5])), 3)
    whole = robot_episode(0)
    np.testing.assert_allclose(found.executed_actions, whole.executed_actions[[2, 4]], rtol=1e-6)
    np.testing.assert_allclose(found.states, whole.states[[2, 4, 5]], rtol=1e-6)


def test_successes_become_demonstrations_that_a_policy_trains_on(tmp_path):
    recorder = Recorder(tmp_path / "session")
    for number in range(3):
        recorder.save(idle_episode(2, steps=12, success=number != 1))
    assert [p.name for p in write_demonstrations(recorder.whole, tmp_path / "demos")] == [
        "demonstration_000000",
        "demonstration_000002",
    ]
    found = load_demonstrations(tmp_path / "demos")
    assert [len(d) for d in found] == [11, 11] and [d.seed for d in found] == [0, 2]
    world = load_episode(recorder.whole[2]).frames["world"]
    assert (found[1].frames["world"][3] == world[4]).all(), "images as they are on disk, the idle step's left out"
    assert len(PolicyWindows(found, Horizons(), 0)) > 0
    with pytest.raises(UserError, match="0 episodes, none a success"):
        write_demonstrations({}, tmp_path / "demos")


def test_a_success_in_which_nobody_moved_is_left_out_and_said(tmp_path, capsys):
    recorder = Recorder(tmp_path / "session")
    recorder.save(idle_episode())
    recorder.save(idle_episode(0, 1, 2, 3, 4))
    assert [p.name for p in write_demonstrations(recorder.whole, tmp_path / "demos")] == ["demonstration_000000"]
    assert "episode 1 is left out: not one of its 5 steps teaches" in capsys.readouterr().out
    with pytest.raises(UserError, match="1 episodes, none a success that teaches"):
        write_demonstrations({1: recorder.whole[1]}, tmp_path / "none")
