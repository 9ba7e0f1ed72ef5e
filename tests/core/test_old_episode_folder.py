"""Folders of before there was one kind of episode, made here as they were written then, are read as what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpr.core.checksums import write_sums
from mpr.core.data.episode_folder import load_episode, save_episode
from mpr.core.data.video import write_video
from mpr.core.errors import BadClip, OddLengths
from rl.data.demonstrations import labels, load_demonstration, load_demonstrations
from robot.commands.run_session import episode_rows
from robot.recording.recorded import episode_figures, load_recorded
from robot.session import episode_summary
from tests.toy_robot_episodes import same_arrays, texture

STEPS = 3
RNG = np.random.default_rng(0)
NUMBERS = {
    "states": RNG.normal(size=(STEPS + 1, 8)),
    "times": np.array([0, 0.1, 0.2, 0.3]),
    **{f"{name}_actions": RNG.uniform(-1, 1, (STEPS, 8)) for name in ("base", "residual", "executed")},
}
ROBOT = {
    **{"arm": "simulated", "rate_hz": 10.0, "policy": "expert", "task": "open it", "seed": 7, "alpha": 0.1},
    **{"mark": "success", "fault": "", "held": {"bad action": 1}, "unsent": [False, True, False]},
    **{"met": {"step": 2}, "stale": {"world": [1]}, "state_times": [-0.01, 0.09, 0.19, 0.29]},
    **{"picture_times": {"world": [-0.02, 0.08, 0.18, 0.28]}, "sent_times": [0.01, 0.11, 0.21]},
    **{"joints": [[0.0] * 7] * 4, "late": [0.0, 0.001, 0.0], "overruns": 0, "missed": 0},
    "late_s": {"median": 0.0, "p99": 0.001, "worst": 0.001},
}
SCRIPTED = {"task": "slide", "kind": "opening", "seed": 5, "view": "front", "noise": 0.05, "opened": 0.25}


def old_episode(folder: Path, about: dict[str, Any], cameras: tuple[str, ...] = (), **numbers: Any) -> Path:
    folder.mkdir(parents=True)
    np.savez_compressed(folder / "arrays.npz", **{**NUMBERS, **numbers})
    for camera in cameras:
        write_video(folder / f"{camera}.mp4", (texture(0, t) for t in range(STEPS + 1)), NUMBERS["times"])
    said = {"terminated": True, "truncated": False, "success": True, "cameras": list(cameras), "about": about}
    (folder / "episode.json").write_text(json.dumps(said, indent=2) + "\n")
    write_sums(folder)
    return folder


def old_demonstration(folder: Path, **said: Any) -> Path:
    folder.mkdir(parents=True)
    singles = {name: NUMBERS[name].astype(np.float32) for name in ("states", "executed_actions", "base_actions")}
    states, executed, actions = singles.values()
    np.savez_compressed(
        folder / "arrays.npz", states=states, actions=actions, executed=executed, times=NUMBERS["times"]
    )
    np.save(folder / "frames_front.npy", np.stack([texture(1, t) for t in range(STEPS + 1)]))
    about = {"format": 1, "success": True, "seed": 12, "cameras": ["front"], "recorded": False, "shows": "slide, fully"}
    (folder / "demonstration.json").write_text(json.dumps({**about, "rate_hz": 12.5, **said}) + "\n")
    return folder


def test_a_robots_episode_of_before(tmp_path: Path) -> None:
    found = load_episode(old_episode(tmp_path / "e", ROBOT, ("world",)), verify=True)
    for name, values in NUMBERS.items():
        np.testing.assert_array_equal(getattr(found, name), values)
    assert found.teacher_actions is None and len(found.frames["world"]) == STEPS + 1
    assert (found.task, found.seed, found.rate_hz, found.success) == ("open it", 7, 10.0, True)
    log = found.log
    assert log.held is not None and log.held.tolist() == ["", "bad action", ""] and log.met is None
    assert (
        log.joints_rad is not None and log.joints_rad.shape == (4, 7) and log.stale["world"].tolist()[:3] == [0, 1, 0]
    )
    assert log.frame_s["world"].tolist() == ROBOT["picture_times"]["world"] and log.idle is None
    assert (
        found.about["met"] == {"step": 2}
        and found.about["fault"] == ""
        and not {"unsent", "picture_times"} & found.about.keys()
    )
    save_episode(found, tmp_path / "now")
    assert same_arrays(load_episode(tmp_path / "now", verify=True), found)


def test_what_held_an_arm_before_is_counted_as_it_was(tmp_path: Path) -> None:
    """Which of two reasons held it at which step nobody noted: no step is given both, and the totals stay."""
    unsent, held = [False, True, True], {"bad action": 1, "stale state": 1}
    found = load_recorded(old_episode(tmp_path / "e", {**ROBOT, "held": held, "unsent": unsent, "missed": 4}))
    assert found.log.held is not None and found.log.held.tolist() == ["", *["bad action or stale state"] * 2]
    save_episode(found, tmp_path / "now")
    for episode in (found, load_recorded(tmp_path / "now", verify=True)):
        told = episode_figures(episode)
        assert (told["held"], told["met"], told["missed"]) == (held, {"step": 2}, 4)
        assert told["late_s"]["worst"] == 0.001 and told["overruns"] == 0
        assert "held at: bad action 1, stale state 1" in episode_summary(episode)


def test_totals_of_before_without_a_note_a_step_are_kept_and_none_is_made_up(tmp_path: Path) -> None:
    steps = ("unsent", "late", "sent_times", "state_times", "picture_times", "joints", "stale")
    about = {name: value for name, value in ROBOT.items() if name not in steps}
    found = load_recorded(old_episode(tmp_path / "e", about | {"missed": 2}))
    told = episode_figures(found)
    assert found.log.arrays == {} and told["held"] == {"bad action": 1} and told["missed"] == 2
    assert told["met"] == {"step": 2} and told["late_s"] == ROBOT["late_s"]
    assert "held at: bad action 1" in episode_summary(found)
    bare = load_recorded(old_episode(tmp_path / "bare", {"arm": "simulated"}))
    assert [episode_figures(bare)[name] for name in ("held", "met", "missed")] == [None] * 3, "nobody counted"
    assert [row.rsplit("|", 2)[1].strip() for row in episode_rows({"a": found, "b": bare})[2:]] == ["step 2", "–"]
    for name, wrong in {"held": {"bad action": "often"}, "late_s": {"worst": 0.1}, "missed": "two"}.items():
        with pytest.raises(BadClip, match=name):
            load_recorded(old_episode(tmp_path / name, {**ROBOT, name: wrong}))


def test_a_scripted_episode_of_before_had_a_teacher_and_no_policy(tmp_path: Path) -> None:
    found = load_episode(old_episode(tmp_path / "e", SCRIPTED))
    assert found.base_actions is None and found.residual_actions is None and found.teacher_actions is not None
    np.testing.assert_array_equal(found.teacher_actions, NUMBERS["base_actions"])
    assert (found.task, found.seed) == ("slide", 5) and found.about["kind"] == "opening"


def test_one_from_before_images_checksums_and_much_else(tmp_path: Path) -> None:
    folder = old_episode(tmp_path / "e", {"arm": "simulated", "held": {}, "rate_hz": "10"})
    said = json.loads((folder / "episode.json").read_text())
    del said["cameras"]
    (folder / "episode.json").write_text(json.dumps(said))
    (folder / "SHA256SUMS").unlink()
    found = load_episode(folder)
    assert found.log.arrays == {} and found.rate_hz == 0 and found.seed is None
    with pytest.raises(BadClip, match="e has no SHA256SUMS"):
        load_episode(folder, verify=True)


@pytest.mark.parametrize(
    ("about", "says"),
    [({"unsent": [False] * 2}, "3 actions need 3 notes of held, got 2"), ({"seed": "x"}, "about.seed is 'x'")],
)
def test_what_it_says_of_itself_and_is_not_is_refused_by_name(tmp_path: Path, about: dict, says: str) -> None:
    folder = old_episode(tmp_path / "e", {**ROBOT, **about})
    with pytest.raises(BadClip, match=f"{folder}.*{says}"):
        load_episode(folder)
    with pytest.raises(OddLengths):
        load_episode(old_episode(tmp_path / "odd", ROBOT, states=NUMBERS["states"][1:]))


def test_a_demonstration_of_before(tmp_path: Path) -> None:
    old_demonstration(tmp_path / "demonstration_000012")
    (found,) = load_demonstrations(tmp_path)
    np.testing.assert_array_equal(labels(found), NUMBERS["base_actions"].astype(np.float32))
    np.testing.assert_array_equal(found.executed_actions, NUMBERS["executed_actions"].astype(np.float32))
    assert found.states.dtype == labels(found).dtype == np.float32 and isinstance(found.frames["front"], np.memmap)
    assert (found.seed, found.task, found.rate_hz, found.terminated) == (12, "slide, fully", 12.5, True)
    with pytest.raises(BadClip, match="it has format 3"):
        load_demonstration(old_demonstration(tmp_path / "later", format=3))
    with pytest.raises(BadClip, match=r"frames_left\.npy is missing"):
        load_demonstration(old_demonstration(tmp_path / "lost", cameras=["left"]))


def test_a_demonstration_from_before_rates_were_kept(tmp_path: Path) -> None:
    assert load_demonstration(old_demonstration(tmp_path / "d", rate_hz=None)).rate_hz == 0


def test_a_time_that_a_device_did_not_give_loses_no_episode_of_before(tmp_path: Path) -> None:
    """Views with such a time were kept, and told apart by their fault."""
    about = {**ROBOT, "state_times": [-0.01, float("nan"), 0.19, 0.29]}
    found = load_episode(old_episode(tmp_path / "e", about))
    assert found.log.state_s is not None and np.isnan(found.log.state_s).tolist() == [False, True, False, False]
    with pytest.raises(BadClip):
        load_episode(old_episode(tmp_path / "odd", {**ROBOT, "state_times": ["noon", 1.0, 2.0, 3.0]}))
