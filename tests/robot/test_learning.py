"""A learning session on a toy arm: what it gave is never lost, whatever ends it and wherever; what it learns from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mpr.cli import main
from mpr.core.beside import ProcessGone
from mpr.core.checkpoints import last_checkpoint
from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import BadClip, UserError
from mpr.core.runs import RunFolder
from rl.environments.starts import FIRST_SEED
from rl.residual import learner_process
from rl.residual.episode_learner import EpisodeLearner, PractisedEpisode
from rl.residual.rewards import find_reward
from robot.learning import session as learning
from robot.learning.config import SessionConfig
from robot.learning.kept import keep, kept_episode
from robot.learning.report import given_episodes, session_summary, write_report
from robot.learning.session import LearningSession
from robot.learning.signal import EpisodeSignal, MotionSignal, square_of
from robot.recording.recorder import Recorder
from robot.session import one_episode
from robot.teleop.operator import Mark
from tests.rl.sac_runs import assert_same_checkpoints
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
        def work() -> None:
            learner_process._settle(self.learner)
            self.learner.save(policy, self.learner.episodes, self.setup.about or {})

        return self.within(work)


class Killed(BaseException):
    """The session's process is gone."""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "LearnerProcess", Here)
    monkeypatch.setattr(Here, "gone_at", -1)


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
) -> RunFolder:
    free = ("out", "episodes")
    run, recorder = RunFolder(asked.out, "robot session", as_dict(asked), free), Recorder(asked.out / "episodes")
    one = LearningSession(asked, table.env, recorder, run, made or signal(asked), shown)
    if change is not None:
        change(table, one)
    one.practise()
    return run


def signal(asked: SessionConfig) -> EpisodeSignal:
    return EpisodeSignal(find_reward(asked.reward, asked.learner().setting))


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that nothing broke."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "LearnerProcess", Here)
        practise(out / "run")
    return out / "run"


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
    run = tmp_path / "run"
    practise(run)
    (run / "episodes" / "episode_000001").rename(tmp_path / "aside")
    for count in (5, 6):
        recorder = len(list((run / "episodes").glob("episode_0*")))
        begin(config(run, episodes=recorder + 1), Table(ToyOperator({7: Mark.SUCCESS})))
        if count == 5:
            (tmp_path / "aside").rename(run / "episodes" / "episode_000001")
    assert given_episodes(run) == set(range(6)) and session_summary(run)["lost"] == 0
    (last_checkpoint(run / "learner") or run).rename(tmp_path / "gone")
    assert session_summary(run)["lost"] == 6, "a learner that has nothing has lost them all"


def test_practice_with_demonstrations(tmp_path: Path) -> None:
    shown = [one_episode(Table().env, seed)[0] for seed in range(2)]
    asked = config(tmp_path / "run", demos=tmp_path, episodes=2, settings="warmup_steps=10 utd=1 batch=8 pretrain=20")
    run = begin(
        asked, Table(ToyOperator({7: Mark.SUCCESS})), shown=[dataclasses.replace(one, success=True) for one in shown]
    )
    assert [row["steps"] for row in run.metrics() if row["what"] == "episode"] == [7, 7]
    assert last_checkpoint(asked.out / "policy") is not None


# --- rewards ----------------------------------------------------------------------------------------------------------


class Streaming:
    """In the place of the process that scores; gone at the first finish if `gone`."""

    def __init__(self, gone: bool = False, says: str = "") -> None:
        self.gone, self.says, self.frames = gone, says, list[float]()

    def begin(self) -> None:
        self.frames = []

    def frame(self, image: NDArray[np.uint8], time_s: float) -> None:
        self.frames.append(time_s)

    def again(self) -> None:
        self.gone = False

    def finish(self) -> NDArray[np.float32]:
        if self.gone:
            raise ProcessGone("the process beside this one, streaming reward, has ended")
        if self.says:
            raise UserError(self.says)
        return np.full(len(self.frames) - 1, 0.5, np.float32)


def rewarded(tmp_path: Path, streaming: Streaming) -> tuple[Table, RunFolder]:
    table, motion = Table(ToyOperator({7: Mark.SUCCESS})), MotionSignal(streaming, "world")  # type: ignore[arg-type]
    return table, begin(config(tmp_path / "run", episodes=1), table, motion)


@pytest.mark.parametrize("gone", [False, True])
def test_a_reward_whose_process_is_gone_is_made_of_what_was_filmed(tmp_path: Path, gone: bool) -> None:
    streaming = Streaming(gone)
    rewarded(tmp_path, streaming)
    assert len(streaming.frames) == 8 and np.all(np.diff(streaming.frames) > 0)
    assert kept_episode(tmp_path / "run" / "practised", 0).rewards.tolist() == [-0.5] * 6 + [0.5]


def test_an_episode_that_cannot_be_scored_is_told_of_and_counts_as_if_nothing_had_moved(tmp_path: Path) -> None:
    table, run = rewarded(tmp_path, Streaming(says="nothing in the box stands out"))
    assert kept_episode(tmp_path / "run" / "practised", 0).rewards.tolist() == [-1.0] * 6 + [0.0]
    (event,) = [row for row in run.metrics() if row["what"] == "event"]
    assert event["kind"] == "not scored" and "nothing in the box stands out" in event["message"]
    assert any(said.startswith("not scored") for said in table.operator.said)


def test_the_square_is_around_the_box_and_within_the_image() -> None:
    square = square_of((40, 50, 59, 69), (128, 96))
    assert square.size == pytest.approx(40) and square.left == pytest.approx(29.5) and square.top == pytest.approx(39.5)
    assert square_of((0, 0, 19, 19), (128, 96)).left == -0.5


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_what_was_kept_is_read_as_it_was_and_damage_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = PractisedEpisode(
        rng.normal(size=(4, 16)).astype(np.float32), np.zeros((3, 8), np.float32), np.ones(3, np.float32),
        np.array([True, False, True]), False,
    )  # fmt: skip
    keep(tmp_path, 5, made)
    found = kept_episode(tmp_path, 5)
    assert not found.truncated and found.kept.tolist() == [True, False, True]
    np.testing.assert_array_equal(found.observations, made.observations)
    file = tmp_path / "episode_000005.npz"
    file.write_bytes(file.read_bytes()[:200])
    for number in (5, 6):
        with pytest.raises(BadClip, match=f"episode_00000{number}.npz: what was learned"):
            kept_episode(tmp_path, number)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"reward": "vip"}, "no reward 'vip' of a session; there is motion, none, paper_sparse"),
        ({"reward": "motion"}, "needs --predictor RUN"),
        ({"reward": "motion", "predictor": Path("some")}, "needs --box x0,y0,x1,y1"),
        ({"schedule": "fast"}, "no schedule 'fast'; there is fixed, free"),
        ({"settings": "utd=much"}, "a number is needed"),
        ({"settings": "episodes=3"}, "'episodes=3' is decided by"),
        ({"episodes": 0}, "episodes"),
        ({"settings": "shaping=potential", "reward": "none"}, "shaping"),
        ({"settings": "buffer=150"}, "--buffer 150: an episode"),
        ({"step_limit": 500, "settings": "buffer=400"}, "--buffer 400: an episode"),
        ({"settings": "total_steps=100"}, "'total_steps=100' is decided by"),
        (
            {"base": "nosuch", "arm": "franky", "host": "h", "world": "1", "wrist": "2", "reward": "any_motion"},
            "no reward",
        ),
        ({"arm": "franky", "host": "h", "world": "1", "wrist": "2", "base": "expert"}, "--base expert goes with --arm"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as refusal:
        config(tmp_path, **asked)
    assert says in str(refusal.value)


def test_a_folder_without_a_session_has_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "command: [", "command: robot run\n"):
        (tmp_path / "config.yaml").write_text(text)
        assert main(["robot", "session", "--report", str(tmp_path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "config.yaml").unlink()
    assert main(["robot", "session", "--report", str(tmp_path)]) == 2
    assert "holds no session of `mpr robot session`" in capsys.readouterr().err


def test_its_report_is_made_again_of_what_its_folder_holds(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (whole / "summary.json").read_bytes()
    (whole / "summary.json").unlink()
    assert main(["robot", "session", "--report", str(whole)]) == 0
    assert (whole / "summary.json").read_bytes() == before
    assert "# microwave on simulated: 4 episodes of practice on stay" in capsys.readouterr().out


def test_a_plan_says_how_much_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robot", "session", "--preset", "paper", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "updates at most: 80000" in told and "schedule: fixed" in told
