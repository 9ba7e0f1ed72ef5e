"""The one scale of all rewards: what a weight pays, and when finishing would be a loss."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpr.cli import main
from mpr.core.checkpoints import last_checkpoint
from mpr.core.errors import UserError
from mpr.reward.model import RewardModel
from mpr.reward.none import NoReward
from rl.residual.config import FinetuneConfig
from rl.residual.demonstrations import demonstration_buffer
from rl.residual.reward_form import RewardForm, Temperature, check_finishing, weight_for, worth_of_going_on
from rl.residual.rewards import step_rewards
from rl.residual.train import Finetuning
from tests.rl.test_finetune import demonstrated
from tests.toy_reach import demonstrate, wrapped

PAPER = Temperature(0.05, 0.99, 5, 9)  # the default learner of the kitchen


class Ramp(RewardModel):
    """0.3, 0.4, 0.5, ... of an episode's steps, up to 1."""

    def score(self, episode):
        return np.minimum(0.3 + np.arange(len(episode)) / 10, 1).astype(np.float32)


def test_a_weight_multiplies_the_signal_and_nothing_else():
    episode = demonstrate(0)
    signal = Ramp().score(episode)
    wanted = -1 + 3 * signal + 5 * (np.arange(len(episode)) == len(episode) - 1) * episode.success
    assert np.allclose(step_rewards(Ramp(), episode, RewardForm(bonus=5, signal_weight=3)), wanted)
    buffer, _ = demonstration_buffer([episode], wrapped(), Ramp(), RewardForm(bonus=5, signal_weight=3))
    assert np.allclose(buffer.rewards[:, 0], wanted)


@given(
    share=st.floats(0.01, 2),
    signals=st.lists(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), min_size=1, max_size=5),
)
def test_a_share_is_what_demonstrations_are_paid_of_their_time(share: float, signals: list[list[float]]) -> None:
    made = [np.array([1.0, *one], np.float32) for one in signals]
    weight = weight_for(share, made, "toy")
    paid = np.mean([weight * one.sum() for one in made])
    assert paid == pytest.approx(share * np.mean([len(one) for one in made]), rel=1e-4)


def simulated(step_reward: float, temperature: Temperature, blocks: int = 2000) -> float:
    """Going on for ever, uniformly at random, as targets of n steps add it up."""
    gamma, n, entropy = temperature.gamma, temperature.n_steps, temperature.actions * math.log(2)
    value = 0.0
    for _ in range(blocks):
        value = step_reward * sum(gamma**k for k in range(n)) + gamma**n * (value + temperature.ent_coef * entropy)
    return value


@pytest.mark.parametrize("n_steps", [1, 5])
def test_the_worth_of_going_on_is_what_targets_of_n_steps_converge_to(n_steps):
    temperature = dataclasses.replace(PAPER, n_steps=n_steps)
    after_this_step = simulated(-0.4, temperature) - -0.4
    assert worth_of_going_on(-0.4, temperature) == pytest.approx(after_this_step, rel=1e-6)


def test_the_figures_of_the_paper_s_sparse_reward():
    """0.31 a step of entropy, 0.062 with returns of five: not finishing is worth 31 and 6, finishing 1."""
    assert dataclasses.replace(PAPER, n_steps=1).a_step == pytest.approx(0.31, abs=0.005)
    assert PAPER.a_step == pytest.approx(0.061, abs=0.001)
    assert worth_of_going_on(0.0, dataclasses.replace(PAPER, n_steps=1)) == pytest.approx(31, abs=0.5)
    assert worth_of_going_on(0.0, PAPER) == pytest.approx(6, abs=0.1)


def test_entropy_that_critics_do_not_count_pays_for_nothing():
    assert dataclasses.replace(PAPER, backup=False).a_step == 0


def test_finishing_that_would_be_a_loss_is_refused_with_the_numbers():
    assert check_finishing(RewardForm(), PAPER) == pytest.approx(-93, abs=0.5)
    for form, temperature, signal in [
        (RewardForm(), dataclasses.replace(PAPER, ent_coef=1.0), 0.0),
        (RewardForm(signal_weight=10), PAPER, 0.1),
        (RewardForm(signal_weight=1.2), dataclasses.replace(PAPER, gamma=1.0), 0.9),
    ]:
        with pytest.raises(
            UserError, match="finishing would be a loss: a success brings --bonus 1, and never"
        ) as error:
            check_finishing(form, temperature, signal)
        assert "\n" not in str(error.value)
    assert check_finishing(RewardForm(bonus=10, signal_weight=10), PAPER, 0.1) < 10
    assert check_finishing(RewardForm(bonus=0), dataclasses.replace(PAPER, gamma=1.0)) == -math.inf
    assert check_finishing(RewardForm(bonus=0), dataclasses.replace(PAPER, gamma=0.0, ent_coef=0)) == 0


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"reward": "none", "signal_share": 0.5}, "reward none has no signal to weigh"),
        ({"reward": "paper_sparse", "signal_weight": 2.0}, "reward paper_sparse has no signal to weigh"),
        ({"signal_share": 0.5, "signal_weight": 2.0}, "give it or --signal_weight, not both"),
        ({"signal_share": 0.5, "demos": Path("none")}, "take demonstrations, which tell how much signal"),
        ({"signal_weight": 1.5, "demos": Path("none")}, "take demonstrations, which tell how much signal"),
        ({"signal_share": 0.0}, "--signal_share 0.0: it is above 0"),
        ({"signal_weight": -1.0}, "--signal_weight -1.0: it is at least 0"),
        ({"ent_coef": "1"}, "and never to finish 22"),
        ({"bonus": 0.0, "gamma": 0.5, "n_steps": 1, "ent_coef": "2"}, "finishing would be a loss"),
    ],
)
def test_a_scale_that_cannot_work_is_refused(asked, says):
    with pytest.raises(UserError, match=says):
        FinetuneConfig(**asked)


def test_it_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["finetune", "--base", "zero", "--ent_coef", "1", "--out", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "run").exists()


def finetuning(out: Path, demos: Path, reward: RewardModel, **settings) -> Finetuning:
    given: dict = {"episodes": 2, "pretrain": 5, "warmup_steps": 5, "batch": 16, "buffer": 150, "checkpoint_every": 1}
    return Finetuning(FinetuneConfig(demos=demos, out=out, **given | settings), wrapped(), reward)


def test_a_share_is_printed_and_kept_and_a_resumed_run_keeps_its_own(tmp_path, capsys):
    demos = demonstrated(tmp_path / "demos")
    run = finetuning(tmp_path / "run", demos, Ramp(), signal_share=0.5)
    weight = run.form.signal_weight
    steps, sums = zip(*((len(d), Ramp().score(d).sum()) for d in map(demonstrate, range(3))), strict=True)
    assert weight == pytest.approx(0.5 * sum(steps) / sum(sums), rel=1e-5)
    assert f"signal_weight {weight:.4g}: demonstrations are paid 50% of the time" in capsys.readouterr().out
    run.run()
    checkpoint = last_checkpoint(tmp_path / "run")
    assert (
        checkpoint is not None and json.loads((checkpoint / "checkpoint.json").read_text())["signal_weight"] == weight
    )
    assert json.loads((tmp_path / "run/summary.json").read_text())["signal_weight"] == weight
    (tmp_path / "run/summary.json").unlink()  # killed before it was written
    assert finetuning(tmp_path / "run", demos, Half(), signal_share=0.5).form.signal_weight == weight
    assert finetuning(tmp_path / "other", demos, Half(), signal_share=0.5).form.signal_weight == 1.0


class Half(RewardModel):
    """The same at every step."""

    def score(self, episode):
        return np.full(len(episode), 0.5, np.float32)


def test_a_signal_too_small_to_scale_and_one_that_pays_too_much_are_refused_by_name(tmp_path):
    demos = demonstrated(tmp_path / "demos")
    with pytest.raises(UserError, match=r"reward dense pays a demonstration 0\.00 in all, below 1"):
        finetuning(tmp_path / "small", demos, NoReward(), signal_share=0.5)
    with pytest.raises(UserError, match=r"finishing would be a loss: .*\(-1 \+ 4 \* 0\.50 a step"):
        finetuning(tmp_path / "large", demos, Half(), signal_weight=4.0)
