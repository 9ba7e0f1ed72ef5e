"""Evaluation: pairs of episodes that differ in the policy alone, resumed where it stopped, told with intervals."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpr.cli import main
from mpr.core.checkpoints import BadCheckpoint
from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.report.intervals import Interval, difference_over_runs, mean_over_runs
from mpr.core.runs import RunFolder
from rl.environments.play import BASE_NAME, ResidualActor, play_episode
from rl.environments.setting import Setting
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.curves import WINDOW, draw_curves, running
from rl.evaluation.evaluate import evaluate, load_residual, play_all
from rl.evaluation.outcomes import compare_policies, comparison_table
from rl.experiments.base import BaseConfig
from rl.experiments.base_rule import first_in_band
from rl.experiments.practice import PracticeConfig, practice_seconds
from rl.experiments.practice_runs import evaluation
from rl.residual.checkpoint import save_residual_checkpoint
from rl.residual.config import FinetuneConfig
from tests.toy_reach import learner, wrapped

IMAGES = {"curves.png", "profiles.png"}


class Push:
    """A residual policy that always corrects the same way."""

    def __init__(self, action) -> None:
        self.action = np.array(action, np.float32)

    def predict(self, observation, deterministic=False):
        assert deterministic and observation.shape == (6,)
        return self.action, None


def pushing(action, residual_scale: float) -> ResidualActor:
    return ResidualActor(Push(action), residual_scale)  # type: ignore[arg-type]


def test_a_residual_of_nothing_is_the_base_and_a_good_one_is_better():
    environment = wrapped(miss=0.09)  # the base steers beside the goal, by 0.09 to the upper right
    base = [play_episode(environment, None, seed) for seed in range(700_000, 700_020)]
    same = [play_episode(environment, pushing([0, 0], 0.1), seed, BASE_NAME) for seed in range(700_000, 700_020)]
    better = [play_episode(environment, pushing([-1, -1], 0.4), seed, "better") for seed in range(700_000, 700_020)]
    episode = environment.finished
    assert episode is not None
    np.testing.assert_allclose(episode.executed_actions, np.clip(episode.base_actions - 0.4, -1, 1))  # its own reach
    assert same == base
    assert sum(o.success for o in better) > sum(o.success for o in base)
    again = [play_episode(environment, None, seed) for seed in reversed(range(700_000, 700_020))]
    assert again[::-1] == base  # whatever was played before, and with which reach


def test_an_environment_reaches_as_far_after_a_played_episode_as_before():
    environment = wrapped()
    reach = environment.residual_scale
    play_episode(environment, pushing([-1, -1], 0.4), 700_000)
    assert environment.residual_scale == reach
    with pytest.raises(ValueError, match="shapes"):
        play_episode(environment, pushing(np.zeros((3, 3)), 0.4), 700_000)  # a residual of no such environment
    assert environment.residual_scale == reach


def test_a_killed_evaluation_goes_on_and_ends_as_an_unbroken_one(tmp_path):
    policies = {BASE_NAME: None, "push": pushing([-0.5, -0.5], 0.2)}
    whole, broken = (RunFolder(tmp_path / name, "evaluate", {}) for name in ("whole", "broken"))
    play_all(whole, wrapped(), policies, range(8))
    play_all(broken, wrapped(), policies, range(3))
    with (broken.path / "metrics.jsonl").open("a") as file:
        file.write('{"policy": "ba')  # killed in the middle of a line
    play_all(RunFolder(broken.path, "evaluate", {}), wrapped(), policies, range(8))
    assert broken.metrics() == whole.metrics() and len(whole.metrics()) == 16


def test_over_processes_the_same_episodes_are_played_and_none_twice(tmp_path):
    alone = EvaluateConfig("kitchen:slide", base=Path("zero"), episodes=3, videos=0, out=tmp_path / "alone")
    expected = evaluate(alone).metrics()
    apart = replace(alone, workers=2, out=tmp_path / "apart")
    RunFolder(apart.out, "evaluate", {**as_dict(apart), "weights": {}}).log(**expected[1])  # as if killed after one
    assert sorted(evaluate(apart).metrics(), key=lambda row: row["seed"]) == expected


def rows(policy: str, wins, steps: int = 10):
    return [{"policy": policy, "seed": i, "success": bool(w), "steps": steps} for i, w in enumerate(wins)]


def test_gains_are_paired_by_seed_and_shown_with_intervals():
    easy = np.arange(100) < 40
    made = rows(BASE_NAME, easy) + rows("a", easy | (np.arange(100) >= 90)) + rows("b", np.zeros(100))[::-1]
    a, b = compare_policies(made, ["a"]), compare_policies(made, ["b"])
    assert a.success.value == pytest.approx(0.5) and a.gain.value == pytest.approx(0.1)
    assert 0.03 < a.gain.low < a.gain.high < 0.17  # ten seeds better, none worse: unpaired it would reach below 0
    assert b.success.value == 0 and 0.03 < b.success.high < 0.04  # none of a hundred is not "certainly none"
    assert b.steps is None and a.steps == 10
    none = compare_policies(rows(BASE_NAME, np.zeros(100)) + rows("c", np.zeros(100)), ["c"])
    assert none.gain.value == 0 and none.gain.low < -0.01 and none.gain.high > 0.01
    json.dumps(dataclasses.asdict(b), allow_nan=False)
    both = compare_policies(made, ["a", "b"])
    assert both.runs == (0.5, 0.0) and both.success.value == pytest.approx(0.25)
    assert both.success.low < 0.002 and both.success.high > 0.45  # runs that differ make it wide
    won = np.array([easy | (np.arange(100) >= 90), np.zeros(100)], float)
    assert both.success == mean_over_runs(won) and both.gain == difference_over_runs(won, easy[None])
    text = "\n".join(comparison_table(made, {"one": ["a"], "both": ["a", "b"]}))
    assert "| base | 0.40 [0.31, 0.50] |" in text and "| both | 0.25 [" in text and "0.50, 0.00" in text
    with pytest.raises(UserError, match="a: 1 of 100 episodes are missing, the first of seed 7"):
        compare_policies([row for row in made if row["policy"] != "a" or row["seed"] != 7], ["a"])


def test_a_residual_of_another_task_or_base_is_refused(tmp_path):
    model = learner()
    about = {"env": "kitchen:slide", "base": "runs/other", "base_weights": "0123", "residual_scale": 0.3}
    about |= {"ddim_steps": 10, "ajar": False, "full_open": False}
    save_residual_checkpoint(tmp_path / "run", 1, model, about)
    with pytest.raises(BadCheckpoint, match="not finished: the same `mpr finetune`"):
        load_residual(EvaluateConfig(base=Path("zero")), tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text("{}")
    with pytest.raises(BadCheckpoint, match="practised kitchen:slide, asked is kitchen:microwave"):
        load_residual(EvaluateConfig(base=Path("zero")), tmp_path / "run")
    with pytest.raises(BadCheckpoint, match=r"another base policy \(runs/other\) than zero"):
        load_residual(EvaluateConfig("kitchen:slide", base=Path("zero")), tmp_path / "run")
    save_residual_checkpoint(tmp_path / "run", 2, model, {**about, "base": "zero", "base_weights": ""})
    assert load_residual(EvaluateConfig("kitchen:slide", base=Path("zero")), tmp_path / "run").residual_scale == 0.3
    with pytest.raises(BadCheckpoint, match="--ddim_steps 10, asked is 5"):
        load_residual(EvaluateConfig("kitchen:slide", base=Path("zero"), ddim_steps=5), tmp_path / "run")


def test_policies_of_one_name_are_refused():
    with pytest.raises(UserError, match="told apart"):
        EvaluateConfig(residuals=(Path("a/run"), Path("b/run")))
    with pytest.raises(UserError, match="told apart"):
        EvaluateConfig(residuals=(Path("a/base"),))


def test_running_success_is_over_the_last_episodes(tmp_path):
    wins = np.array([1.0] * 30 + [0.0] * 30)
    got = running(wins)
    assert got[0] == 1 and got[29] == 1 and got[-1] == 0 and got[29 + WINDOW // 2] == 0.5
    assert running(np.zeros(0)).shape == (0,)
    draw_curves(tmp_path / "curves.png", {"a": [wins, wins[:40]], "none yet": []}, Interval(0.4, 0.3, 0.5, 100), "toy")
    assert (tmp_path / "curves.png").stat().st_size > 5_000


def test_the_base_policy_is_the_first_within_the_band(monkeypatch):
    rates = {20: 0.9, 10: 0.7, 5: 0.45, 4: 0.4}
    monkeypatch.setattr(
        "rl.experiments.base_rule._rate_of", lambda config, count, seed: Interval(rates[count], 0.0, 1.0, 100)
    )
    assert [count for count, _, _ in first_in_band(BaseConfig())] == [20, 10, 5]
    assert [count for count, _, _ in first_in_band(BaseConfig(counts=[20, 10]))] == [20, 10]
    policy = BaseConfig(settings="size=small lr=5e-4").policy(5, 2)
    assert (policy.size, policy.lr, policy.num_demos, policy.seed) == ("small", 5e-4, 5, 2)
    for settings, message in (("rate=2", "rate"), ("seed=4", "decided by"), ("training_steps=7", "ddim_steps divides")):
        with pytest.raises(UserError, match=message):
            BaseConfig(settings=settings)
    with pytest.raises(UserError, match="low below high"):
        BaseConfig(low=0.6, high=0.3)


def test_a_variant_is_a_reward_and_what_differs():
    variants = ["dense", "dense layer_norm=false utd=2"]
    config = PracticeConfig(variants=variants, practice_episodes=7, ajar=True, settings="pretrain=50 lr=3e-4 utd=3")
    plain, changed = (config.run_of(variant, 2) for variant in config.variants)
    assert (plain.reward, plain.layer_norm, plain.utd, plain.seed, plain.episodes) == ("dense", True, 3.0, 2, 7)
    assert (changed.layer_norm, changed.utd, changed.pretrain, changed.lr) == (False, 2.0, 50, 3e-4)
    assert plain.out != changed.out and " " not in str(changed.out)
    assert plain.ajar and plain.setting.ajar and evaluation(config).ajar
    wrong = {"dense layers=3": "layers", "best": "no reward 'best'", "dense utd=fast": "utd"}
    wrong |= {"dense ajar=true": "decided by the experiment", "dense dry-run": "lacks its =value"}
    for arm, message in wrong.items():
        with pytest.raises(UserError, match=message):
            PracticeConfig(variants=[arm])
    with pytest.raises(UserError, match="no two mean the same"):
        PracticeConfig(variants=["dense", "dense  utd=4"])


def test_variants_are_rewards_and_nothing_else_that_differs():
    rewards = ["motion", "none", "any_motion", "dense", "paper_sparse"]
    config = PracticeConfig(predictor=Path("p"), ajar=True, variants=[*rewards, "motion tracker=lucas_kanade"])
    runs = [replace(config.run_of(arm, 1), reward="none", tracker="exact", out=Path()) for arm in config.variants]
    assert all(run == runs[0] for run in runs) and runs[0].ajar and runs[0].predictor == Path("p")
    assert config.run_of("motion tracker=lucas_kanade", 0).tracker == "lucas_kanade"
    with pytest.raises(UserError, match="needs --predictor"):
        PracticeConfig(variants=["motion"])
    with pytest.raises(UserError, match="one of the variants"):
        PracticeConfig(against="motion")
    with pytest.raises(UserError, match="needs --representation"):
        PracticeConfig(variants=["vip"])
    assert PracticeConfig(variants=["vip"], representation=Path("v")).run_of("vip", 0).representation == Path("v")


def test_the_price_of_practice_follows_its_steps_its_updates_and_what_it_sees():
    plain = FinetuneConfig()
    dearer = [{"episodes": 200}, {"utd": 8.0}, {"evaluate_every": 1000}, {"reward": "any_motion"}]
    assert all(practice_seconds(FinetuneConfig(**more)) > practice_seconds(plain) for more in dearer)
    assert practice_seconds(FinetuneConfig(total_steps=900)) == pytest.approx(practice_seconds(plain) / 10)
    further = FinetuneConfig(goal_travel=0.8, shown_travel=0.5, step_limit=200)
    assert practice_seconds(further) == pytest.approx(practice_seconds(plain) * 200 / 90), "it hardly ever ends early"


def test_seeds_of_practice_and_evaluation_are_kept_apart():
    with pytest.raises(UserError, match=r"lies in 0 \.\. 489"):
        FinetuneConfig(seed=490)
    with pytest.raises(UserError, match="below 500,000"):
        EvaluateConfig(seed=499_999)


def test_practice_goes_from_runs_to_table_and_resumes(tmp_path, capsys):
    """Two variants, one episode each, in the kitchen, with no base policy."""
    asked = [
        "experiment",
        "practice",
        "--task",
        "slide",
        "--base",
        "zero",
        "--variants",
        "[none, dense]",
        "--seeds",
        "1",
    ]
    asked += ["--practice_episodes", "1", "--episodes", "1", "--videos", "0", "--workers", "1"]
    asked += ["--settings", "demos=none utd=0 buffer=200", "--out", str(tmp_path / "p")]
    assert main(asked) == 0
    first = (tmp_path / "p" / "table.md").read_text()
    assert "| base | 0.00 (" in first and "| none | 0.00 (" in first and "| dense | 0.00 (" in first
    assert "(n = 1: no interval)" in first and {p.name for p in (tmp_path / "p").glob("*.png")} == IMAGES
    summary = json.loads((tmp_path / "p" / "summary.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    gain = summary["variants"]["dense"]["gain"]
    assert (gain["value"], gain["low"]) == (0, None)  # of one episode
    (tmp_path / "p" / "table.md").unlink()
    assert main(asked) == 0 and "success while practising" in capsys.readouterr().out
    assert (tmp_path / "p" / "table.md").read_text() == first
    assert main([*asked, "--practice_episodes", "2"]) == 2


@pytest.mark.gl
def test_evaluate_runs_in_the_kitchen_and_films_it(tmp_path):
    finetune = ["finetune", "--base", "zero", "--demos", "none", "--episodes", "1", "--utd", "0"]
    assert main([*finetune, "--env", "kitchen:slide", "--buffer", "200", "--out", str(tmp_path / "run")]) == 0
    asked = [
        "evaluate",
        "--env",
        "kitchen:slide",
        "--base",
        "zero",
        "--residuals",
        f"[{tmp_path / 'run'}]",
        "--videos",
        "1",
    ]
    assert main([*asked, "--episodes", "1", "--seed", "500000", "--out", str(tmp_path / "out")]) == 0
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"table.md", "curves.png", "summary.json", "metrics.jsonl", "films", "page.html"} <= written
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["run"]["gain"]["value"] == 0  # an actor that starts at zero, never trained: the base itself
    assert (tmp_path / "out" / "films" / "500000_front.mp4").stat().st_size > 10_000


def test_the_base_rule_goes_from_demonstrations_to_a_choice(tmp_path):
    """Two demonstrations, a few steps of training, one episode: any rate is within a band from 0 to 1."""
    assert main(["demos", "--task", "slide", "--num_demos", "2", "--out", str(tmp_path / "demos")]) == 0
    asked = ["experiment", "base", "--task", "slide", "--demos", str(tmp_path / "demos"), "--low", "0", "--high", "1"]
    asked += ["--counts", "[2]", "--settings", "size=tiny steps=2", "--episodes", "1", "--out", str(tmp_path / "rule")]
    assert main(asked) == 0
    summary = json.loads((tmp_path / "rule" / "summary.json").read_text())
    assert summary["count"] == 2 and summary["chosen"].endswith("02_demonstrations_seed_0")
    assert [row["seed"] for row in summary["tried"]] == [0, 1, 2]  # the others beside it
    assert "Chosen: 2 demonstrations" in (tmp_path / "rule" / "table.md").read_text()
    assert main([*asked, "--counts", "[3]"]) == 2  # more than there are


@pytest.mark.parametrize("rules", [{"ajar": True, "env_options": ""}, {"env_options": "start=shut"}])
def test_all_that_is_said_of_a_setting_is_in_it(rules):
    """In the setting of a run of either command, and in what an experiment asks of both."""
    said = {"env": "kitchen:slide", "base": Path("zero"), "full_open": True, "ddim_steps": 5, **rules}
    options = said.pop("env_options")
    wanted = Setting(**said, options=options)
    assert EvaluateConfig(**said, env_options=options).setting == wanted
    practised = FinetuneConfig(**said, env_options=options, residual_scale=0.3)
    assert practised.setting == replace(wanted, residual_scale=0.3)
    env, task = said.pop("env"), "slide"
    experiment = PracticeConfig(task=task, variants=["dense"], seeds=1, **said)
    for asked in (experiment.run_of("dense", 0), evaluation(experiment)):
        assert asked.env == env and asked.setting == replace(wanted, options="")
