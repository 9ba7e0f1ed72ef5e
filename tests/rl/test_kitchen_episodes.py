"""Scripted episodes: each kind is what it says; and the command that records them."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium_robotics")


from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.errors import UserError
from rl.commands.episodes import main
from rl.environments.kitchen import episodes
from rl.environments.kitchen.episodes import NotOfItsKind, attempt_episode, reversals
from rl.environments.kitchen.tasks import ARM, find_task
from rl.environments.setting import OpeningOptions
from tests.rl.kitchen_episodes import KIND_NAMES, SEED, TASK_NAMES, episode, travel_of


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_each_kind_is_what_it_says(task: str, kind: str) -> None:
    made, t = episode(task, kind), find_task(task)
    travel, opened = travel_of(made), t.opened
    assert made.success == made.terminated == (kind == "opening") and made.truncated == (kind != "opening")
    assert 15 <= len(made) <= 150
    if kind == "opening":
        assert travel[0] < t.still and travel[-1] >= opened > travel[-2]
        moving = int((travel > 0.05 * opened).sum())
        assert 10 <= moving <= 55
    elif kind == "closing":
        assert travel[0] > 0.6 * opened and travel[-1] < 0.1 * opened
        assert np.diff(travel).max() < 0.05 * opened, "a door that is being closed does not open"
    elif kind == "jiggling":
        assert reversals(travel, 0.3 * opened) >= 3
    elif kind == "miss":
        assert np.ptp(travel) < t.still
        assert np.linalg.norm(made.states[:, -3:], axis=1).min() > 0.1, "the gripper came to the handle"
    else:
        assert 0.25 * opened < travel[-1] <= travel.max() < 0.65 * opened
        assert np.linalg.norm(made.states[-1, -3:]) > 0.1, "the hand has not drawn back"


@pytest.mark.parametrize("task", TASK_NAMES)
def test_only_the_gripper_moves_the_door(task: str) -> None:
    for kind in ("opening", "closing", "jiggling"):
        made = episode(task, kind)
        moved = np.abs(np.diff(travel_of(made))) > 0.02 * find_task(task).opened
        far = np.linalg.norm(made.states[1:, -3:], axis=1) > 0.08
        assert moved.any() and not (moved & far).any()


def test_execution_is_noisy_and_labels_are_not() -> None:
    made = episode("microwave", "opening")
    noise = (made.executed_actions - made.teacher_actions)[:, ARM]
    free = np.abs(made.teacher_actions[:, ARM]) < 0.8  # where clipping cannot touch it
    assert 0.04 < noise[free].std() < 0.06 and abs(noise[free].mean()) < 0.01
    assert np.abs(made.executed_actions).max() <= 1.0 and made.base_actions is made.residual_actions is None


def test_the_view_changes_the_camera_and_nothing_else() -> None:
    front, left = episode("slide", "miss"), episode("slide", "miss", view="left")
    assert front.recording is not None and left.recording is not None
    np.testing.assert_array_equal(front.recording.qpos, left.recording.qpos)
    np.testing.assert_array_equal(front.states, left.states)
    assert not np.allclose(front.recording.camera.positions, left.recording.camera.positions)


def test_an_episode_depends_on_its_seed_alone_not_on_what_ran_before() -> None:
    first = attempt_episode("microwave", "partial", SEED + 1, "front")
    with suppress(NotOfItsKind):
        attempt_episode("microwave", "miss", SEED + 2, "front")
    again = attempt_episode("microwave", "partial", SEED + 1, "front")
    assert first.recording is not None and again.recording is not None
    assert first.recording.to_bytes() == again.recording.to_bytes()


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 3))
def test_reversals_counts_turns_and_ignores_jitter(jitter: list[float], turns: int) -> None:
    corners = [float(i % 2) for i in range(turns + 2)]
    zigzag = np.concatenate([np.linspace(a, b, 20) for a, b in itertools.pairwise(corners)])
    noise = 0.1 * np.resize(jitter, len(zigzag))
    assert reversals(zigzag + noise, 0.5) == turns
    assert reversals(0.2 * np.array(jitter), 0.5) == 0


def test_command_records_resumes_and_counts_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = attempt_episode, []

    def sometimes(task: str, kind: str, seed: int, view: str, options: OpeningOptions) -> Episode:
        asked.append((seed, view))
        if seed == SEED:
            raise NotOfItsKind("unlucky")
        return real(task, kind, seed, view, options)

    monkeypatch.setattr(episodes, "attempt_episode", sometimes)
    arguments = ["--task", "slide", "--kind", "miss", "--seed", str(SEED), "--out", str(tmp_path / "run")]
    main([*arguments, "--episodes", "1"])
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"seed": 600')  # killed while writing
    main([*arguments, "--episodes", "2"])
    assert asked == [(SEED, "front"), (SEED + 1, "front"), (SEED + 2, "left")]
    loaded = load_episode(tmp_path / "run" / f"episode_{SEED + 2}")
    assert loaded.about["view"] == "left" and loaded.recording is not None
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(row["seed"], row["failed"]) for row in rows] == [(SEED, "unlucky"), (SEED + 1, ""), (SEED + 2, "")]


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        ("--task", "fridge", "microwave, hinge, slide"),
        ("--kind", "slamming", "jiggling"),
        ("--view", "behind", "front"),
    ],
)
def test_command_names_what_exists(argument: str, value: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        main([argument, value])


def test_dry_run_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--dry-run", "--out", str(tmp_path / "run")])
    assert "views: front, left" in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_command_gives_up_where_nothing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> Episode:
        raise NotOfItsKind("the door is locked")

    monkeypatch.setattr(episodes, "attempt_episode", locked)
    with pytest.raises(UserError, match="in a row gave no opening of microwave; the last: the door is locked"):
        main(["--out", str(tmp_path / "run")])
