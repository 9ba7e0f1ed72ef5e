"""Scoring what a camera filmed of a robot's episode: with a box or masks, any tracker, one square a camera."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import save_clip
from mpr.core.data.crop import OUTSIDE
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import save_episode
from mpr.core.errors import UserError
from mpr.reward import tracked
from mpr.reward.any_motion import AnyMotionReward
from mpr.reward.tracked import FilmedObject, track_episode
from tests.core.test_scene import record
from tests.toy_clips import toy_clip
from tests.toy_robot_episodes import robot_episode
from tests.tracking.test_track_video import Moving
from tracking.trackers.lucas_kanade import LucasKanade

STEPS = 8
BOX = (55, 25, 105, 71)
ASKED = ["--reward", "any_motion", "--film", "false"]


def filmed(step: tuple[float, float] = (1.5, 0.5), cameras: tuple[str, ...] = ("world",), **more: Any) -> Episode:
    """A textured thing that moves by so many pixels a step, late once."""
    times = np.cumsum([0.0, *([0.1] * 5), 0.25, 0.1, 0.1])
    frames = {camera: Moving(STEPS + 1, step) for camera in cameras}
    return robot_episode(0, STEPS, frames=frames, times=times, rate_hz=10.0, seed=4, **more)


class Masks:
    def __init__(self, moving: Moving) -> None:
        self.moving = moving

    def __len__(self) -> int:
        return len(self.moving)

    def __getitem__(self, t: int, /) -> np.ndarray:
        return self.moving.mask(t)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session") / "episode_000000"
    save_episode(filmed(cameras=("world", "wrist")), folder)
    return folder


def test_a_robots_episode_gives_a_film_strip(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = ["--camera", "wrist", "--box", "55,25,105,71"]
    assert mpr(["score", "--episode", str(folder), *box, *ASKED, "--out", str(tmp_path / "run")]) == 0
    kept = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert kept["tracker"] == "lucas_kanade" and kept["steps"] == STEPS and kept["gaps"] == 1
    assert kept["moved_0.5"]["mean_moved_share"] > 0.8 and kept["lost_share"] == 0
    assert (tmp_path / "run" / "strip.png").stat().st_size > 10_000
    assert "8 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "seen by world, wrist: say by which it is tracked, --camera NAME"),
        (["--camera", "front", "--box", "1,2,3,4"], "--camera front: this episode was seen by world, wrist"),
        (["--camera", "world"], "give --box x0,y0,x1,y1 around it, in pixels of camera world (160 x 96)"),
        (
            ["--camera", "world", "--box", "55,25,105,71", "--tracker", "exact"],
            "tracker 'exact' asks a simulator's rec",
        ),
        (["--camera", "world", "--box", "55,25,105,71", "--box_frame", "9"], "box frame 9 is not there"),
        (["--tracker", "eyes"], "no tracker 'eyes'; there is exact, lucas_kanade, cotracker3_offline"),
        (["--demonstrations", "clips"], "--demonstrations goes with --video or --episode and --box"),
    ],
)
def test_what_is_missing_is_said_in_a_line(
    asked: list[str], says: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips").mkdir()
    assert mpr(["score", "--episode", str(folder), *asked, *ASKED, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--clip", "c", "--camera", "world"], "--camera world goes with --episode"),
        (["--clip", "c", "--tracker", "lucas_kanade"], "a clip has its tracks"),
        (["--video", "v.mp4", "--box", "1,2,3,4", "--tracker", "exact"], "no simulator recorded a video"),
    ],
)
def test_what_goes_with_an_episode_alone_is_refused_elsewhere(asked, says, tmp_path, capsys) -> None:
    assert mpr(["score", *asked, *ASKED, "--out", str(tmp_path / "run")]) == 2
    assert says in capsys.readouterr().err


def test_nothing_to_see_is_said() -> None:
    with (
        pytest.raises(UserError, match="neither a scene recording nor frames"),
        track_episode(robot_episode(cameras=())),
    ):
        pass


def test_masks_serve_as_well_as_a_box_and_have_to_fit() -> None:
    episode = filmed()
    moving: Any = episode.frames["world"]
    there = FilmedObject(masks=Masks(moving))

    def track(one: Episode) -> Any:
        return track_episode(one, LucasKanade(), filmed=there)

    scored = AnyMotionReward(track).score(episode)
    assert (np.delete(scored, 5) > 0.8).all() and scored[5] == 0, "a late step is paid nothing"
    with track(episode) as clip:
        assert clip.source.masks == "given" and clip.times.tolist() == episode.times.tolist() and clip.rate_hz == 10
    for wrong in (np.zeros((STEPS, 96, 160), bool), np.zeros((STEPS + 1, 60, 80), bool)):
        with (
            pytest.raises(UserError, match="masks for camera world: "),
            track_episode(episode, filmed=FilmedObject(masks=wrong)),
        ):
            pass


@pytest.mark.parametrize("name", ["lucas_kanade", "cotracker3_offline", "cotracker3_online"])
def test_any_tracker_of_the_registry_is_asked_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Named(LucasKanade):
        pass

    def make(asked: str) -> LucasKanade:
        made.append(asked)
        tracker = Named()
        tracker.name = asked  # type: ignore[misc]
        return tracker

    monkeypatch.setattr("mpr.reward.tracked.make_tracker", make)
    with track_episode(filmed(), name, filmed=FilmedObject(box=BOX)) as clip:
        assert clip.source.tracker == name == made[0]


def test_episodes_of_a_camera_are_seen_in_one_square(tmp_path: Path) -> None:
    """Whatever happens in each: that of the demonstrations."""
    with track_episode(filmed((2.0, 0.0)), filmed=FilmedObject(box=BOX)) as clip:
        save_clip(clip, tmp_path / "clips" / "shown")
    found = []
    for number, step in enumerate(((0.5, 0.0), (4.0, 0.0))):
        save_episode(filmed(step), tmp_path / "episodes" / str(number))
        asked = ["score", "--episode", str(tmp_path / "episodes" / str(number)), "--box", "55,25,105,71", *ASKED]
        out = tmp_path / str(number)
        assert mpr([*asked, "--demonstrations", str(tmp_path / "clips"), "--out", str(out)]) == 0
        found.append(json.loads((out / "summary.json").read_text()))
    assert found[0]["square"] == found[1]["square"] and found[0][OUTSIDE] == 0 < found[1][OUTSIDE]


def test_a_recording_is_not_needed_where_a_camera_filmed() -> None:
    """A demonstration has both: who says where its object is in the frames is heard."""
    episode = dataclasses.replace(filmed(), about={"arm": "toy"})
    with track_episode(episode, filmed=FilmedObject("world", BOX)) as clip:
        assert clip.source.dataset == "episode of toy" and clip.source.extra["camera"] == "world"
        assert clip.source.extra["box"] == [55.0, 25.0, 105.0, 71.0] and clip.source.uid == "open the microwave_4"


@pytest.mark.parametrize(
    ("rate_hz", "steps", "gaps"), [(6.25, [0.16] * 4, 0), (25.0, [0.04, 0.04, 0.1, 0.04], 1), (0.0, [0.2] * 4, 4)]
)
def test_a_clip_of_a_recorded_episode_has_the_episodes_rate_and_gaps(
    rate_hz: float, steps: list[float], gaps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was re-timed is not all gaps, one that stalled has its gap, whatever the recording's own rate."""
    times = np.cumsum([0.0, *steps])
    episode = robot_episode(0, 4, cameras=(), times=times, rate_hz=rate_hz, recording=record(5))
    recorded = toy_clip(length=5, rate_hz=record(5).rate_hz)
    monkeypatch.setattr(tracked, "recorded_clip", lambda *_: nullcontext(recorded))
    with track_episode(episode) as clip:
        assert clip.gaps.tolist() == episode.gaps.tolist() and clip.gaps.sum() == gaps
        assert clip.times.tolist() == times.tolist()


def test_a_clip_that_loses_its_object_says_so_when_it_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its steps without the object count 0, which a mean does not tell."""
    clip = toy_clip(length=20)
    masks = [clip.masks[t] if t < 8 else np.zeros((256, 256), bool) for t in range(20)]
    save_clip(dataclasses.replace(clip, masks=masks), tmp_path / "lost")
    save_clip(clip, tmp_path / "whole")
    for name, said in (("lost", "the object is not seen from 0.64 s to the end"), ("whole", "")):
        asked = ["score", "--clip", str(tmp_path / name), "--reward", "any_motion", "--film", "false"]
        assert mpr([*asked, "--out", str(tmp_path / f"run_{name}")]) == 0
        printed = capsys.readouterr().out
        assert said in printed and ("the object is not seen" in printed) == bool(said)
        assert "these steps count 0" in printed if said else True
