"""What the campaign makes of a fault: what is called bad, which cases are tried, what is kept, and the tables."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from mpr.core.errors import UserError
from mpr.core.runs import read_metrics
from robot.faults import command, loop, processes, tries
from robot.faults.campaign import CaseResult, run_case
from robot.faults.catalogue import LONG, Case
from robot.faults.child import deadly, holder_of
from robot.faults.processes import ProcessCase, Tried
from robot.faults.tables import tables
from robot.station import StationConfig


def test_what_a_session_must_not_end_like_is_called_bad() -> None:
    good = CaseResult("arm: x", True, ["arm error"], True, 50, [], ["send", "stop"], 1, 1, 2, 2)
    assert good.bad == [] and dataclasses.replace(good, named=None).bad == []
    assert dataclasses.replace(good, saved=0, said_saved=0, least=0, ended="RuntimeError").bad == []
    wrong = [{"broken": ["step"]}, {"named": False}, {"saved": 1}, {"recoveries": 2}, {"error": "ValueError"}]
    for changes in (*wrong, {"calls": ["stop", "send"]}, {"calls": ["home"]}, {"calls": []}, {"happened": False}):
        assert len(dataclasses.replace(good, **changes).bad) == 1


@pytest.mark.parametrize("point", [one for one, _ in (processes.POINTS | processes.LEARNING_POINTS).values()])
def test_a_phase_of_a_session_has_its_point(point: str) -> None:
    holder, name = holder_of(point)
    assert callable(getattr(holder, name))


@pytest.mark.gl
@pytest.mark.parametrize(
    "case",
    [
        Case("arm", "reflex without error", 5, math.inf),
        Case("wrist", "unplugged", 5, LONG),
        Case("policy", "not a number", 5, LONG),
        Case(loop.LOOP_PART, "Ctrl-C in pace.wait", 5, math.inf),
    ],
    ids=lambda case: case.kind,
)
def test_a_fault_of_each_part_ends_well(case: Case) -> None:
    found = run_case(case, StationConfig(size=16).resolved())
    assert found.bad == [] and found.commands >= (5 if case.breaks_off else 30)
    assert set(found.events) & case.told_as or (case.breaks_off and found.ended)


def test_a_campaign_that_is_broken_off_keeps_its_rows_and_goes_on_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried_now: list[str] = []

    def trying(case: str, out: Path) -> Tried:
        tried_now.append(case)
        if len(tried_now) == 2:
            raise KeyboardInterrupt
        return Tried(case, True, after=3, not_run="no room" if case == "toy one" else "")

    cases = [ProcessCase(f"toy {name}", trying) for name in ("one", "two", "three")]
    monkeypatch.setattr(tries, "process_catalogue", lambda: iter(cases))
    asked = ["--only", "toy t", "--out", str(tmp_path / "out")]
    with pytest.raises(KeyboardInterrupt):
        command.main(asked)
    assert [row["case"] for row in read_metrics(tmp_path / "out")] == ["toy two"]
    command.main(asked)
    assert tried_now == ["toy two", "toy three", "toy three"], "and what does not match is not tried at all"


def test_no_case_and_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    refused = [["--only", "typo"], ["--only", "killed: ", "--processes", "false"], ["--real_time", "true"]]
    for asked in (*refused, ["--arm", "franky"], ["--operator", "keyboard"], ["--rate_hz", "5"], ["--size", "3"]):
        with pytest.raises(UserError):
            command.main([*asked, *out])
    assert not (tmp_path / "out").exists()


def test_what_this_machine_cannot_try_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.shutil, "which", lambda name: None)
    (case,) = (case for case in processes.process_catalogue() if case.name == "a disk of 320 kB")
    found = case.tried(tmp_path)
    assert "unshare" in found.not_run and found.bad == []
    killed = Tried("killed: x", True, after=3)
    assert killed.bad == [] and dataclasses.replace(killed, named=False).bad == ["it was not named"]
    rows = [{"what": "process", **one.as_row()} for one in (killed, found)]
    told = tables(rows)
    assert told[0] == "# 1 faults: 0 bad"
    assert "| process and disk | 1 | 0 of 0 | 0 | 0 | 0 | 1 |" in told
    assert any("not run: there is no `unshare`" in line for line in told)


def test_the_totals_count_what_was_named_broken_and_lost() -> None:
    good = CaseResult("arm: x, from command 1, 2 s", True, ["arm error"], True, 50, [], ["stop"], 1, 1, 2, 2)
    worse = dataclasses.replace(good, named=False, broken=["step", "lead"], saved=0, said_saved=1)
    over = dataclasses.replace(good, case="loop: y, after command 9", named=None, least=0, ended="RuntimeError")
    told = tables([{"what": "session", **tries.as_row(one)} for one in (good, worse, over)])
    assert "| arm | 2 | 1 of 2 | 2 | 2 | 1 | 0 |" in told
    assert "| all | 3 | 1 of 2 | 2 | 2 | 1 | 0 |" in told
    assert "| loop | y | 1 | RuntimeError, arm error | 0 | 2 | none |" in told


def test_a_process_can_be_made_to_kill_itself_at_a_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mpr.core import checksums

    killed = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append(number))
    monkeypatch.setattr(checksums, "sha256", lambda file: "sum")
    deadly("mpr.core.checksums:sha256", 2)
    assert checksums.sha256(tmp_path) == "sum" and killed == []
    checksums.sha256(tmp_path)
    assert killed == [9]
