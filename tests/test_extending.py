"""Adding a thing is a file and a line: every example of CONTRIBUTING.md, installed as another package's and used."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from mpr.cli import main
from mpr.core.registry import Registry
from tests.other_package import Groups, installed
from tests.toy_sources import film
from tracking.sources.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def examples() -> dict[str, tuple[dict[str, str], Groups]]:
    """Of each section of the guide its files and its entry points."""
    found = {}
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```(python|toml)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        files = {text.split("\n")[0].removeprefix("# "): text for language, text in blocks if language == "python"}
        lines = [tomllib.loads(text) for language, text in blocks if language == "toml"]
        groups = {name: things for one in lines for name, things in one["project"]["entry-points"].items()}
        found[section.splitlines()[0]] = (files, groups)
    return found


def registries() -> list[Registry]:
    """Every table of things by name that the packages hold."""
    files = [file for package in ("mpr", "tracking", "rl", "robot") for file in (ROOT / package).rglob("*.py")]
    holding = [file for file in files if re.search(r"^\w+ = Registry\(", file.read_text(), re.MULTILINE)]
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in holding]
    return [one for name in modules for one in vars(import_module(name)).values() if isinstance(one, Registry)]


@pytest.fixture(autouse=True)
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, in one package."""
    there = list(examples().values())
    files = {name: text for some, _ in there for name, text in some.items()}
    groups = {name: things for _, some in there for name, things in some.items()}
    (tmp_path / "package").mkdir()
    installed(tmp_path / "package", monkeypatch, files, groups)


def test_each_kind_is_one_file_and_one_line() -> None:
    for kind, (files, groups) in examples().items():
        assert len(files) == 1, kind
        assert [len(things) for things in groups.values()] == [1], kind


def test_every_table_is_in_the_guide_and_holds_what_can_be_imported() -> None:
    found = registries()
    assert {one.group for one in found} == {group for _, groups in examples().values() for group in groups}
    for one in found:
        for name in one.ours:
            assert one.load(name) is not None, f"{one.kind} {name}"


def test_a_scene() -> None:
    from tests.core.test_scene import record
    from tracking.simulator.mujoco_scene import build_model

    made_there = replace(record(), scene="pendulum", arguments={"size": 0.2}, qpos=np.zeros((len(record()), 1)))
    assert build_model(made_there).geom_size[0, 0] == 0.2


def test_a_reward() -> None:
    from rl.environments.setting import Setting
    from rl.residual.config import FinetuneConfig
    from rl.residual.rewards import find_reward, step_rewards
    from tests.mpr.test_scoring import episode

    assert not FinetuneConfig(reward="praise").sees
    given = step_rewards(find_reward("praise", Setting("kitchen:hinge")), episode(steps=3))
    assert given.tolist() == [-0.5, -0.5, 0.5]  # offset, and the bonus of a success


def test_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from mpr.core.data.clip_folder import save_clip
    from mpr.predictor.checkpoint import load_predictor
    from rl.policies.diffusion.policy import DiffusionPolicy, PolicyShape
    from tests.toy_clips import toy_clip

    for i in range(3):
        save_clip(toy_clip(i, length=5), tmp_path / "clips" / f"c{i}")
    asked = ["train", "--clips", str(tmp_path / "clips"), "--encoder", "blocks", "--image", "32", "--points", "12"]
    asked += ["--batch", "2", "--steps", "2", "--val_share", "0.4", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main(asked) == 0
    predictor = load_predictor(tmp_path / "run")
    assert type(predictor.encoder).__name__ == "Blocks"
    assert predictor.encode(np.zeros((2, 256, 256, 3), np.uint8)).shape == (2, 4, 32)

    assert main(["bc", "--encoder", "blocks", "--demos", str(tmp_path), "--dry-run"]) != 1
    shape = PolicyShape(3, 2, {"front": (24, 32)}, "blocks", 8, widths=(8, 16))
    frames = torch.zeros(1, 2, 24, 32, 3, dtype=torch.uint8)
    seen = DiffusionPolicy(shape).condition({"state": torch.zeros(1, 2, 3), "camera.front": frames})
    assert seen.shape == (1, shape.condition)
    capsys.readouterr()
    for verb in ("train", "bc"):
        assert main([verb, "--encoder", "eye"]) == 2
        assert (
            "no encoder 'eye'; there is vit, dinov2, resnet18, r3m18, r3m34, r3m50, blocks" in capsys.readouterr().err
        )
    assert main(["train", "--encoder", "resnet18"]) == 2 and "a predictor looks at patch" in capsys.readouterr().err


def test_a_tracker(tmp_path: Path) -> None:
    from mpr.core.data.clip_folder import load_clip
    from mpr.core.data.video import write_video

    image = np.full((96, 96, 3), 40, np.uint8)
    image[24:66, 24:66] = (200, 60, 60)
    write_video(tmp_path / "film.mp4", [image] * 10, np.arange(10) / 10)
    asked = [
        "--video",
        str(tmp_path / "film.mp4"),
        "--box",
        "20,20,70,70",
        "--tracker",
        "standing",
        "--overlay",
        "false",
    ]
    assert main(["track", *asked, "--out", str(tmp_path / "clip")]) == 0
    clip = load_clip(next(iter((tmp_path / "clip").rglob("clip.json"))).parent)
    assert clip.source.tracker == "standing"
    assert all(np.array_equal(s.points, np.broadcast_to(s.points[0], s.points.shape)) for s in clip.segments)


def test_a_model_that_finds_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tracking.clips.config import TrackConfig
    from tracking.masks.registry import object_finder, refuse_missing

    refuse_missing("middle", tmp_path)
    found = object_finder("middle", tmp_path)([np.zeros((8, 12, 3), np.uint8)] * 3, ["cup"])
    assert len(found.masks) == 3 and found.masks[2].sum() == 4 * 6 and found.found.word == "cup"
    assert TrackConfig(manifest=Path("m.jsonl"), words=("cup",), masks="middle").masks == "middle"
    assert main(["track", "--manifest", "m.jsonl", "--words", "cup", "--masks", "edge"]) == 2
    assert "no model 'edge' finds or follows objects; there is owlv2 (detector)" in capsys.readouterr().err


def test_an_environment_and_a_base_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--env", "line:any", "--base", "wave", "--reward", "praise", "--demos", "none", "--episodes", "2"]
    asked += ["--batch", "8", "--warmup_steps", "5", "--utd", "0.2"]
    assert main(["finetune", *asked, "--out", str(tmp_path / "run")]) == 0
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    wrong = ["finetune", "--env", "line:any", "--demos", "none", "--base", "wave"]
    assert main([*wrong, "--reward", "any_motion", "--out", str(tmp_path / "no")]) == 2
    assert "no reward 'any_motion' of line:any; there is environment, none, paper_sparse" in capsys.readouterr().err
    assert main(["robot", "run", "--policy", "wave", "--dry-run"]) == 0
    assert "input policy" not in capsys.readouterr().out, "it is no folder"


def test_a_task_of_the_kitchen(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gymnasium_robotics")
    from rl.environments.kitchen.environment import KitchenEnvironment
    from rl.environments.kitchen.recording import record_kitchen

    environment = KitchenEnvironment("light", step_limit=2)
    environment.reset(seed=0)
    assert environment.step(np.zeros(9))[2:4] == (False, False) and environment.travel == pytest.approx(0, abs=0.02)
    qpos = environment.data.qpos.copy()
    qpos[list(environment.task.joints)] = environment.task.goal
    environment.write_qpos(qpos)
    assert environment.success and environment.travel > environment.task.opened
    assert len(record_kitchen(environment, "front").qpos) == 2
    environment.close()
    assert main(["demos", "--task", "light"]) == 2  # the expert would need a grasp
    assert "kitchen task 'light' has no grasp" in capsys.readouterr().err
    assert main(["demos", "--task", "kettle"]) == 2
    assert "no kitchen task 'kettle'; there is microwave, hinge, slide, light" in capsys.readouterr().err


def test_a_start_option_of_the_kitchen(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gymnasium_robotics")
    from rl.environments.registry import kind_of
    from rl.environments.setting import Setting

    found = []
    for options in ("start=clutter", ""):
        setting = Setting("kitchen:hinge", options=options)
        with kind_of(setting.env).open(setting) as environment:
            environment.reset(seed=3)
            found.append(environment.unwrapped.data.qpos[23:25].copy())
    assert 0.001 < np.abs(found[0] - found[1]).max() <= 0.06
    for verb in (["demos", "--start"], ["finetune", "--demos", "none", "--base", "zero", "--env_options"]):
        said = {"demos": "{}", "finetune": "start={}"}[verb[0]]
        assert main([*verb, said.format("clutter"), "--dry-run"]) == 0
        assert main([*verb, said.format("mess"), "--dry-run"]) == 2
        assert "no start option 'mess'; there is shut, ajar, part_open, clutter" in capsys.readouterr().err


def test_a_task_of_the_simulated_arm(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gymnasium_robotics")
    from robot.simulated import simulated
    from robot.station import StationConfig

    limits = StationConfig(task="cupboard").resolved().limits
    assert (limits.low[1], limits.high[2]) == (-0.6, 1.2)
    with simulated("cupboard", (32, 48)) as twin, twin.arm:
        assert twin.world.measured().travel == pytest.approx(0) and twin.expert is None
        assert "a sliding cabinet" in twin.operator.about and twin.limits.high[2] == 1.2
    assert main(["robot", "run", "--task", "cupboard", "--policy", "stay", "--dry-run"]) == 0
    assert main(["robot", "run", "--task", "towel"]) == 2
    assert "no task of the simulated arm 'towel'; there is microwave, cupboard" in capsys.readouterr().err


def test_a_data_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / "monday.mp4")
    (tmp_path / "diary.txt").write_text("monday.mp4 0.2 1.4 open the drawer\nmonday.mp4 1.0 1.8 wash the cup\n")
    asked = ["find", "--source", f"diary={tmp_path / 'diary.txt'}", "--query", "open drawer", "--sheet", "0"]
    assert main([*asked, "--out", str(tmp_path / "found")]) == 0
    (entry,) = read_manifest(tmp_path / "found" / "manifest.jsonl")
    assert (entry.narration, entry.licence) == ("open the drawer", "my own")
    for wrong, says in (
        ("dairy=x", "no data source 'dairy'; there is ego4d"),
        ("diary", "NAME=PATH"),
        ("epic=x", "NAME"),
    ):
        assert main(["find", "--source", wrong]) == 2
        assert says in capsys.readouterr().err


BESIDE = ["--arm", "sleeper", "--host", "here", "--world", "darkness:64", "--wrist", "darkness:32"]


def test_an_arm_and_cameras(capsys: pytest.CaptureFixture[str]) -> None:
    from robot.station import StationConfig, enter_station, named_station

    assert main(["robot", "run", *BESIDE, "--policy", "stay", "--dry-run"]) == 0
    config = StationConfig(arm="sleeper", host="here", world="darkness:64", wrist="darkness:32")
    with named_station(config) as at, enter_station(replace(at, keys=None)):
        assert at.arm.features.name == "sleeper" and at.arm.state().width == 0.08
        sizes = {camera.features.name: camera.latest().image.shape for camera in at.cameras}
        assert sizes == {"world": (64, 64, 3), "wrist": (32, 32, 3)}
    for wrong, says in (
        (["--arm", "kuka"], "no arm 'kuka'; there is simulated, franky, polymetis, sleeper"),
        (["--arm", "sleeper"], "--arm sleeper: needs --host, its address"),
        ([*BESIDE[:-1], "dusk:3"], "no kind of camera 'dusk'; there is realsense, video, darkness"),
    ):
        assert main(["robot", "run", *wrong, "--policy", "stay", "--dry-run"]) == 2
        assert says in capsys.readouterr().err


def test_a_teleoperation_device(capsys: pytest.CaptureFixture[str]) -> None:
    from robot.teleop.keys import Keys
    from robot.teleop.policy import TeleopPolicy
    from robot.teleop.registry import teleop

    assert main(["robot", "demos", *BESIDE, "--teleop", "metronome", "--dry-run"]) == 0
    with teleop("metronome", Keys()) as device:
        policy = TeleopPolicy(device)
        policy.reset(0)
        up, down = policy.act(np.zeros(8)), policy.act(np.zeros(8))
    assert up[2] > 0 > down[2] and policy.idle == [False, False]
    assert main(["robot", "demos", *BESIDE, "--teleop", "wheel"]) == 2
    assert (
        "no teleoperation device 'wheel'; there is gamepad, spacemouse, keyboard, metronome" in capsys.readouterr().err
    )
