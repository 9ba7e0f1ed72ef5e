"""Practice on the simulated arm: the kitchen's learner and rewards, and what is special about an arm kept."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.errors import UserError
from rl.environments.kitchen.tasks import MICROWAVE
from rl.environments.practice import PracticeEnvironment, Stopped
from rl.environments.registry import kind_of
from rl.environments.setting import RewardView, Setting
from rl.residual import train
from rl.residual.callback import EpisodeRewards
from rl.residual.config import FinetuneConfig
from rl.residual.demonstrations import label
from rl.residual.one_at_a_time import OneAtATime
from rl.residual.reward_form import RewardForm
from rl.residual.rewards import find_reward
from rl.residual.train import Finetuning, finetune
from robot.hardware.action import NOTHING
from robot.practice.environment import ArmPractice
from robot.practice.kinds import TwinKind
from robot.practice.twin import PunctualOperator
from robot.setting import ROBOT_STEP_LIMIT
from robot.teleop.operator import Answer, Mark
from tests.other_package import installed
from tests.rl.sac_runs import assert_same_checkpoints
from tests.robot.table import Table
from tests.toy_demonstrations import demonstration
from tests.toy_reach import learner
from tests.toy_station import ToyOperator

TWIN = "twin:microwave"
SETTING = Setting(TWIN, Path("stay"))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwinKind, "step_limit", lambda kind, setting: 4)


def opened(stack: ExitStack, setting: Setting = SETTING, view: str = "") -> ArmPractice:
    found = stack.enter_context(kind_of(setting.env).open(setting, view))
    assert isinstance(found, ArmPractice)
    return found


def test_kitchen_and_twin_go_through_one_learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[tuple[Any, ...]] = []

    def run(self: Finetuning) -> None:
        found: PracticeEnvironment = self.environment
        met.append((type(self), type(self.model), type(self.model.buffer), type(found).__name__, found.rate_hz))

    monkeypatch.setattr(Finetuning, "run", run)
    for env in ("kitchen:microwave", TWIN):
        asked = ["--env", env, "--base", "zero", "--demos", "none", "--reward", "none", "--buffer", "200"]
        assert main(["finetune", *asked, "--out", str(tmp_path / env[:4])]) == 0
    kitchen, twin = met
    assert kitchen[:3] == twin[:3] and kitchen[0] is train.Finetuning
    assert (kitchen[3:], twin[3:]) == (("ResidualEnvironment", 12.5), ("ArmPractice", 10.0))


@pytest.mark.usefixtures("short")
def test_a_killed_run_on_the_twin_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def config(out: str) -> FinetuneConfig:
        given: dict[str, Any] = {"episodes": 3, "warmup_steps": 0, "utd": 0.5, "batch": 8, "checkpoint_every": 1}
        named = {"env": TWIN, "base": Path("expert"), "demos": Path("none"), "reward": "none"}
        return FinetuneConfig(**named, **given, buffer=150, out=tmp_path / out)

    finetune(config("whole"))
    episode = Finetuning._episode

    def killed(self: Finetuning, number: int, rewards: Any) -> dict[str, Any]:
        if number == 3:
            raise KeyboardInterrupt
        return episode(self, number, rewards)

    monkeypatch.setattr(Finetuning, "_episode", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(config("broken"))
    monkeypatch.setattr(Finetuning, "_episode", episode)
    finetune(config("broken"))
    assert_same_checkpoints(*(tmp_path / name / "checkpoints/00003" for name in ("whole", "broken")))


@pytest.mark.usefixtures("short")
def test_the_twin_s_base_action_is_in_the_observation_and_its_scene_in_the_episode() -> None:
    with ExitStack() as stack:
        environment = opened(stack, view="front")
        observation, info = environment.reset(seed=10_007)
        assert info["seed"] == 10_007 and observation.shape == (16,) and observation.dtype == np.float32
        base = observation[environment.base_slice]
        np.testing.assert_allclose(base, environment.ask_base(observation[environment.state_slice]), atol=1e-6)
        over = False
        while not over:
            observation, _, terminated, truncated, info = environment.step(np.zeros(8, np.float32))
            assert not info["unsent"] and not info["gap"]
            over = terminated or truncated
        episode = environment.finished
        assert episode is not None and episode.recording is not None and truncated
        assert len(episode) == 4 and episode.log.reward is not None and len(episode.log.reward) == 4
        assert episode.recording.rate_hz == episode.rate_hz == 10 and not episode.gaps.any()
        seen = episode.recording
        assert np.array_equal(seen.times, episode.times) and not np.array_equal(seen.qpos[0], seen.qpos[-1])
        with pytest.raises(UserError, match="practised on in lockstep"):
            stack.enter_context(kind_of(TWIN)._recorder(replace(station(), clock=None), "front"))  # type: ignore


@pytest.mark.usefixtures("short")
def test_an_episode_on_the_twin_is_the_same_to_the_last_bit_whatever_went_before() -> None:
    seen = []
    for before in ([], [10_000], [10_003, 10_004]):
        with ExitStack() as stack:
            environment = opened(stack, view="front")
            for seed in (*before, 10_001):
                environment.reset(seed=seed)
                while not environment.step(np.full(8, 0.4, np.float32))[3]:
                    pass
            assert environment.finished is not None and environment.finished.recording is not None
            seen.append(environment.finished.recording.qpos)
    assert np.array_equal(seen[0], seen[1]) and np.array_equal(seen[0], seen[2])


def station() -> Any:
    from robot.station import Station

    return Station(None, (), None, None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("short")
def test_an_operator_who_quits_ends_practice_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = iter([*[None] * 6, Mark.QUIT])
    monkeypatch.setattr("robot.practice.twin.PunctualOperator.mark", lambda self: next(marks, None))
    asked = ["finetune", "--env", TWIN, "--base", "stay", "--demos", "none", "--reward", "none", "--buffer", "150"]
    asked += ["--warmup_steps", "100", "--checkpoint_every", "1", "--episodes", "2", "--out", str(tmp_path / "run")]
    assert main(asked) == 0
    assert "stopped in episode 2: the same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "run/summary.json").exists() and (tmp_path / "run/checkpoints/00001").exists()
    assert main(asked) == 0
    assert (tmp_path / "run/summary.json").exists()


class Asked:
    """Questions of the twin's operator: how many episodes were logged at each, and what is said to number `at`."""

    def __init__(self, run: Path, last: type[BaseException] | Answer | None = None, at: int = 0) -> None:
        self.run, self.last, self.at, self.rows = run, last, at, list[int]()

    def __call__(self, operator: PunctualOperator, question: str, answers: Any = tuple(Answer)) -> Answer:
        file = self.run / "metrics.jsonl"
        self.rows.append(len(file.read_text().splitlines()) if file.exists() else 0)
        if len(self.rows) == self.at and isinstance(self.last, type):
            raise self.last
        return self.last if len(self.rows) == self.at and isinstance(self.last, Answer) else ask(operator, question)


ask = PunctualOperator.ask


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("last", [None, KeyboardInterrupt, UserError, Answer.QUIT])
def test_an_episode_is_kept_before_the_operator_is_asked_for_the_next_and_nobody_is_after_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: Any
) -> None:
    def practise(out: str, asked: Asked) -> int:
        monkeypatch.setattr(PunctualOperator, "ask", lambda *told: asked(*told))
        given = ["--warmup_steps", "0", "--utd", "0.5", "--batch", "8", "--buffer", "50", "--episodes", "3"]
        named = ["--env", TWIN, "--base", "expert", "--demos", "none", "--reward", "none"]
        return main(["finetune", *named, *given, "--out", str(tmp_path / out)])

    asked = Asked(tmp_path / "whole")
    assert practise("whole", asked) == 0 and asked.rows == [0, 1, 2]
    if last is not None:
        stopped = Asked(tmp_path / "broken", last, at=3)
        status = {KeyboardInterrupt: 130, UserError: 2, Answer.QUIT: 0}[last]
        assert practise("broken", stopped) == status and stopped.rows == [0, 1, 2]
        assert ("stopped in episode 3: the same" in capsys.readouterr().out) == (last is Answer.QUIT)
        asked = Asked(tmp_path / "broken")
        assert practise("broken", asked) == 0 and asked.rows == [2]
        assert_same_checkpoints(*(tmp_path / name / "checkpoints/00003" for name in ("whole", "broken")))


@pytest.mark.usefixtures("short")
def test_a_held_step_is_no_transition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        environment = opened(stack)
        given: dict[str, Any] = {"buffer": 150, "warmup_steps": 0, "batch": 8, "utd": 0.0, "episodes": 1}
        where = {"env": TWIN, "base": Path("stay"), "demos": Path("none"), "out": tmp_path / "run"}
        config = FinetuneConfig(**where, **given, reward="paper_sparse")
        run = Finetuning(config, environment, find_reward("paper_sparse", config.setting))
        act, calls = environment.env.guard.act, iter(range(4))
        monkeypatch.setattr(  # the second action is none
            environment.env.guard, "act", lambda wish, seen: act(wish * np.nan if next(calls) == 1 else wish, seen)
        )
        run.run()
        buffer = run.model.buffer
        assert (buffer.size(), buffer.left_out) == (3, 1)
        assert run.folder.metrics()[0]["reward"] == pytest.approx(-1.0)  # of the held step alone
        assert buffer.dones[:3, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("how", ["held", "late"])
def test_a_success_marked_at_a_step_that_is_none_is_learned_from(how: str) -> None:
    table = Table(ToyOperator({5: Mark.SUCCESS}))
    act, calls = table.env.guard.act, iter(range(5))

    def odd(wish: Any, seen: Any) -> Any:
        last = next(calls) == 4
        table.clock.advance(0.27 if last and how == "late" else 0)
        return act(wish * np.nan if last and how == "held" else wish, seen)

    table.env.guard.act = odd  # type: ignore[method-assign]
    model = learner(ArmPractice(table.env))
    model.learn(1, EpisodeRewards(find_reward("paper_sparse", SETTING), RewardForm(bonus=3.0)))
    assert (model.buffer.size(), model.buffer.left_out) == (4, 1)
    assert model.buffer.rewards[:4, 0].tolist() == [0, 0, 0, 3] and not model.buffer.timeouts[:4].any()
    assert model.buffer.dones[:4, 0].tolist() == [0, 0, 0, 1]


def test_demonstrations_are_labelled_by_the_arm_s_own_composition() -> None:
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        environment = opened(stack, Setting(TWIN, Path("zero"), residual_scale=0.5))
        actions = np.tile(NOTHING, (3, 1)).astype(np.float32)
        actions[:, :3] = rng.uniform(-0.3, 0.3, (3, 3))
        actions[:, 3:7] = [0, 0, np.sin(0.05), np.cos(0.05)]
        states = np.tile(np.array([0.5, 0, 0.3, 1, 0, 0, 0, 0.04], np.float32), (4, 1))
        shown = demonstration(states, actions, actions, np.arange(4) / 10, seed=3)
        made = label(shown, environment)
        again = [
            environment.compose(base, residual)
            for base, residual in zip(made.base_actions[:-1], made.episode.residual_actions, strict=True)
        ]
        np.testing.assert_allclose(again, actions, atol=1e-6)
        assert not made.clipped.any()
    with ExitStack() as stack, pytest.raises(UserError, match="expert looks into the simulator"):
        label(shown, opened(stack, Setting(TWIN, Path("expert"))))


@pytest.mark.gl
def test_a_reward_that_sees_pays_for_the_door_s_motion_on_the_twin() -> None:
    reward = find_reward("any_motion", SETTING, RewardView())
    with ExitStack() as stack:
        environment = opened(stack, Setting(TWIN, Path("expert")), view="front")
        environment.reset(seed=10_000)
        over = False
        while not over:
            *_, terminated, truncated, info = environment.step(np.zeros(8, np.float32))
            over = terminated or truncated
        episode = environment.finished
    assert episode is not None and episode.recording is not None and info["is_success"]
    travel = MICROWAVE.travel(episode.recording.qpos)
    scores = reward.score(episode)
    moving = np.diff(travel) > 0.02
    assert moving.any() and scores[moving].min() > 0.1 and scores[np.diff(travel) < 1e-5].max() < 0.01  # a silhouette


def test_an_arm_s_sizes_are_those_of_what_is_opened() -> None:
    """They are told before it is, for the plan and the least of --buffer."""
    setting = Setting(TWIN)
    with ExitStack() as stack:
        environment = opened(stack)
        shapes = environment.observation_space.shape, environment.action_space.shape
        assert shapes == ((TwinKind.sizes[0],), (TwinKind.sizes[1],))
    assert environment.env.step_limit == TwinKind().step_limit(setting) == ROBOT_STEP_LIMIT


def test_practice_s_quit_is_the_session_s() -> None:
    from robot import environment

    assert environment.Stopped is Stopped


def test_another_task_s_own_limits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
from rl.environments.kitchen.tasks import SLIDE
from robot.safety.limits import Limits
from robot.simulated.tasks import TwinTask
WIDE = TwinTask(kitchen=SLIDE, limits=Limits(low=(-0.05, -0.60, -0.10), high=(0.80, 0.85, 1.20)))
"""
    installed(tmp_path, monkeypatch, {"wide_twin.py": text}, {"mpr.twin_tasks": {"wide": "wide_twin:WIDE"}})
    found = TwinKind().station(Setting("twin:wide"))
    assert (found.task, found.limits.low) == ("wide", (-0.05, -0.60, -0.10))


def test_an_operator_who_quits_between_episodes_loses_none_of_them() -> None:
    """The one that is over is stored before anybody is asked for the next."""
    table = Table(ToyOperator({3: Mark.SUCCESS}, answers=(Answer.GO, Answer.QUIT)))
    environment = ArmPractice(table.env)
    model = learner(OneAtATime(environment))
    model.learn(1, EpisodeRewards(find_reward("none", SETTING)))
    assert len(table.operator.asked) == 1 and model.buffer.dones[:3, 0].tolist() == [0, 0, 1]
    last = model.buffer.next_observations[2, 0]
    assert environment.finished is not None and np.allclose(last[:8], environment.finished.states[-1])
    with pytest.raises(Stopped):
        model.learn(1, EpisodeRewards(find_reward("none", SETTING)), reset_num_timesteps=False)
    assert len(table.operator.asked) == 2 and model.buffer.size() == 3 and len(environment.finished) == 3


def test_a_base_that_plans_ahead_is_waited_for_where_no_beat_gives_it_time() -> None:
    """A demonstration's states come one after the other: without, it would answer `stay` to all of them."""
    table, waits = Table(), list[int]()
    table.base.wait = lambda: waits.append(1)  # type: ignore[attr-defined]
    environment = ArmPractice(table.env)
    table.base.reset(0, lambda step: {})
    for _ in range(3):
        environment.ask_base(np.array([0.3, 0, 0.5, 1, 0, 0, 0, 0.08]))
    assert len(waits) == 3
