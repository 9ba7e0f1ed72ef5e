"""`mpr finetune`: what it refuses, and that a killed run ends as an unbroken one."""

from __future__ import annotations

import json
import resource
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mpr.cli import main
from mpr.core.checksums import CHECKSUM_FILE
from mpr.core.errors import UserError
from mpr.core.runs import read_metrics
from mpr.reward.none import NoReward
from rl.data.demonstrations import demonstration_folder, save_demonstration
from rl.evaluation.curves import evaluations
from rl.policies import actor
from rl.residual.checkpoint import checkpoint_bytes, save_residual_checkpoint
from rl.residual.config import FinetuneConfig
from rl.residual.fast import compiled
from rl.residual.train import Finetuning, make_learner, updates_compiled
from tests.rl.sac_runs import assert_same_checkpoints, train
from tests.toy_reach import demonstrate, learner, wrapped


def finetuning(out, demos, **settings) -> Finetuning:
    given: dict = {"episodes": 4, "pretrain": 20, "warmup_steps": 10, "batch": 16, "buffer": 150, "checkpoint_every": 2}
    config = FinetuneConfig(demos=demos, out=out, **given | settings)
    return Finetuning(config, wrapped(), NoReward())


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    for seed in range(3):
        save_demonstration(demonstrate(seed), demonstration_folder(tmp_path / "demos", seed))
    return tmp_path / "demos"


@pytest.fixture
def reopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened to evaluate in is the toy as well."""
    kind = type(FinetuneConfig().kind)
    monkeypatch.setattr(kind, "open", lambda *_: nullcontext(wrapped()))


def test_a_run_ends_with_the_steps_that_were_asked_for_and_evaluates_on_the_way(tmp_path, demos, reopened):
    asked = {"episodes": 40, "total_steps": 100, "evaluate_every": 30, "evaluate_episodes": 2, "checkpoint_every": 7}
    finetuning(tmp_path / "run", demos, **asked).run()
    run = finetuning(tmp_path / "run", demos, **asked)
    rows = run.folder.metrics()
    done = [sum(row["steps"] for row in rows[: k + 1]) for k in range(len(rows))]
    assert run.folder.finished and done[-2] < 100 <= done[-1]
    crossed = [steps for before, steps in zip([0, *done], done, strict=False) if before // 30 < steps // 30]
    assert [row["evaluated_at"] for row in rows if "evaluated_at" in row] == crossed
    assert {one["seed"] for row in rows for one in row.get("evaluated", ())} == {500_000, 500_001}
    found = evaluations(rows)
    assert found.steps.tolist() == crossed and found.outcomes.shape == (len(crossed), 2)


def test_evaluating_on_the_way_changes_nothing_and_a_killed_run_evaluates_the_same(tmp_path, demos, reopened):
    asked = {"evaluate_every": 15, "evaluate_episodes": 2}
    finetuning(tmp_path / "plain", demos).run()
    finetuning(tmp_path / "whole", demos, **asked).run()
    broken = finetuning(tmp_path / "broken", demos, **asked)
    episode = broken._episode
    broken._episode = lambda number, rewards: interrupt() if number == 4 else episode(number, rewards)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    finetuning(tmp_path / "broken", demos, **asked).run()
    folders = [tmp_path / name / "checkpoints/00004" for name in ("plain", "whole", "broken")]
    assert_same_checkpoints(folders[0], folders[1])
    assert_same_checkpoints(folders[1], folders[2])
    rows = [read_metrics(tmp_path / name) for name in ("whole", "broken")]
    evaluated = [[row.get("evaluated") for row in some] for some in rows]
    assert evaluated[0] == evaluated[1] and any(evaluated[0])


def test_runs_of_more_episodes_have_more_starts_to_themselves():
    for episodes, first in ((1000, 12_000), (1001, 14_000), (8000, 26_000)):
        config = FinetuneConfig(episodes=episodes, seed=2)
        assert (config.first_start, config.starts_a_run % 1000) == (first, 0) and config.starts_a_run >= episodes
    with pytest.raises(UserError, match=r"lies in 0 \.\. 60, since each run has 8,000 starts"):
        FinetuneConfig(episodes=8000, seed=61)


def test_what_cannot_be_opened_twice_is_not_evaluated_on_the_way():
    arm = {"env": "arm:microwave", "env_options": "arm=franky host=1.2.3.4 world=1 wrist=2", "base": Path("zero")}
    with pytest.raises(UserError, match="cannot be opened beside its own practice"):
        FinetuneConfig(**arm, reward="none", evaluate_every=100)


def interrupt() -> dict[str, Any]:
    raise KeyboardInterrupt


def test_a_killed_run_resumes_and_ends_as_an_unbroken_one(tmp_path, demos, monkeypatch):
    finetuning(tmp_path / "whole", demos).run()
    for killed_at in (1, 4):  # once before the first checkpoint of an episode, once after
        broken = finetuning(tmp_path / "broken", demos)
        episode = broken._episode

        def killed(number, rewards, episode=episode, killed_at=killed_at):
            if number == killed_at:
                raise KeyboardInterrupt
            return episode(number, rewards)

        broken._episode = killed
        with pytest.raises(KeyboardInterrupt):
            broken.run()
        assert not broken.folder.finished
    finetuning(tmp_path / "broken", demos).run()
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00004" for name in ("whole", "broken")))
    rows = [finetuning(tmp_path / name, demos).folder.metrics() for name in ("whole", "broken")]
    assert [len(r) for r in rows] == [4, 4]
    assert [row["seed"] for row in rows[0]] == [10_000, 10_001, 10_002, 10_003]
    for whole, resumed in zip(*rows, strict=True):
        assert {**whole, "seconds": 0} == {**resumed, "seconds": 0}
    with pytest.raises(UserError, match="residual_scale"):
        finetuning(tmp_path / "whole", demos, residual_scale=0.2)


def compiler(there: bool):
    """In place of `refuse_to_compile`, which finds out by compiling."""

    def refuse(device):
        assert device.type == "cpu"
        if not there:
            raise UserError("nothing can be compiled here: install one")

    return refuse


def test_updates_are_compiled_where_that_pays_and_a_run_goes_on_as_it_began(tmp_path, monkeypatch, capsys):
    def decided(there: bool, **settings) -> bool:
        monkeypatch.setattr(compiled, "refuse_to_compile", compiler(there))
        return updates_compiled(FinetuneConfig(out=tmp_path, **settings), wrapped())

    assert decided(True) and not decided(False)
    assert "updates are not compiled" in (said := capsys.readouterr().out) and "install one" in said
    assert said.count("\n") == 1
    assert not decided(True, episodes=33) and decided(True, episodes=34) and not decided(True, utd=1.0)
    assert decided(False, compile="true") and not decided(True, compile="false")  # ResidualSAC refuses what cannot be
    (tmp_path / "config.yaml").write_text("compile: false\n")
    assert not decided(True)
    (tmp_path / "config.yaml").write_text("compile: true\n")
    assert decided(True) and decided(True, episodes=1)
    with pytest.raises(UserError, match="began with compiled updates, and goes on only so; nothing can be compiled"):
        decided(False)
    assert capsys.readouterr().out == ""


def test_a_run_folder_tells_whether_its_updates_were_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr("rl.residual.train.updates_compiled", lambda *_: False)
    finetuning(tmp_path / "run", Path("none"), compile="auto", pretrain=0).run()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_bytes())["compile"] is False
    finetuning(tmp_path / "run", Path("none"), compile="auto", pretrain=0).run()  # finished: the same run
    monkeypatch.setattr("rl.residual.train.updates_compiled", lambda *_: True)
    monkeypatch.setattr("rl.residual.train.make_learner", lambda *given: make_learner(*given[:2]))
    with pytest.raises(UserError, match="compile: False there, True asked"):
        finetuning(tmp_path / "run", Path("none"), compile="true", pretrain=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"reward": "nosuch"}, "there is motion, any_motion, vip, .*, paper_sparse, wrong_direction, mean_motion"),
        ({"reward": "sparse"}, "reward 'sparse' is called 'paper_sparse' now"),
        ({"ent_coef": "much"}, "--ent_coef much"),
        ({"demos": Path("none"), "pretrain": 20}, "--demos none leaves no demonstrations to pretrain on"),
        ({"batch": 0}, "--batch 0"),
        ({"compile": "perhaps"}, "--compile perhaps: it is auto, true or false"),
        ({"residual_scale": 0.0}, "--residual_scale 0.0: it is above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, words):
    with pytest.raises(UserError, match=words):
        FinetuneConfig(**wrong)


@pytest.mark.parametrize(
    ("asked", "begins"),
    [
        ({}, (300, 0.0)),
        ({"demos": Path("none")}, (300, 0.0)),
        ({"base": Path("zero")}, (300, 1.0)),
        ({"base": Path("zero"), "demos": Path("none")}, (5000, 1.0)),
        ({"base": Path("zero"), "demo_fraction": 0.0}, (5000, 1.0)),
        ({"base": Path("zero"), "demos": Path("none"), "warmup_steps": 0, "warmup": 0.0}, (0, 0.0)),
    ],
)
def test_practice_begins_at_random_where_nothing_shows_how(asked: dict[str, Any], begins: tuple[int, float]) -> None:
    config = FinetuneConfig(**asked)
    assert (config.learning_starts, config.warmup_range) == begins


NUMBERS = {
    "above 0": {"residual_scale": ("inf",), "lr": ("-1", "0")},
    "above 0 and at most 1": {"tau": ("-1", "0", "1.5"), "actor_ema": ("0", "2")},
    "at least 0 and at most 1": {"gamma": ("2", "-0.1"), "warmup": ("1.5",)},
    "at least -20 and at most 2": {"log_std": ("-30", "3")},
    "at least 0": dict.fromkeys(("bonus", "motion_threshold_px", "utd"), ("-1", "inf"))
    | dict.fromkeys(("warmup_steps", "pretrain", "num_demos"), ("-5",))
    | {"ent_coef": ("-1", "inf")},
    "at least 1": dict.fromkeys(("episodes", "batch", "checkpoint_every", "threads", "n_steps", "ddim_steps"), ("0",)),
    "up to 150 steps": {"buffer": ("149",)},
}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [(name, value, words) for words, names in NUMBERS.items() for name, values in names.items() for value in values],
)
def test_numbers_out_of_range_are_refused_on_one_line(tmp_path, capsys, name, value, words):
    asked = ["finetune", "--base", "zero", f"--{name}={value}", "--out", str(tmp_path / "run")]
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert f"--{name} " in error and words in error and len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_numbers_at_the_edge_of_their_range_are_taken():
    FinetuneConfig(
        gamma=1.0,
        tau=1.0,
        actor_ema=1.0,
        bonus=0.0,
        motion_threshold_px=0.0,
        utd=0.0,
        pretrain=0,
        warmup=1.0,
        buffer=150,
    )


def demonstrated(root: Path, seeds: range = range(3)) -> Path:
    for seed in seeds:
        save_demonstration(demonstrate(seed), demonstration_folder(root, seed))
    return root


def test_a_full_disk_is_said_before_anything_is_practised(tmp_path, monkeypatch):
    demos, usage = demonstrated(tmp_path / "demos"), shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"run has 0\.00 GB free, its checkpoints need"):
        finetuning(tmp_path / "run", demos)


def test_two_checkpoints_fit_into_what_is_asked_of_the_disk(tmp_path):
    model = learner(policy_kwargs={"actor_ema": 0.1})
    train(model, 30)
    assert model.buffer.full
    save_residual_checkpoint(tmp_path, 30, model, {})
    written = sum(file.stat().st_size for file in (tmp_path / "checkpoints/00030").iterdir())
    assert written < checkpoint_bytes(model) < 1.5 * written


@pytest.mark.parametrize("fails", ["model.safetensors", "learner.pt"])
def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_an_os_error(tmp_path, fails):
    """Which the command says in a line; the libraries' own errors it would not know. What was there stays."""
    model = learner(buffer_size=150)
    train(model, 1)
    save_residual_checkpoint(tmp_path, 1, model, {})
    files = [tmp_path / "checkpoints/00001" / name for name in ("model.safetensors", "learner.pt")]
    first, second = (file.stat().st_size for file in files)
    assert first < second
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ({files[0].name: first - 1}.get(fails, second - 1), limits[1]))
        with pytest.raises(OSError, match="File too large"):
            save_residual_checkpoint(tmp_path, 2, model, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["00001"]


def test_a_resumed_run_draws_no_point_twice(tmp_path):
    demos = demonstrated(tmp_path / "demos")
    broken = finetuning(tmp_path / "run", demos)
    broken._save = lambda episodes: None if episodes > 2 else Finetuning._save(broken, episodes)
    broken._summary = interrupt  # killed before the last checkpoint
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    finetuning(tmp_path / "run", demos).run()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    drawn = events.Tags()["scalars"]
    assert "train/critic_loss" in drawn and "train/n_updates" not in drawn, "which the learner keeps off the board"
    assert [point.step for point in events.Scalars("train/critic_loss")] == [1, 2, 3, 4]


def test_a_run_begun_before_environments_had_streams_goes_on(tmp_path):
    demos = demonstrated(tmp_path / "demos")
    finetuning(tmp_path / "whole", demos).run()
    broken = finetuning(tmp_path / "broken", demos)
    broken._save = lambda episodes: None if episodes > 2 else Finetuning._save(broken, episodes)
    broken._summary = interrupt  # killed before the last checkpoint
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    file = tmp_path / "broken/checkpoints/00002/checkpoint.json"
    about = json.loads(file.read_text())
    assert about["next_seed"] == about.pop("starts")["start"] == 10_002
    file.write_text(json.dumps(about))
    (file.parent / CHECKSUM_FILE).unlink()  # nor had they checksums
    finetuning(tmp_path / "broken", demos).run()
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00004" for name in ("whole", "broken")))


def test_the_actor_s_bounds_are_those_at_which_stable_baselines3_clips() -> None:
    from stable_baselines3.sac import policies

    assert (actor.LOG_STD_MIN, actor.LOG_STD_MAX) == (policies.LOG_STD_MIN, policies.LOG_STD_MAX)
