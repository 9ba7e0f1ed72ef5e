"""The loop of every training run, on a toy that adds up random numbers: killed anywhere, it ends as if it never was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mpr.core.checkpoints import WEIGHTS, CheckpointKind, fitting_weights, last_checkpoint, write_checkpoint
from mpr.core.fit import Fit
from mpr.core.runs import RunFolder


class About(TypedDict):
    done: int


KIND = CheckpointKind("sum", "mpr toy", "one number", 1, About)


class Killed(Exception):
    pass


@dataclass
class Toy:
    """Adds number n in unit n + 1; is killed in unit `killed`, or says that it is enough after `enough`."""

    out: Path
    total: int = 7
    save_every: int = 3
    killed: int = 0
    enough: int = 10**9
    unit: Literal["step", "episode"] = "step"
    takes_part: bool = False  # alone: writes nothing
    total_sum: torch.Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float64))
    saved: list[int] = field(default_factory=list)

    def run(self) -> bool:
        folder = None if self.takes_part else RunFolder(self.out, "toy", {"total": self.total})
        fit = Fit("toy", self.unit, self.total, self.save_every, self.out, folder)
        self.resumed = fit.resume(self.restore)
        done = self.resumed or 0
        return fit.loop(done, self.rows(done), self.save, self.summary, lambda row: f"sum={row['sum']:.1f}")

    def restore(self, checkpoint: Path) -> None:
        self.total_sum = fitting_weights(checkpoint / WEIGHTS, {"sum": self.total_sum})["sum"]

    def rows(self, done: int) -> Iterator[dict[str, Any]]:
        for number in range(done, min(self.total, self.enough)):
            if number + 1 == self.killed:
                raise Killed
            self.total_sum += torch.rand(1, generator=torch.Generator().manual_seed(number))
            yield {"sum": self.total_sum.item(), "said": "no point on the board"}

    def save(self, done: int) -> None:
        self.saved.append(done)
        write_checkpoint(self.out, done, KIND, {"done": done}, {WEIGHTS: {"sum": self.total_sum}}, {})

    def summary(self) -> dict[str, Any]:
        return {"sum": self.total_sum.item()}


def written(run: Path) -> dict[str, str]:
    names = ("metrics.jsonl", "summary.json")
    found = last_checkpoint(run)
    assert found is not None
    return {name: (run / name).read_text() for name in names} | {"checkpoint": (found / "SHA256SUMS").read_text()}


@settings(max_examples=25, deadline=None)
@given(
    total=st.integers(1, 9),
    save_every=st.integers(1, 10),
    kills=st.lists(st.integers(1, 9), max_size=3),
    unit=st.sampled_from(["step", "episode"]),
)
def test_killed_anywhere_it_ends_as_the_unbroken_run(
    total: int,
    save_every: int,
    kills: list[int],
    unit: Literal["step", "episode"],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("runs")
    whole = Toy(home / "whole", total, save_every, unit=unit)
    assert whole.run()
    assert whole.saved == sorted({*range(save_every, total + 1, save_every), total})
    for kill in kills:
        toy = Toy(home / "killed", total, save_every, kill, unit=unit)
        try:
            toy.run()
        except Killed:
            assert not (home / "killed" / "summary.json").exists()
    again = Toy(home / "killed", total, save_every, unit=unit)
    assert again.run()
    assert written(home / "killed") == written(home / "whole")
    rows = [json.loads(line) for line in (home / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [row[unit] for row in rows] == list(range(1, total + 1))


def test_it_goes_on_at_the_last_checkpoint_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Killed):
        Toy(tmp_path / "run", killed=6).run()
    first = capsys.readouterr()
    assert "resuming" not in first.out and "toy" in first.err and "sum=" in first.err
    toy = Toy(tmp_path / "run", killed=7)
    with pytest.raises(Killed):
        toy.run()
    assert toy.resumed == 3 and "resuming after step 3 of 7\n" in capsys.readouterr().out
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 6  # 4 and 5 are not there twice


def test_a_checkpoint_of_before_the_first_unit_is_one(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "run", killed=1)
    with pytest.raises(Killed):
        toy.run()
    assert toy.resumed is None  # what comes before the first unit is still to be done
    toy.save(0)
    again = Toy(tmp_path / "run")
    assert again.run() and again.resumed == 0


def test_a_run_whose_rows_end_early_is_not_finished(tmp_path: Path) -> None:
    assert not Toy(tmp_path / "run", enough=4).run()
    assert not (tmp_path / "run" / "summary.json").exists()
    toy = Toy(tmp_path / "run")
    assert toy.run() and toy.resumed == 3


def test_a_process_that_only_takes_part_writes_and_shows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Toy(tmp_path / "run", takes_part=True)
    assert toy.run() and toy.total_sum.item() > 0
    assert not (tmp_path / "run").exists() and not toy.saved
    assert capsys.readouterr() == ("", "")


def test_no_point_is_drawn_twice_and_none_of_words(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        Toy(tmp_path / "run", killed=6).run()
    Toy(tmp_path / "run").run()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["sum"]
    assert [point.step for point in events.Scalars("sum")] == list(range(1, 8))


@pytest.mark.parametrize(("total", "stop", "whole"), [(9, 4, 4), (3, 8, 3), (5, 0, 0)])
def test_a_run_is_complete_once_there_is_enough(total: int, stop: int, whole: int, tmp_path: Path) -> None:
    """It saves there whatever its interval, asks for no further row, and asked again it has nothing to do."""
    toy, seen = Toy(tmp_path, total, save_every=100), list[int]()

    def rows() -> Iterator[dict[str, Any]]:
        for row in toy.rows(len(seen)):
            seen.append(1)
            yield row

    for _ in range(2):
        fit = Fit("toy", "step", total, 100, tmp_path, RunFolder(tmp_path, "toy", {}))
        done = fit.resume(toy.restore) or 0
        assert fit.loop(done, rows(), toy.save, toy.summary, enough=lambda: len(seen) >= stop)
        assert len(seen) == whole and toy.saved == ([whole] if whole else [])
