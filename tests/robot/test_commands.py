"""`mpr robot ...` on the simulated arm, as an operator types them; and what they refuse, in a line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.data.video import VideoFrames, write_video
from mpr.core.errors import UserError
from rl.data.demonstrations import load_demonstrations
from rl.policies.base_policy import BasePolicy
from robot.commands import demos_session
from robot.commands.check import CheckConfig
from robot.commands.check_arm import checked
from robot.hardware.arm import ArmError
from robot.hardware.camera import CameraImage
from robot.policies.named import base_policy
from robot.simulated.arm import SimulatedArm
from robot.simulated.cameras import SimulatedCamera
from robot.simulated.operator import SimulatedOperator
from robot.station import Station, StationConfig, named_station
from robot.teleop.operator import Answer
from tests.toy_arm import ToyArm, ToyClock
from tests.toy_station import ToyOperator

SMALL = ["--size", "32"]


def raised(error: BaseException) -> None:
    raise error


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of the expert."""
    out = tmp_path_factory.mktemp("robot") / "run"
    assert mpr(["robot", "run", *SMALL, "--episodes", "2", "--films", "1", "--out", str(out)]) == 0
    return out


@pytest.mark.gl
def test_run_leaves_marked_episodes_films_and_a_page(ran: Path) -> None:
    summary = json.loads((ran / "summary.json").read_text())
    assert summary["episodes"] == summary["successes"] == 2 and summary["events"] == {}
    for name in ("episode_000000", "episode_000001"):
        episode = load_episode(ran / "episodes" / name, verify=True)
        assert (
            episode.success and episode.about["mark"] == "success" and len(episode.frames["wrist"]) == len(episode) + 1
        )
    assert len(VideoFrames(ran / "films" / "episode_000000.mp4")) == summary["steps"][0] + 1
    page = (ran / "page.html").read_text()
    assert page.count("<video") == 1 and "success after" in page


@pytest.mark.gl
def test_a_longer_session_goes_on_and_keeps_what_was_there(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = shutil.copytree(ran, tmp_path / "run")  # the others look at one of two episodes
    before = (ran / "episodes" / "episode_000001" / "SHA256SUMS").read_text()
    longer = ["robot", "run", *SMALL, "--episodes", "3", "--films", "1", "--out", str(ran)]
    monkeypatch.setattr("robot.commands.run_session.session", lambda *_: raised(KeyboardInterrupt()))
    assert mpr(longer) == 130 and not (ran / "summary.json").exists(), "a run that goes on is not complete"
    monkeypatch.undo()
    assert mpr(longer) == 0
    assert json.loads((ran / "summary.json").read_text())["episodes"] == 3
    assert (ran / "episodes" / "episode_000001" / "SHA256SUMS").read_text() == before
    assert mpr(["robot", "run", "--size", "48", "--out", str(ran)]) == 2
    assert "other settings (size: 32 there, 48 asked)" in capsys.readouterr().err


@pytest.mark.gl
def test_a_replay_that_a_fault_ended_is_no_success(
    ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = ["--limits.low", "[0.5, 0.5, 0.5]", "--limits.high", "[0.9, 0.9, 0.9]"]
    asked = ["robot", "replay", *SMALL, *far, "--episode", str(ran / "episodes" / "episode_000000"), "--on_arm", "true"]
    assert mpr([*asked, "--out", str(tmp_path / "replay")]) == 2
    assert "the arm did not follow to the end: out of reach" in capsys.readouterr().err
    assert json.loads((tmp_path / "replay" / "summary.json").read_text())["fault"]


@pytest.mark.gl
def test_an_episode_is_followed_again_slower_and_near_its_path(ran: Path, tmp_path: Path) -> None:
    episode = str(ran / "episodes" / "episode_000001")
    out = ["--out", str(tmp_path / "again")]
    asked = ["robot", "replay", *SMALL, "--episode", episode, "--on_arm", "true", "--speed", "0.5", *out]
    assert mpr(asked) == 0
    summary = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert summary["replayed_steps"] > 1.5 * summary["steps"] and summary["off_m"] < 0.05
    again = load_episode(tmp_path / "again" / "episodes" / "episode_000000")
    other = ran / "episodes" / "episode_000000"
    looks = [load_episode(Path(folder)).frames["world"][0].astype(float) for folder in (episode, other)]
    apart = [np.abs(again.frames["world"][0] - look).mean() for look in looks]
    assert apart[0] < 0.25 * apart[1] and again.seed == 1, "the scene of the recorded one"
    assert not again.success and summary["success_marked"], "the door opens, and it is no policy's success"
    speed = [
        np.linalg.norm(np.diff(load_episode(folder).states[:, :3], axis=0), axis=1).max()
        for folder in (Path(episode), tmp_path / "again" / "episodes" / "episode_000000")
    ]
    assert speed[1] < 0.75 * speed[0]


@pytest.mark.gl
def test_demonstrations_are_what_bc_learns_from(tmp_path: Path) -> None:
    assert mpr(["robot", "demos", *SMALL, "--num_demos", "1", "--out", str(tmp_path / "demos")]) == 0
    (one,) = load_demonstrations(tmp_path / "demos" / "demonstrations")
    assert one.states.shape[1] == one.executed_actions.shape[1] == 8 and set(one.frames) == {"world", "wrist"}
    bc = ["bc", "--demos", str(tmp_path / "demos" / "demonstrations"), "--size", "tiny", "--steps", "2", "--batch", "4"]
    assert mpr([*bc, "--device", "cpu", "--out", str(tmp_path / "bc")]) == 0
    run = ["robot", "run", *SMALL, "--policy", str(tmp_path / "bc"), "--episodes", "1", "--step_limit", "12"]
    assert mpr([*run, "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == [12]


@pytest.mark.gl
def test_check_measures_and_draws_the_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mpr(["robot", "check", "--size", "64", "--seconds", "0.5", "--out", str(tmp_path / "check")]) == 0
    said = capsys.readouterr().out
    assert "world: 30 new a second" in said and "quaternions taken as xyzw" in said and "it had moved 2 mm" in said
    summary = json.loads((tmp_path / "check" / "summary.json").read_text())
    assert summary["failed"] == [] and (tmp_path / "check" / "world.png").exists()
    assert "workspace is not drawn" not in said


@pytest.mark.gl
def test_a_camera_whose_first_look_takes_long_does_not_age_the_state_that_a_check_moves_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look, looked = SimulatedCamera.latest, list[str]()

    def slow(camera: SimulatedCamera) -> CameraImage:
        if not looked:
            looked.append("long")
            camera._world.sleep_until(camera._world.now() + 0.2)  # type: ignore[attr-defined]
        return look(camera)

    monkeypatch.setattr(SimulatedCamera, "latest", slow)
    assert mpr(["robot", "check", *SMALL, "--seconds", "0.5", "--out", str(tmp_path / "check")]) == 0
    assert "it had moved 2 mm" in capsys.readouterr().out


@pytest.mark.gl
@pytest.mark.parametrize(
    ("of", "name", "does", "said"),
    [
        (SimulatedOperator, "ask", lambda *_: Answer.QUIT, "the operator did not let it move; --move false only looks"),
        (SimulatedArm, "home", lambda _: raised(ArmError("the arm is lost")), "the arm is lost"),
    ],
)
def test_a_check_that_ended_in_the_middle_leaves_no_run_behind(
    of: type, name: str, does: object, said: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(of, name, does)
    assert mpr(["robot", "check", *SMALL, "--seconds", "0.5", "--out", str(tmp_path / "check")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "check").exists(), "--move false would be refused there"


def test_a_check_asks_before_anything_moves_the_hand_too() -> None:
    clock, operator = ToyClock(), ToyOperator(answers=(Answer.QUIT,))
    with pytest.raises(UserError, match="did not let it move"):
        list(checked(CheckConfig().resolved(), Station(ToyArm(clock), (), clock, operator)))
    assert "the hand opens" in operator.asked[0] and "nothing in its hand" in operator.asked[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["run", "--arm", "kuka"], "no arm 'kuka'; there is simulated, franky, polymetis"),
        (["run", "--arm", "franky"], "--arm franky: needs --host, its FCI host name"),
        (["run", "--arm", "polymetis", "--host", "here"], "needs --host, HOST:PORT of its server"),
        (["run", "--arm", "franky", "--host", "h"], "needs --world and --wrist"),
        (["run", "--task", "towel"], "no task of the simulated arm 'towel'"),
        (["run", "--policy", "nowhere"], "no policy 'nowhere'; there is expert, stay, and run folders of `mpr bc`"),
        (["run", "--films", "-1"], "--films -1: 0 or more"),
        (["run", "--rate_hz", "1"], "is under two beats of --rate_hz 1"),
        (["run", "--arm", "franky", "--host", "h", "--world", "1", "--wrist", "2"], "--policy expert goes with"),
        (
            ["demos", "--arm", "franky", "--host", "h", "--world", "1", "--wrist", "2", "--teleop", "expert"],
            "goes with",
        ),
        (["run", "--episodes", "0"], "--episodes 0: 1 or more"),
        (["run", "--limits.step", "0"], "limit step 0 m: above 0, 0.1 at most"),
        (["demos", "--teleop", "wheel"], "no teleoperation device 'wheel'; there is gamepad, spacemouse, keyboard"),
        (["check", "--seconds", "0"], "--seconds 0: 0.5 to 60"),
        (["replay", "--episode", "nowhere"], "there is no episode at nowhere"),
        (["faults", "--workers", "0"], "--workers 0: at least 1"),
        (["run", "--size", "33"], "--size 33: 16 to 640 pixels, even"),
        (["run", "--policy", "bc", "--device", "banana"], "no device 'banana'; there is auto, cpu, cuda, cuda:N"),
        (["run", "--operator", "keyboard"], "keys are read from a terminal"),
        (["demos", "--task", "towel"], "no task of the simulated arm 'towel'"),
        (["demos", "--teleop", "keyboard"], "keys are read from a terminal"),
        (["check", "--task", "towel"], "no task of the simulated arm 'towel'"),
        (["check", "--operator", "keyboard"], "keys are read from a terminal"),
        (["replay", "--speed", "1e-308"], "--speed 1e-308: 0.01 to 1"),
        (["run", "--world", "film.mp4", "--host", "h"], "--host, --world: of a real arm"),
        (["check", "--wrist", "2"], "--wrist: of a real arm"),
        (["replay", "--episode", ".", "--task", "towel"], "no task of the simulated arm 'towel'"),
        (["faults", "--task", "towel"], "no task of the simulated arm 'towel'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_leaves_no_run_behind(
    asked: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mpr(["robot", *asked, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists(), "the corrected command would find other settings there"


@pytest.mark.parametrize("verb", [["robot", "run"], ["bench", "robot"]])
def test_a_policy_that_is_none_is_refused_before_the_arm_is_asked(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def entered(arm: SimulatedArm) -> None:
        raise AssertionError("the arm was entered")

    monkeypatch.setattr(SimulatedArm, "__enter__", entered)
    assert mpr([*verb, *SMALL, "--policy", "nowhere", "--out", str(tmp_path / "out")]) == 2
    assert "no policy 'nowhere'" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    asked = ["robot", "run", *SMALL, "--policy", str(tmp_path), "--device", "cuda", "--out", str(tmp_path / "out")]
    assert mpr(asked) == 2
    assert "--device cuda: this machine has no GPU" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arm", "host"), [("franky", "172.16.0.2"), ("polymetis", "there:50080")])
def test_a_real_stations_parts_are_named_before_anything_is_connected(
    arm: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("something was connected")

    monkeypatch.setattr("socket.create_connection", connect)
    for package in ("franky", "pyrealsense2"):
        monkeypatch.setitem(sys.modules, package, None)  # to import it is an error, installed or not
    film = tmp_path / "wrist.mp4"
    write_video(film, (np.full((16, 24, 3), 40 * i, np.uint8) for i in range(3)), np.arange(3) / 10)
    with named_station(StationConfig(arm=arm, host=host, world="115222071234", wrist=str(film))) as at:
        assert at.arm.features.name == arm and at.arm.features.real
        sizes = {camera.features.name: (camera.features.height, camera.features.width) for camera in at.cameras}
        assert sizes == {"world": (480, 640), "wrist": (16, 24)}
        assert at.expert is None and at.keys is not None


def test_a_bench_on_a_real_arm_needs_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = ["--arm", "franky", "--host", "h", "--world", "1", "--wrist", "2"]
    assert mpr(["bench", "robot", *real, "--out", str(tmp_path / "out"), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "needs --policy" in error and len(error.strip().splitlines()) == 1
    assert mpr(["bench", "robot", *real, "--policy", "stay", "--out", str(tmp_path / "out"), "--dry-run"]) == 0


def test_an_out_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert mpr(["robot", "run", *SMALL, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert "file" in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("out", ["/proc/nowhere", "/proc/nowhere/below", "/sys/nowhere", "x" * 300])
def test_an_out_that_cannot_be_made_is_refused(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert mpr(["robot", "run", *SMALL, "--out", out]) == 2
    error = capsys.readouterr().err
    assert out.removesuffix("/below") in error and len(error.strip().splitlines()) == 1


@pytest.mark.gl
def test_a_damaged_episode_is_named_left_out_and_made_up_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["robot", "demos", *SMALL, "--num_demos", "1", "--out", str(tmp_path / "demos")]
    assert mpr(asked) == 0
    arrays = tmp_path / "demos" / "episodes" / "episode_000000" / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes() + b"x")
    capsys.readouterr()
    assert mpr(asked) == 0
    assert "episode 0 is damaged and left out" in capsys.readouterr().out
    assert [d.seed for d in load_demonstrations(tmp_path / "demos" / "demonstrations")][-1] == 1


class IdleAtFirst:
    """Flags, made anew for each episode: in the first, nothing was asked of the arm."""

    def __init__(self) -> None:
        self.asked = 0

    def __iter__(self) -> Iterator[bool]:
        self.asked += 1
        return iter([self.asked == 1] * 1000)


@pytest.mark.gl
def test_a_success_in_which_nobody_moved_is_no_demonstration_and_made_up_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def led(by: str, at: Station) -> Iterator[BasePolicy]:
        with base_policy(by, at, ahead=False) as expert:
            expert.idle = IdleAtFirst()  # pyright: ignore[reportAttributeAccessIssue]
            yield expert

    monkeypatch.setattr(demos_session, "leader_of", led)
    assert mpr(["robot", "demos", *SMALL, "--num_demos", "1", "--out", str(tmp_path / "demos")]) == 0
    assert [d.seed for d in load_demonstrations(tmp_path / "demos" / "demonstrations")] == [1]
    said = capsys.readouterr().out
    assert "a success, but no demonstration: not one of its" in said and "episode 0 is left out" in said
    assert json.loads((tmp_path / "demos" / "summary.json").read_text())["demonstrations"] == 1


@pytest.mark.gl
def test_an_expert_that_shows_nothing_is_given_up_where_nobody_sits_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos_session, "_PATIENCE", 2, raising=False)
    finished, made = demos_session.finished, list[Episode]()

    def counted(episode: Episode, *more: Any) -> Episode:
        made.append(episode)
        assert len(made) <= 2, "it would never end"
        return finished(episode, *more)

    monkeypatch.setattr(demos_session, "finished", counted)
    asked = ["robot", "demos", *SMALL, "--num_demos", "1", "--step_limit", "2"]
    assert mpr([*asked, "--out", str(tmp_path / "demos")]) == 2
    error = capsys.readouterr().err
    assert "not one of the last 2 episodes is a demonstration" in error and len(error.strip().splitlines()) == 1


@pytest.mark.gl
def test_what_holds_the_arm_is_on_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["robot", "run", *SMALL, "--limits.image_age", "0.001", "--step_limit", "3", "--episodes", "1"]
    assert mpr([*asked, "--out", str(tmp_path / "run")]) == 0
    assert "stale image: the image of camera world is" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "demos", "check", "replay", "faults"])
def test_a_dry_run_touches_nothing(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--episode", str(tmp_path)] if verb == "replay" else []
    assert mpr(["robot", verb, *more, "--dry-run", "--out", str(tmp_path / "out")]) == 0
    assert "limits" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_a_config_made_in_code_is_not_run_with_the_limits_of_a_table() -> None:
    with pytest.raises(ValueError, match="resolved"), named_station(StationConfig()):
        pass
