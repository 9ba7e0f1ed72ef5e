"""A second opinion on success: it learns from marks, guesses before it learns, and decides nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.episode import Episode
from mpr.core.runs import read_metrics
from robot.learning.detector import GUESSES_FROM, SuccessDetector
from robot.learning.report import session_lines, session_rows, session_summary
from robot.learning.session import LearningSession
from robot.recording.recorded import load_recorded
from robot.recording.recorder import episode_folders
from robot.teleop.operator import Mark
from tests.robot.learning_here import begin, config, here, toys  # noqa: F401
from tests.robot.table import Table
from tests.toy_robot_episodes import robot_episode, texture


def shown(success: bool, number: int, steps: int = 6) -> Episode:
    """A door in one camera's image, open at the end of a success; noise and light are an episode's own."""
    rng = np.random.default_rng(number)
    frames = np.stack([texture(0, 0) for _ in range(steps + 1)]).astype(int) + rng.integers(-10, 10)
    if success:
        frames[-3:, 10:30, 20:40] = 20
    frames += rng.normal(0, 5, frames.shape).astype(int)
    seen = {"world": frames.clip(0, 255).astype(np.uint8)}
    return robot_episode(number, steps, (), frames=seen, success=success, truncated=not success, terminated=success)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_it_guesses_once_it_knows_both_kinds_and_then_rightly(marks: list[bool]) -> None:
    detector = SuccessDetector()
    for number, success in enumerate(marks):
        knows = min(marks[:number].count(True), marks[:number].count(False)) >= GUESSES_FROM
        guess = detector.guess(shown(success, number))
        assert (guess is not None) == knows
        if guess is not None:
            assert (guess > 0.5) == success
        detector.learn(shown(success, number))


def test_order_says_nothing_and_an_episode_without_images_neither() -> None:
    one, other = SuccessDetector(), SuccessDetector()
    known = [shown(k % 2 == 0, k) for k in range(8)]
    for episode in known:
        one.learn(episode)
    for episode in [*reversed(known), robot_episode(3, 4, ())]:
        other.learn(episode)
    assert one.guess(shown(True, 9)) == pytest.approx(other.guess(shown(True, 9)), abs=1e-9)
    assert one.guess(robot_episode(0, 5, ())) is None


def test_what_it_learns_from_is_what_lies_on_disk(tmp_path: Path) -> None:
    """So one that is made anew of the same episodes guesses the same, to the last digit."""
    learned: list[SuccessDetector] = []

    def keep_it(table: Table, one: LearningSession) -> None:
        settle = one._settle

        def settling() -> None:
            learned.append(one.detector)
            settle()

        one._settle = settling  # type: ignore[method-assign]

    begin(config(tmp_path, episodes=4, detector=True), toys(), change=keep_it)
    again = SuccessDetector()
    for folder in episode_folders(tmp_path / "episodes").values():
        again.learn(load_recorded(folder))
    np.testing.assert_array_equal(learned[0]._rows, again._rows)
    assert learned[0].marked == again.marked and sum(again.marked.values()) == 4


def test_a_second_opinion_that_fails_costs_no_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SuccessDetector, episode: Episode) -> float:
        raise ValueError("a strange image")

    monkeypatch.setattr(SuccessDetector, "guess", broken)
    begin(config(tmp_path, episodes=2, detector=True), toys())
    told = [row["message"] for row in read_metrics(tmp_path) if row.get("kind") == "no second opinion"]
    assert told == ["ValueError: a strange image"] * 2 and len(episode_folders(tmp_path / "episodes")) == 2


def test_a_session_that_was_broken_off_guesses_as_an_unbroken_one(tmp_path: Path) -> None:
    def session(out: Path, episodes: int, **asked: bool) -> Table:
        table = toys({7: Mark.SUCCESS})
        latest = table.operator.begins

        def begins(seed: int) -> None:  # every other episode fails, and looks it
            latest(seed)
            table.operator.marks = {7: Mark.SUCCESS if seed % 2 else Mark.FAILURE}

        table.operator.begins = begins  # type: ignore[method-assign]
        begin(config(out, episodes=episodes, **asked), table)
        return table

    session(tmp_path / "whole", 6, detector=True)
    session(tmp_path / "broken", 3, detector=True)
    session(tmp_path / "broken", 6, detector=True)
    session(tmp_path / "without", 6)
    rows = {name: session_rows(tmp_path / name)[0] for name in ("whole", "broken", "without")}
    guesses = {name: [row["detector"] for row in found] for name, found in rows.items()}
    assert guesses["whole"][:4] == [None] * 4 and None not in guesses["whole"][4:]
    assert [guess is None for guess in guesses["broken"]] == [guess is None for guess in guesses["whole"]]
    assert guesses["without"] == [None] * 6
    assert [row["success"] for row in rows["whole"]] == [row["success"] for row in rows["without"]], "it only tells"
    summary = session_summary(tmp_path / "whole")
    assert summary["detector"]["n"] == 2 and "detector" not in session_summary(tmp_path / "without")
    lines = session_lines({"task": "t", "arm": "a", "base": "b", "reward": "none"}, rows["whole"], [], summary)
    assert any(line.startswith("- the detector agreed with the mark in") for line in lines)
