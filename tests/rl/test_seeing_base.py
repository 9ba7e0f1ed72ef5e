"""A base policy that sees, in the kitchen: rendered there as its demonstrations were, shown their frames for labels."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.checkpoints import BadCheckpoint, last_checkpoint
from mpr.core.checksums import CHECKSUM_FILE
from mpr.core.data.episode import Episode
from mpr.core.errors import NoGL, UserError
from rl.data.demonstrations import (
    BadDemonstration,
    demonstration_folder,
    frame_sizes,
    labels,
    load_demonstrations,
    save_demonstration,
    seed_of,
)
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.images import KitchenImages, images_for
from rl.environments.kitchen.tasks import find_task
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.play import Outcome, play_episode
from rl.environments.residual import ResidualEnvironment
from rl.environments.setting import Setting
from rl.experiments.base import BaseConfig
from rl.policies.diffusion.checkpoint import load_actor
from rl.policies.diffusion.schedule import Sampler
from rl.residual.config import FinetuneConfig
from rl.residual.demonstrations import label
from rl.residual.train import Finetuning, finetune
from tests.toy_demonstrations import toy_demonstration

TASK, SIDE, STEPS = "slide", 40, 20  # episodes are cut at 20 steps: three chunks
SEED = 610_000
pytestmark = pytest.mark.usefixtures("short_episodes")
SAMPLER = Sampler("ddim", 2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demos/: two demonstrations with small images, cut short; bc/: a policy that saw them for two steps."""
    home = tmp_path_factory.mktemp("reward_view")
    whole = ["demos", "--task", TASK, "--num_demos", "2", "--views", "[front]", "--size", str(SIDE)]
    assert main([*whole, "--out", str(home / "whole")]) == 0
    for d in load_demonstrations(home / "whole"):
        save_demonstration(cut(d), demonstration_folder(home / "demos", seed_of(d)))
    train = ["bc", "--demos", str(home / "demos"), "--cameras", "[front]", "--size", "tiny", "--image", "32"]
    assert main([*train, "--steps", "2", "--batch", "2", "--device", "cpu", "--out", str(home / "bc")]) == 0
    return home


def cut(d: Episode, steps: int = STEPS) -> Episode:
    frames = {camera: [source[t] for t in range(steps + 1)] for camera, source in d.frames.items()}
    seen = {"states": d.states[: steps + 1], "times": d.times[: steps + 1], "frames": frames, "recording": None}
    return replace(d, executed_actions=d.executed_actions[:steps], teacher_actions=labels(d)[:steps], **seen)


def setting(home: Path, base: str = "bc") -> Setting:
    return Setting(f"kitchen:{TASK}", home / base, ddim_steps=SAMPLER.steps)


def base_actions(environment: ResidualEnvironment, seed: int) -> np.ndarray:
    play_episode(environment, None, seed)
    assert environment.finished is not None and len(environment.finished) == STEPS
    return environment.finished.base_actions


# --- in the kitchen ---------------------------------------------------------------------------------------------------


@pytest.mark.gl
def test_a_residual_of_zero_is_the_policy_s_own_rollout(home: Path) -> None:
    """Beside a loop written out here, with a renderer of its own."""
    with kitchen_with_base(setting(home)) as environment:
        base_actions(environment, SEED + 1)  # an episode before leaves no trace
        play_episode(environment, None, SEED)
    episode = environment.finished
    assert episode is not None
    plain = KitchenEnvironment(TASK, step_limit=STEPS)
    with KitchenImages(find_task(TASK), ["front"], SIDE) as images:
        actor = load_actor(home / "bc", SAMPLER, lambda step: images.now(plain))
        state, _ = plain.reset(seed=SEED)
        actor.reset(SEED)
        states, over = [state], False
        while not over:
            state, _, terminated, truncated, _ = plain.step(np.clip(actor.act(state), -1, 1))
            states.append(state)
            over = terminated or truncated
    np.testing.assert_array_equal(episode.states, states)
    np.testing.assert_array_equal(episode.executed_actions, episode.base_actions)


@pytest.mark.gl
def test_it_acts_by_what_the_kitchen_looks_like(home: Path) -> None:
    with kitchen_with_base(setting(home)) as environment:
        seen = base_actions(environment, SEED)
        look = environment.base.look  # type: ignore[attr-defined]
        environment.base.look = lambda step: {"front": 255 - look(step)["front"]}  # type: ignore[attr-defined]
        assert np.abs(base_actions(environment, SEED)[0] - seen[0]).max() > 1e-6


@pytest.mark.gl
def test_evaluate_plays_the_same_twice_and_films_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = []

    def keeping(environment: ResidualEnvironment, *rest: Any) -> Outcome:
        outcome = play_episode(environment, *rest)
        assert environment.finished is not None
        played.append(environment.finished.states)
        return outcome

    monkeypatch.setattr("rl.evaluation.evaluate.play_episode", keeping)
    asked = ["evaluate", "--env", f"kitchen:{TASK}", "--base", str(home / "bc"), "--episodes", "2", "--ddim_steps", "2"]
    assert main([*asked, "--videos", "2", "--out", str(tmp_path / "filmed")]) == 0  # two renderers in turns
    assert main([*asked, "--videos", "0", "--out", str(tmp_path / "plain")]) == 0
    rows = [(tmp_path / out / "metrics.jsonl").read_text() for out in ("filmed", "plain")]
    assert rows[0] == rows[1] and len(rows[0].splitlines()) == 2
    first, second, *again = played  # counted, filmed, counted again
    np.testing.assert_array_equal(again, [first, second] * 2)
    assert len(list((tmp_path / "filmed" / "films").iterdir())) == 2


@pytest.mark.gl
def test_its_renderer_is_closed_whatever_happens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = KitchenImages.close
    monkeypatch.setattr(KitchenImages, "close", lambda self: (closed.append(self.views), close(self)))
    with pytest.raises(KeyboardInterrupt), kitchen_with_base(setting(home)):
        raise KeyboardInterrupt
    assert closed == [("front",)]


# --- demonstrations beside it -----------------------------------------------------------------------------------------


@pytest.mark.gl
def test_labels_come_from_the_demonstration_s_own_frames(home: Path) -> None:
    made = load_demonstrations(home / "demos")[1]
    front = made.frames["front"]
    actor = load_actor(home / "bc", SAMPLER, lambda step: {"front": front[step]})
    actor.reset(made.seed)
    by_hand = np.clip([actor.act(state) for state in made.states], -1, 1)
    negative = replace(made, frames={"front": [255 - np.asarray(front[t]) for t in range(len(front))]})
    with kitchen_with_base(setting(home)) as environment:
        before = base_actions(environment, SEED)
        np.testing.assert_array_equal(label(made, environment).base_actions, by_hand)
        assert np.abs(label(negative, environment).base_actions - by_hand).max() > 1e-6
        np.testing.assert_array_equal(base_actions(environment, SEED), before)  # in the kitchen it sees the kitchen


@pytest.mark.gl
def test_a_killed_finetuning_ends_as_an_unbroken_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(out: str) -> FinetuneConfig:
        given = {"episodes": 2, "pretrain": 3, "utd": 0.1, "warmup_steps": 0, "batch": 8, "checkpoint_every": 1}
        where = {"env": f"kitchen:{TASK}", "base": home / "bc", "demos": home / "demos", "out": tmp_path / out}
        return FinetuneConfig(**where, **given, buffer=150, ddim_steps=SAMPLER.steps)

    finetune(config("whole"))
    episode = Finetuning._episode

    def killed(self: Finetuning, number: int, rewards: object) -> dict:
        if number == 2:
            raise KeyboardInterrupt
        return episode(self, number, rewards)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Finetuning, "_episode", killed)
        finetune(config("broken"))
    finetune(config("broken"))
    for file in ("model.safetensors", "replay.npz", "checkpoint.json"):
        whole, resumed = (tmp_path / name / "checkpoints/00002" / file for name in ("whole", "broken"))
        assert whole.read_bytes() == resumed.read_bytes()


# --- what is refused, by name -----------------------------------------------------------------------------------------


def test_sizes_of_frames_are_one_for_all_demonstrations() -> None:
    small, large = (toy_demonstration(seed, cameras=("front", "wrist"), shape=(24, 32 + seed)) for seed in (0, 1))
    assert frame_sizes([small, small], ["wrist"]) == {"wrist": (24, 32)}
    assert frame_sizes([small, large], []) == {}
    with pytest.raises(BadDemonstration, match=r"demonstration 1 .* 'front' of 24 x 33 pixels, wanted are 24 x 32"):
        frame_sizes([small, large], ["front"])
    with pytest.raises(BadDemonstration, match=r"no frames of camera 'left'; it has front, wrist: .*--views"):
        frame_sizes([small], ["left"])


@pytest.mark.gl
def test_demonstrations_without_the_frames_it_needs_are_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for d in load_demonstrations(home / "demos"):
        save_demonstration(replace(d, frames={}), demonstration_folder(tmp_path / "blind", d.seed))
        small = [np.asarray(d.frames["front"][t])[::2, ::2] for t in range(len(d) + 1)]
        save_demonstration(replace(d, frames={"front": small}), demonstration_folder(tmp_path / "small", d.seed))
    named = {"blind": "has no frames of camera 'front'; it has none: `mpr demos --views [front]`"}
    named |= {"small": "has frames of camera 'front' of 20 x 20 pixels, wanted are 40 x 40: `mpr demos --size`"}
    for demos, message in named.items():
        practice = ["experiment", "practice", "--workers", "1", "--task", TASK]
        for verb in (["finetune", "--env", f"kitchen:{TASK}"], practice):
            asked = [*verb, "--base", str(home / "bc"), "--demos", str(tmp_path / demos)]
            assert main([*asked, "--out", str(tmp_path / "out")]) == 2
            error = capsys.readouterr().err
            assert f"mpr: demonstration 0 {message}" in error and not (tmp_path / "out").exists()


def test_the_base_experiment_takes_cameras_and_refuses_demonstrations_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = "size=tiny image=32 cameras=[front]"
    assert BaseConfig(settings=settings).policy(5, 0).cameras == ("front",)
    save_demonstration(toy_demonstration(0), demonstration_folder(tmp_path / "demos", 0))
    asked = ["experiment", "base", "--demos", str(tmp_path / "demos"), "--counts", "[1]", "--settings", settings]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 2
    assert "no frames of camera 'front'; it has none" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.gl
def test_a_policy_that_does_not_say_how_large_its_frames_were_is_refused(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "bc", tmp_path / "bc", ignore=shutil.ignore_patterns(".lock"))
    folder = last_checkpoint(tmp_path / "bc")
    assert folder is not None
    about = json.loads((folder / "checkpoint.json").read_text())
    assert about["shape"]["cameras"] == {"front": [SIDE, SIDE]}
    about["shape"]["cameras"] = ["front"]  # as an earlier version wrote it
    (folder / "checkpoint.json").write_text(json.dumps(about))
    (folder / CHECKSUM_FILE).unlink()  # which it did not write yet
    with (
        pytest.raises(BadCheckpoint, match=r"how large the frames were that it learned from \(front\).*`mpr bc`"),
        kitchen_with_base(setting(tmp_path)),
    ):
        pass


def test_images_that_the_kitchen_does_not_make_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    task = find_task(TASK)
    with pytest.raises(UserError, match="no kitchen view 'wrist'; there is front"):
        images_for({"front": (64, 64), "wrist": (64, 64)}, task)
    for cameras in ({"front": (48, 64)}, {"front": (64, 64), "left": (32, 32)}):
        with pytest.raises(UserError, match=r"front \d+ x 64.*squares, all of one size"):
            images_for(cameras, task)
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(NoGL, match="no OpenGL back end") as error:  # before anything is simulated or trained
        images_for({"front": (64, 64)}, task)
    assert "\n" not in str(error.value)
    images_for({}, task).close()  # a policy of states alone needs none
