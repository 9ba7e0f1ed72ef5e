"""A learning session on a toy arm: what it gave is never lost, whatever ends it and wherever."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mpr.core.checkpoints import last_checkpoint
from rl.environments.starts import FIRST_SEED
from robot.learning.kept import kept_episode
from robot.learning.report import given_episodes, session_summary
from robot.learning.session import LearningSession
from robot.session import one_episode
from robot.teleop.operator import Mark
from tests.rl.sac_runs import assert_same_checkpoints
from tests.robot.learning_here import EPISODES, Here, begin, config, here, practise, toys, whole_session  # noqa: F401
from tests.robot.table import Table
from tests.toy_station import ToyOperator


class Killed(BaseException):
    """The session's process is gone."""


def in_the_midst_of_an_episode(table: Table, one: LearningSession) -> None:
    act, steps = table.base.act, []

    def killed(observation: NDArray[Any]) -> NDArray[np.float32]:
        steps.append(0)
        if len(steps) == 17:
            raise Killed
        return act(observation)

    table.base.act = killed  # type: ignore[method-assign]


def before_an_episode_is_saved(table: Table, one: LearningSession) -> None:
    save = one.recorder.save

    def killed(episode: Any) -> Path:
        if one.recorder.next_number == 2:
            raise Killed
        return save(episode)

    one.recorder.save = killed  # type: ignore[method-assign]


def before_the_learner_has_it(table: Table, one: LearningSession) -> None:
    heard = one._learn_from_the_last

    def killed() -> None:
        if len(one.recorder.whole) == 3:
            raise Killed
        heard()

    one._learn_from_the_last = killed  # type: ignore[method-assign]


def before_its_row_is_written(table: Table, one: LearningSession) -> None:
    log = one._log

    def killed(number: int, *rest: Any) -> None:
        if number == 2:
            raise Killed
        log(number, *rest)

    one._log = killed  # type: ignore[method-assign]


def while_it_settles(table: Table, one: LearningSession) -> None:
    def killed() -> None:
        raise Killed

    one._settle = killed  # type: ignore[method-assign]


POINTS = (
    in_the_midst_of_an_episode,
    before_an_episode_is_saved,
    before_the_learner_has_it,
    before_its_row_is_written,
    while_it_settles,
)


def same(one: Path, other: Path) -> None:
    for folder in ("learner", "policy"):
        found = [last_checkpoint(run / folder) for run in (one, other)]
        assert found[0] is not None and found[1] is not None
        assert_same_checkpoints(found[0], found[1])
    ours, theirs = (session_summary(run) for run in (one, other))
    for name in ("episodes", "success", "lost", "updates"):
        assert ours[name] == theirs[name], name


def test_a_session_tells_what_became_of_it(whole: Path) -> None:
    told = json.loads((whole / "summary.json").read_text())
    assert told["episodes"] == EPISODES and told["success"]["value"] == 1.0 and told["success"]["n"] == EPISODES
    assert told["lost"] == told["interventions"] == 0 and set(told["wait_s"]) == {"p50", "p95"}
    assert told["beats"]["missed"] == 0 and set(told["seconds"]) == {
        "resetting",
        "moving",
        "reward",
        "saving",
        "updates",
    }
    page = (whole / "page.html").read_text()
    assert "4 episodes of practice" in page and "data:image/png" in page and page.count("episode_00000") == EPISODES
    with torch.inference_mode():
        episode = kept_episode(whole / "practised", 3)
    assert episode.observations.shape == (8, 16) and episode.rewards.tolist() == [-1.0] * 6 + [0.0]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_wherever_it_is_killed_the_same_command_ends_with_the_same_bytes(
    tmp_path: Path, whole: Path, point: Callable[[Table, LearningSession], None]
) -> None:
    with pytest.raises(Killed):
        practise(tmp_path / "run", change=point)
    again = [seed - FIRST_SEED for seed in practise(tmp_path / "run").operator.seeds]
    assert again == {0: [2, 3], 1: [2, 3], 2: [3], 3: [3], 4: []}[POINTS.index(point)]
    same(tmp_path / "run", whole)


@pytest.mark.parametrize("episode", [0, 2, EPISODES - 1])
def test_a_learner_that_is_gone_is_told_of_and_another_goes_on(tmp_path: Path, whole: Path, episode: int) -> None:
    Here.gone_at = episode
    table = practise(tmp_path / "run")
    assert any("another goes on at its checkpoint" in said for said in table.operator.said)
    same(tmp_path / "run", whole)
    assert session_summary(tmp_path / "run")["events"] == {"learner gone": 1}


def test_before_there_were_steps_enough_the_base_policy_is_by_itself(whole: Path) -> None:
    *before, after = (kept_episode(whole / "practised", number).residuals for number in range(4))
    assert not np.any(before) and 0.05 < np.abs(after).max() <= 1, "the fourth is the first whose actor was updated"


def test_what_is_redone_is_not_learned_from(tmp_path: Path) -> None:
    class Redone(ToyOperator):
        def mark(self) -> Mark | None:
            self.steps += 1
            if self.steps == 4 and self.seeds == [FIRST_SEED]:
                return Mark.REDO
            return Mark.FAILURE if self.steps == 6 else None

    table = Table(Redone())
    run = begin(config(tmp_path / "run", episodes=2), table)
    assert table.operator.seeds == [FIRST_SEED, FIRST_SEED, FIRST_SEED + 1]
    rows = [row for row in run.metrics() if row["what"] == "episode"]
    assert [row["steps"] for row in rows] == [6, 6] and [row["mark"] for row in rows] == ["failure"] * 2
    assert kept_episode(tmp_path / "run" / "practised", 0).truncated


def test_stopped_after_two_episodes_and_gone_on_with_it_ends_as_if_it_had_not_been(tmp_path: Path, whole: Path) -> None:
    """What was owed was learned into a folder of its own: practice goes on from where it was."""
    table = toys()
    begin(config(tmp_path / "run", episodes=2), table)
    assert last_checkpoint(tmp_path / "run" / "policy") is not None and len(table.operator.seeds) == 2
    practise(tmp_path / "run")
    same(tmp_path / "run", whole)


def test_an_episode_folder_that_is_removed_or_put_back_neither_loses_one_nor_gives_one_twice(tmp_path: Path) -> None:
    def unlearned(table: Table, one: LearningSession) -> None:
        def killed() -> None:
            raise Killed

        one._learn_from_the_last = killed  # type: ignore[method-assign]

    run = tmp_path / "run"
    practise(run)
    (run / "episodes" / "episode_000001").rename(tmp_path / "aside")
    for count, given in ((4, {0, 1, 2, 3, 4}), (6, {0, 1, 2, 3, 4, 5})):
        with pytest.raises(Killed):
            begin(config(run, episodes=count), toys(), change=unlearned)
        assert session_summary(run)["lost"] == 1, "on disk, and the learner has not heard of it"
        begin(config(run, episodes=count), toys())
        assert given_episodes(run) == given and session_summary(run)["lost"] == 0
        if count == 4:
            (tmp_path / "aside").rename(run / "episodes" / "episode_000001")


def test_practice_with_demonstrations(tmp_path: Path) -> None:
    shown = [one_episode(Table().env, seed)[0] for seed in range(2)]
    asked = config(tmp_path / "run", demos=tmp_path, episodes=2, settings="warmup_steps=10 utd=1 batch=8 pretrain=20")
    run = begin(
        asked, Table(ToyOperator({7: Mark.SUCCESS})), shown=[dataclasses.replace(one, success=True) for one in shown]
    )
    assert [row["steps"] for row in run.metrics() if row["what"] == "episode"] == [7, 7]
    assert last_checkpoint(asked.out / "policy") is not None
