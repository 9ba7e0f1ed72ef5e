"""Faults of a session that learns: there are enough of them, each has a name, and a few are tried."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mpr.core.errors import UserError
from robot.faults import learning, tries
from robot.faults.beside import DISK, LEARNER_PART, REWARD
from robot.faults.command import FaultsConfig
from robot.faults.learning import LearningCase, learning_catalogue, run_learning
from robot.faults.processes import process_catalogue
from robot.learning.session import HAND_EVENT


def test_a_campaign_has_three_hundred_of_them_each_with_a_name_of_its_own() -> None:
    groups = list(learning_catalogue())
    names = [case.name for some in groups for case in some]
    killed = [case.name for case in process_catalogue() if "while it learns" in case.name]
    assert len(names) + len(killed) >= 300 and len(set(names)) == len(names)
    parts = Counter(case.part for some in groups for case in some)
    assert set(parts) == {LEARNER_PART, REWARD, DISK, HAND_EVENT, "arm", "world", "wrist"} and min(parts.values()) >= 12
    assert {case.part for case in groups[0]} == {LEARNER_PART, REWARD, DISK}


def test_only_those_that_harm_nobody_have_no_name() -> None:
    unnamed = {case.kind for some in learning_catalogue() for case in some if not case.told_as}
    assert unnamed == {"huge", "to and fro", "never lets go"}


def test_one_of_them_may_be_asked_for_alone(tmp_path: Path) -> None:
    asked = tries.chosen(FaultsConfig(only="learning, hand: huge", out=tmp_path))
    assert (
        not asked.sessions
        and not asked.processes
        and {case.kind for some in asked.learning for case in some} == {"huge"}
    )
    assert len(asked) == len(asked.learning) == 12
    done = {case.name for some in asked.learning[:5] for case in some}
    assert len(asked.without(done)) == 7
    with pytest.raises(UserError, match="no fault's name holds this"):
        tries.chosen(FaultsConfig(only="learning, hand: huge", learning=False, out=tmp_path))


@pytest.mark.gl
def test_faults_of_one_session_end_well(tmp_path: Path) -> None:
    some = [LearningCase(HAND_EVENT, "not a number", 3, 0), LearningCase("arm", "reflex", 3, 0)]
    some += [LearningCase(LEARNER_PART, "killed as it is given one", 3, 0)]
    found = list(run_learning(some, tmp_path / "session", 16, 0))
    assert [one.case for one in found] == [case.name for case in some]
    assert all(one.bad == [] and one.happened for one in found)
    assert [one.events for one in found] == [[HAND_EVENT], ["arm error"], ["learner gone"]]


def test_a_session_that_comes_to_something_else_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(root: Path, size: int, seed: int, episodes: int) -> str:
        return "learner"

    def ended(config: learning.SessionConfig, todo: list[LearningCase], seen: bool) -> object:
        class Attempt:
            def results(self) -> list[object]:
                todo.clear()
                (config.out / learning.POLICY).mkdir(parents=True)
                return []

        return Attempt()

    monkeypatch.setattr(learning, "differs_from_unbroken", other)
    monkeypatch.setattr(learning, "_Attempt", ended)
    with pytest.raises(UserError, match="is not what it is where nothing happens"):
        list(run_learning([LearningCase(DISK, "no room for the episode", 1, 0)], tmp_path / "session", 16, 0))


def test_a_byte_that_differs_from_the_unbroken_session_is_found(tmp_path: Path) -> None:
    for run in ("unbroken", "session"):
        for part in (learning.LEARNER, learning.POLICY):
            folder = tmp_path / run / part / "checkpoints/00003"
            folder.mkdir(parents=True)
            (folder / "checkpoint.json").write_text("{}")
            (folder / "SHA256SUMS").write_text("0 checkpoint.json\n")
    assert learning.differs_from_unbroken(tmp_path / "session", 16, 0, 3) == ""
    (tmp_path / "session/policy/checkpoints/00003/SHA256SUMS").write_text("1 checkpoint.json\n")
    assert learning.differs_from_unbroken(tmp_path / "session", 16, 0, 3) == learning.POLICY
