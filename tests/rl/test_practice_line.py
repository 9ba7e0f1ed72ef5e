"""One line of practice: any environment by name, one learner, one reward path, and an end told by success or return."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.command_line import RENAMED_OPTIONS
from mpr.core.data.episode import Episode
from mpr.core.data.step_log import StepLog
from mpr.core.errors import UserError
from mpr.reward.environment import EnvironmentReward
from mpr.reward.paper_sparse import PaperSparseReward
from rl.environments.kind import environment_rate_hz
from rl.environments.registry import ENVIRONMENTS, kind_of
from rl.environments.residual import ResidualEnvironment, base_for, middle_and_reach
from rl.environments.setting import Setting
from rl.environments.starts import FIRST_SEED, SELECTION
from rl.evaluation.curves import practised_successes
from rl.evaluation.outcomes import successes
from rl.evaluation.rows import tells_returns
from rl.residual.checkpoint import load_residual_policy, save_residual_checkpoint
from rl.residual.demonstrations import demonstration_buffer
from rl.residual.reward_form import RewardForm
from rl.residual.rewards import step_rewards
from rl.residual.train import Finetuning
from tests.other_package import installed
from tests.rl.sac_runs import assert_same_checkpoints
from tests.toy_reach import demonstrate, learner, wrapped

PENDULUM = ["--env", "gymnasium:Pendulum-v1", "--env_options", "max_episode_steps=20", "--base", "zero"]
PRACTICE = ["--demos", "none", "--utd", "0.2", "--warmup_steps", "5", "--batch", "8", "--buffer", "150"]
PLAIN = "--env gymnasium:Pendulum-v1 --base zero --demos none --reward none"
LINE = """
import gymnasium
import numpy as np

from rl.environments.kind import EnvironmentKind


class Line(gymnasium.Env):
    def __init__(self, far):
        self.observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(0, 4, (1,), np.float32)
        self.far = far

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = 0.0, 0
        return np.array([self.at], np.float32), {}

    def step(self, action):
        self.at, self.steps = self.at + float(action[0]) / 10, self.steps + 1
        there = self.at >= self.far
        return np.array([self.at], np.float32), -1.0, there, self.steps >= 9, {"is_success": there}


class LineKind(EnvironmentKind):
    def make(self, setting):
        return Line(float(setting.name))
"""


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def practise(run: Path, *asked: str) -> int:
    return main(["finetune", *PRACTICE, *asked, "--reward", "environment", "--out", str(run)])


def test_a_gymnasium_id_practises_resumes_and_is_evaluated_by_its_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*PENDULUM, "--residual_scale", "1", "--episodes", "4", "--checkpoint_every", "2", "--buffer", "20"]
    asked += ["--warmup_steps", "70"]  # at random until the last episode: broken off amid that, it goes on alike
    assert practise(tmp_path / "whole", *asked) == 0
    episode = Finetuning._episode

    def killed(self: Finetuning, number: int, rewards: Any) -> dict[str, Any]:
        if number == 4:
            raise KeyboardInterrupt
        return episode(self, number, rewards)

    monkeypatch.setattr(Finetuning, "_episode", killed)
    practise(tmp_path / "broken", *asked)
    assert len(rows(tmp_path / "broken")) == 3
    monkeypatch.setattr(Finetuning, "_episode", episode)
    assert practise(tmp_path / "broken", *asked) == 0
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00004" for name in ("whole", "broken")))
    whole, broken = ([{**row, "seconds": 0} for row in rows(tmp_path / name)] for name in ("whole", "broken"))
    assert whole == broken and [row["seed"] for row in whole] == [FIRST_SEED + k for k in range(4)]
    assert all("success" not in row and row["reward"] == pytest.approx(row["return"]) for row in whole)
    told = json.loads((tmp_path / "whole/summary.json").read_text())
    assert told["return_last_20"] == pytest.approx(np.mean([row["return"] for row in whole]))

    asked = [*PENDULUM, "--residuals", str(tmp_path / "whole"), "--episodes", "3", "--out", str(tmp_path / "evaluated")]
    assert main(["evaluate", *asked]) == 0
    table = (tmp_path / "evaluated/table.md").read_text()
    assert "| policy | return | minus base |" in table and "success" not in table
    found = rows(tmp_path / "evaluated")
    assert {row["seed"] for row in found} == {SELECTION, SELECTION + 1, SELECTION + 2}
    assert all("success" not in row and row["return"] < 0 for row in found)
    base = [row["return"] for row in found if row["policy"] == "base"]
    assert json.loads((tmp_path / "evaluated/summary.json").read_text())["base"]["runs"] == [
        pytest.approx(np.mean(base))
    ]


def test_practice_that_ends_before_its_first_update_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*PENDULUM, "--residual_scale", "1", "--episodes", "1", "--warmup_steps", "20"]
    assert practise(tmp_path / "run", *asked) == 0
    assert "no update will be made: practice has at most 20 steps" in capsys.readouterr().out


def test_another_package_s_environment_is_practised_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(tmp_path, monkeypatch, {"a_line.py": LINE}, {"mpr.environments": {"line": "a_line:LineKind"}})
    asked = ["--env", "line:1.5", "--base", "zero"]
    assert practise(tmp_path / "run", *asked, "--residual_scale", "1", "--episodes", "2") == 0
    assert "success 100% of the last 20" in capsys.readouterr().out  # the middle of 0 to 4, eight times, is 1.6
    assert [row["success"] for row in rows(tmp_path / "run")] == [True, True]
    evaluated = ["--residuals", str(tmp_path / "run"), "--episodes", "2", "--out", str(tmp_path / "evaluated")]
    assert main(["evaluate", *asked, *evaluated]) == 0
    assert "| base | 1.00" in (tmp_path / "evaluated/table.md").read_text()
    assert "line" in ENVIRONMENTS.names()
    assert main(["evaluate", "--env", "line:2", "--base", "zero", *evaluated[:-1], str(tmp_path / "other")]) == 2
    assert "practised line:1.5, asked is line:2" in capsys.readouterr().err


def test_a_residual_scale_of_one_spans_the_action_range_and_no_more() -> None:
    env = gymnasium.make("Pendulum-v1")  # takes -2 to 2
    environment = ResidualEnvironment(env, base_for(env, Setting("gymnasium:Pendulum-v1")), 1.0)
    zero = np.zeros(1)
    assert [float(environment.compose(zero, np.array([x]))[0]) for x in (-1.0, 0.5, 1.0)] == [-2.0, 1.0, 2.0]
    environment.residual_scale = 0.1
    assert environment.compose(np.array([1.9]), np.ones(1)) == pytest.approx(2.0)
    residual, short = environment.correction(zero, np.array([0.15]))
    assert residual == pytest.approx(0.75) and not short.any()
    residual, short = environment.correction(zero, np.array([-1.0]))
    assert residual == pytest.approx(-1.0) and short.all()
    environment.close()
    middle, reach = middle_and_reach(gymnasium.spaces.Box(np.array([0, -1, -np.inf]), np.array([4, 1, 2])))
    assert middle.tolist() == [2, 0, 0] and reach.tolist() == [2, 1, 1]
    assert environment_rate_hz(gymnasium.make("Pendulum-v1")) == pytest.approx(20)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("--task slide", "--task is called --env kitchen:TASK now"),
        ("--alpha 0.2", "--alpha is called --residual_scale now"),
        ("--half false", "--half is called --demo_fraction 0.5 (0: none) now"),
        ("--env nowhere:door", "no environment 'nowhere'; there is kitchen, twin, arm, gymnasium"),
        ("--env kitchen:oven", "no kitchen task 'oven'; there is microwave, hinge, slide"),
        ("--env kitchen:slide --env_options a=1", "the kitchen takes only start=NAME"),
        ("--env gymnasium:", "an id is needed"),
        ("--env gymnasium:Nothing-v9 --base zero --demos none --reward none", "Nothing"),
        ("--env gymnasium:Pendulum-v1 --ajar true", "--ajar: only the kitchen has such a door"),
        ("--env gymnasium:Pendulum-v1 --reward dense", "there is environment, none, paper_sparse"),
        ("--env gymnasium:Pendulum-v1 --reward motion", "there is environment, none, paper_sparse"),
        ("--env gymnasium:CartPole-v1 --base zero --demos none --reward none", "needs a flat Box action space"),
        ("--env gymnasium:Pendulum-v1 --env_options g --reward none", "'g' is not key=value"),
        ("--reward environment", "no demonstration holds it and nothing is added: --demos none"),
        ("--demos none --pretrain 5", "--demos none leaves no demonstrations"),
        ("--env arm --reward none", "needs its arm's options, as --env_options 'arm=franky host="),
        ("--env arm --env_options arm=franky --reward none", "--arm franky: needs --host"),
        ("--env arm --env_options arm=nothing --reward none", "no arm 'nothing'"),
        ("--env twin:oven --reward none", "no task of the simulated arm 'oven'"),
        ("--env twin:microwave --env_options real_time=true --reward none", "real_time"),
        (
            "--env twin:microwave --reward dense",
            "no reward 'dense' of twin:microwave; there is motion",
        ),
        ("--buffer 149", "--buffer 149: an episode of --env kitchen:microwave has up to 150 steps"),
        (
            "--env twin:microwave --reward none --buffer 199",
            "--buffer 199: an episode of --env twin:microwave has up to 200",
        ),
        ("--env arm --env_options arm=simulated --reward none --buffer 199", "--buffer 199: an episode of --env arm"),
        (f"{PLAIN} --buffer 199", "--buffer 199: an episode of --env gymnasium:Pendulum-v1 has up to 200 steps"),
        (f"{PLAIN} --buffer 0", "--buffer 0: it is at least 1"),
    ],
)
def test_what_cannot_be_practised_is_said_in_a_line(
    asked: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", *asked.split(), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_a_config_file_s_old_words_are_refused_with_the_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text("task: slide\n")
    for verb in ("finetune", "evaluate"):
        assert main([verb, "--config", str(tmp_path / "old.yaml")]) == 2
        assert "task is called env: kitchen:TASK now" in capsys.readouterr().err
    (tmp_path / "old.yaml").write_text("limits:\n  picture_age: 0.2\n")
    assert main(["robot", "run", "--config", str(tmp_path / "old.yaml")]) == 2
    assert "limits.picture_age is called limits.image_age now" in capsys.readouterr().err
    assert main(["demos", "--alpha", "1"]) == 2
    assert "unknown key --alpha" in capsys.readouterr().err  # that command has no residual scale


@pytest.mark.parametrize("before", RENAMED_OPTIONS)
def test_every_option_of_before_is_refused_with_its_new_name(before: str, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = {"moved": ["score"], "arms": ["experiment", "practice"], "limits.picture_age": ["robot", "run"]}
    verb = verbs.get(before, ["finetune"])
    assert main([*verb, f"--{before}", "1"]) == 2
    error = capsys.readouterr().err
    assert f"--{before} is called --{RENAMED_OPTIONS[before]} now" in error and len(error.splitlines()) == 1


def episode(**noted: Any) -> Episode:
    rng = np.random.default_rng(0)
    actions = rng.normal(size=(3, 2))
    return Episode(
        frames={}, states=rng.normal(size=(4, 2)), times=np.arange(4.0), base_actions=actions, residual_actions=actions,
        executed_actions=actions, terminated=True, truncated=False, success=True,
        log=StepLog(**{name: np.array(value) for name, value in noted.items()}),
    )  # fmt: skip


def test_what_was_not_sent_earns_no_agreement_and_the_environment_s_reward_is_taken_as_it_is() -> None:
    assert step_rewards(PaperSparseReward(), episode()).tolist() == [0, 0, 1]
    assert step_rewards(PaperSparseReward(), episode(held=["", "stale state", ""])).tolist() == [0, -1, 1]
    assert step_rewards(EnvironmentReward(), episode(reward=[-7.5, 3.0, 0.0]), RewardForm(bonus=9)).tolist() == [
        -7.5,
        3,
        0,
    ]
    late = {"held": ["", "", "stale state"], "reward": [-7.5, 3.0, 2.0]}
    assert step_rewards(PaperSparseReward(), episode(**late), RewardForm(bonus=2)).tolist() == [0, 2, -1], (
        "the last that is learned from"
    )
    assert step_rewards(EnvironmentReward(), episode(**late)).tolist() == [-7.5, 5, 0]
    assert step_rewards(EnvironmentReward(), episode(**late | {"held": ["no"] * 3})).tolist() == [-7.5, 3, 2]
    for wrong in ({}, {"reward": [1.0, float("nan"), 2.0]}):
        with pytest.raises(UserError, match="does not hold the environment's own"):
            step_rewards(EnvironmentReward(), episode(**wrong))


def test_a_policy_of_before_is_read_under_todays_names(tmp_path: Path) -> None:
    save_residual_checkpoint(tmp_path, 1, learner(), {"task": "slide", "alpha": 0.3})
    about = load_residual_policy(tmp_path)[1]
    assert (about["env"], about["residual_scale"]) == ("kitchen:slide", 0.3)


def test_kinds_are_no_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(
        tmp_path, monkeypatch, {"no_kind.py": "def made(): return 3"}, {"mpr.environments": {"three": "no_kind:made"}}
    )
    with pytest.raises(UserError, match="environment 'three' is a int"):
        kind_of("three:x")


def test_success_that_is_told_of_only_when_there_is_one_counts_as_none_elsewhere() -> None:
    rows = [{"policy": "base", "seed": 1, "return": -3.0}, {"policy": "base", "seed": 2, "success": True}]
    assert not tells_returns(rows) and tells_returns(rows[:1]) and not tells_returns([])
    assert successes(rows, "base", [1, 2]).tolist() == [0, 1]
    with pytest.raises(KeyError):
        successes(rows, "base", [1, 2], "return")


def test_a_held_step_of_a_demonstration_is_no_transition() -> None:
    environment = wrapped()
    plain = demonstrate(0)
    held = replace(plain, log=StepLog(held=np.array(["stale state", *[""] * (len(plain) - 1)])))
    full, short = (demonstration_buffer([one], environment, PaperSparseReward())[0] for one in (plain, held))
    assert short.size() == full.size() - 1


def test_curves_of_practice_take_an_episode_that_says_nothing_of_success_for_none(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"episode": 1, "return": -3.0}\n{"episode": 2, "success": true}\n')
    assert practised_successes(tmp_path).tolist() == [0, 1]
