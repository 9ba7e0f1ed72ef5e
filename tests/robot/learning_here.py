"""A learning session on a toy arm, its learner in this very process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpr.core.beside import ProcessGone
from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.runs import RunFolder
from rl.residual import learner_process
from rl.residual.episode_learner import EpisodeLearner, PractisedEpisode
from rl.residual.rewards import find_reward
from robot.learning import session as learning
from robot.learning.config import SessionConfig
from robot.learning.report import write_report
from robot.learning.session import LearningSession
from robot.learning.signal import EpisodeSignal
from robot.practice.features import NO_FEATURES, ImageFeatures
from robot.recording.recorder import Recorder
from robot.teleop.operator import Mark
from tests.robot.table import Table
from tests.toy_station import ToyOperator

EPISODES = 4


class Here:
    """The learner in this very process, behind the interface of the one beside."""

    gone_at = -1  # episode at which it is gone, once

    def __init__(self, setup: learner_process.LearnerSetup, demonstrations: Any = None) -> None:
        self.setup, self.demonstrations = setup, demonstrations

    def __enter__(self) -> Here:
        state = torch.get_rng_state(), np.random.get_state()
        self.learner: EpisodeLearner = learner_process._ready(self.setup, self.demonstrations)
        self.own = torch.get_rng_state(), np.random.get_state()
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""

    def again(self) -> None:
        self.__enter__()

    def within(self, work: Callable[[], Any]) -> Any:
        """With the generators of the learner's own process."""
        torch.set_rng_state(self.own[0])
        np.random.set_state(self.own[1])
        work()
        self.own = torch.get_rng_state(), np.random.get_state()
        return learner_process._handed(self.learner)

    def actor(self) -> Any:
        return self.within(lambda: None)

    def add(self, number: int, episode: PractisedEpisode) -> None:
        if Here.gone_at == number:
            Here.gone_at = -1
            self.given = ProcessGone("the process beside this one, learner, has ended")
            return
        self.given = self.within(lambda: learner_process._keep(self.learner, self.setup, number, episode))

    def handed_over(self) -> Any:
        if isinstance(self.given, ProcessGone):
            raise self.given
        return self.given

    def settle(self, policy: Path) -> Any:
        return self.within(lambda: learner_process._settle_into(policy, self.learner, self.setup))


def config(out: Path, **asked: Any) -> SessionConfig:
    given = {"episodes": EPISODES, "settings": "warmup_steps=10 utd=1 batch=8 buffer=400", "base": "stay", "out": out}
    return SessionConfig(**given | asked)


def practise(
    out: Path, marks: Mapping[int, Mark] | None = None, change: Callable[[Table, LearningSession], None] | None = None
) -> Table:
    """A session from wherever its folder stands, on a table of its own."""
    table = toys(marks)
    begin(config(out), table, change=change)
    write_report(out)
    return table


def toys(marks: Mapping[int, Mark] | None = None) -> Table:
    table = Table(ToyOperator(marks if marks is not None else {7: Mark.SUCCESS}))
    table.operator.when_asked = lambda _: setattr(table.arm, "_width", 0.08)  # everything is put back, the gripper too
    return table


def begin(
    asked: SessionConfig,
    table: Table,
    made: EpisodeSignal | None = None,
    change: Callable[[Table, LearningSession], None] | None = None,
    shown: Sequence[Episode] = (),
    features: ImageFeatures = NO_FEATURES,
) -> RunFolder:
    free = ("out", "episodes")
    run, recorder = RunFolder(asked.out, "robot session", as_dict(asked), free), Recorder(asked.out / "episodes")
    one = LearningSession(asked, table.env, recorder, run, made or signal(asked), features, shown)
    if change is not None:
        change(table, one)
    one.practise()
    return run


def signal(asked: SessionConfig) -> EpisodeSignal:
    return EpisodeSignal(find_reward(asked.reward, asked.learner().setting))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "LearnerProcess", Here)
    monkeypatch.setattr(Here, "gone_at", -1)


@pytest.fixture(scope="module", name="whole")
def whole_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that nothing broke."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "LearnerProcess", Here)
        practise(out / "run")
    return out / "run"
