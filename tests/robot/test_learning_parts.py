"""What a learning session is asked for, what it learns from, and what it keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mpr.cli import main
from mpr.core.beside import ProcessGone
from mpr.core.data.episode import Episode
from mpr.core.errors import BadClip, UserError
from mpr.core.runs import RunFolder
from rl.residual.episode_learner import PractisedEpisode
from robot.learning import session
from robot.learning.config import SessionConfig
from robot.learning.kept import keep, kept_episode
from robot.learning.signal import MotionSignal, square_of
from robot.teleop.operator import Mark
from tests.robot.learning_here import Here, begin, config, here, practise, whole_session  # noqa: F401
from tests.robot.table import Table
from tests.toy_robot_episodes import robot_episode
from tests.toy_station import ToyOperator

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
        ({"settings": "normalise_inputs=true", "base": "runs/bc"}, "normalise_inputs"),
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


def test_demonstrations_whose_actions_mean_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(targets: str | None) -> Episode:
        about = {"arm": "simulated"} | ({"targets": targets} if targets else {})
        return robot_episode(0, 4, ("world",), about=about, task="microwave", seed=0)

    for targets, good in ((None, "measured"), ("measured", "measured"), ("last", "last")):
        shown = [made(targets)]
        monkeypatch.setattr(session, "load_demonstrations", lambda *_, shown=shown: shown)
        for asked in ("measured", "last"):
            settings = SessionConfig(demos=tmp_path, base="stay", targets=asked, out=tmp_path / "out")
            if asked == good:
                assert len(session.demonstrations_of(settings)) == 1
            else:
                with pytest.raises(UserError, match=f"was made with --targets {good}, here it is {asked}"):
                    session.demonstrations_of(settings)
