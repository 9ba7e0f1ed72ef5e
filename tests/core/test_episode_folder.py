"""An episode's folder: whatever an episode has comes back as it was, in the same bytes; what is none is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.checksums import write_sums
from mpr.core.data.episode import OPTIONAL, Episode
from mpr.core.data.episode_folder import load_episode, save_episode
from mpr.core.data.step_log import PER_STEP, PER_VIEW, StepLog, count_texts
from mpr.core.errors import BadClip, OddLengths
from tests.toy_robot_episodes import robot_episode, same_arrays, texture

NOTES = (
    *(name for name in {**PER_STEP, **PER_VIEW} if name not in ("stale", "frame_s")),
    "stale/world",
    "frame_s/world",
)


def note(name: str, steps: int, rng: np.random.Generator) -> np.ndarray:
    kinds = {**PER_STEP, **PER_VIEW}[name.partition("/")[0]]
    rows = steps + (name.partition("/")[0] in PER_VIEW)
    if name == "joints_rad":
        return rng.normal(size=(rows, 7))
    if "U" in kinds:
        return rng.choice(["", "step", "step, turn"], rows)
    return (
        rng.random(rows) < 0.5 if "b" in kinds else rng.integers(0, 9, rows) if "f" not in kinds else rng.random(rows)
    )


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    steps, rng = draw(st.integers(1, 6)), np.random.default_rng(draw(st.integers(0, 99)))
    kind = draw(st.sampled_from([np.float32, np.float64]))
    acted = draw(st.sets(st.sampled_from(OPTIONAL)))
    noted = draw(st.sets(st.sampled_from(NOTES)))
    success = draw(st.booleans())
    return Episode(
        states=rng.normal(size=(steps + 1, 3)).astype(kind),
        times=np.cumsum(rng.uniform(0.05, 0.2, steps + 1)),
        executed_actions=rng.normal(size=(steps, 2)).astype(kind),
        **{name: rng.normal(size=(steps, 2)).astype(kind) for name in sorted(acted)},  # pyright: ignore
        terminated=success,
        truncated=not success,
        success=success,
        log=StepLog.of({name: note(name, steps, rng) for name in sorted(noted)}),
        seed=draw(st.none() | st.integers(0, 10**6)),
        task=draw(st.text(max_size=9)),
        rate_hz=draw(st.sampled_from([0.0, 10.0, 12.5])),
        about=draw(st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=5), max_size=3)),
    )


@settings(max_examples=40, deadline=None)
@given(episodes(), st.booleans())
def test_what_an_episode_has_comes_back_in_the_same_bytes(tmp_path_factory, episode: Episode, lossless: bool) -> None:
    folder = tmp_path_factory.mktemp("e")
    save_episode(episode, folder / "a", lossless)
    loaded = load_episode(folder / "a", verify=True)
    assert same_arrays(loaded, episode) and loaded.success == loaded.terminated == episode.success
    assert [a.dtype for a in loaded.arrays.values()] == [a.dtype for a in episode.arrays.values()]
    save_episode(loaded, folder / "b", lossless)
    for file in (folder / "a").iterdir():
        assert file.read_bytes() == (folder / "b" / file.name).read_bytes(), file.name


def test_frames_without_loss_are_the_very_pixels_and_stay_on_disk(tmp_path: Path) -> None:
    odd = np.stack([texture(0, t, 15, 21) for t in range(6)])  # no video has odd sizes
    save_episode(robot_episode(frames={"world": odd}), tmp_path / "e", lossless=True)
    frames = load_episode(tmp_path / "e", verify=True).frames["world"]
    assert isinstance(frames, np.memmap) and np.array_equal(frames, odd)
    save_episode(load_episode(tmp_path / "e"), tmp_path / "again", lossless=True)
    assert (tmp_path / "again" / "SHA256SUMS").read_text() == (tmp_path / "e" / "SHA256SUMS").read_text()
    (tmp_path / "e" / "frames_world.npy").rename(tmp_path / "e" / "frames_wrist.npy")
    with pytest.raises(BadClip, match=r"lacks frames_world\.npy"):
        load_episode(tmp_path / "e", verify=True)
    write_sums(tmp_path / "e")
    with pytest.raises(BadClip, match=r"frames_world\.npy is missing"):
        load_episode(tmp_path / "e", verify=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 3}, "it has format 3, this version reads those up to 2"),
        ({"frames": "raw"}, "frames is 'raw', not one of video, lossless"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"recorded": True}, "recording.npz is missing"),
        ({"rate_hz": -1.0}, "its rate is -1.0 Hz"),
        ({"about": []}, "about is a list of 0"),
    ],
)
def test_what_its_json_may_not_say(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    save_episode(robot_episode(), tmp_path / "e")
    said = json.loads((tmp_path / "e" / "episode.json").read_text())
    (tmp_path / "e" / "episode.json").write_text(json.dumps(said | change))
    with pytest.raises(BadClip, match=f"{tmp_path / 'e'}.*{says}"):
        load_episode(tmp_path / "e")


@pytest.mark.parametrize(
    ("notes", "kind", "says"),
    [
        ({"late_s": np.zeros(4)}, OddLengths, "5 actions need 5 notes of late_s, got 4"),
        ({"stale/world": np.zeros(5, bool)}, OddLengths, "5 actions need 6 notes of stale/world, got 5"),
        ({"joints_rad": np.zeros(6)}, BadClip, r"noted of joints_rad, \(6,\) float64, is of another kind"),
        ({"idle": np.zeros(5)}, BadClip, "noted of idle, .* is of another kind"),
    ],
)
def test_notes_that_do_not_fit_are_refused(notes: dict[str, np.ndarray], kind: type[BadClip], says: str) -> None:
    with pytest.raises(kind, match=says):
        robot_episode(log=StepLog.of(notes))


def test_a_device_without_a_clock_loses_no_episode(tmp_path: Path) -> None:
    times = np.array([0, 0.1, np.nan, 0.3, 0.4, 0.5])
    save_episode(robot_episode(log=StepLog(frame_s={"world": times})), tmp_path / "e")
    np.testing.assert_array_equal(load_episode(tmp_path / "e").log.frame_s["world"], times)


@pytest.mark.parametrize("name", ["laziness", "stale", "late_s/world"])
def test_nothing_else_is_noted(name: str) -> None:
    with pytest.raises(ValueError, match=f"nothing is noted as '{name}'"):
        StepLog.of({name: np.zeros(5)})


def test_reasons_are_counted() -> None:
    assert count_texts(np.array(["", "step", "step, turn"])) == {"step": 2, "turn": 1} and count_texts(None) == {}
