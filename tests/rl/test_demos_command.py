"""`mpr demos`: what it keeps, counts, resumes and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("minari")


from mpr import cli
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from rl.commands import demos
from rl.data.demonstrations import (
    BadDemonstration,
    load_demonstrations,
)
from rl.environments.kitchen import collect
from rl.environments.kitchen.minari_data import read_minari, save_minari
from tests.rl.made_demonstrations import made


@pytest.fixture
def expert(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of kitchen and expert: seed 2 fails. Lists the seeds asked for."""
    asked: list[int] = []

    def demonstrate(environment: object, seed: int, noise: float, rest: int) -> Episode:
        asked.append(seed)
        return made(seed, success=seed != 2)

    monkeypatch.setattr(collect, "KitchenEnvironment", lambda *_, **__: None)
    monkeypatch.setattr(collect, "demonstrate", demonstrate)
    return asked


def test_command_keeps_successes_counts_failures_and_resumes(tmp_path: Path, expert: list[int]) -> None:
    out = tmp_path / "demos"
    demos.main(["--num_demos", "2", "--out", str(out)])
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"seed": 2, "suc')  # killed while writing
    demos.main(["--num_demos", "4", "--minari", "true", "--out", str(out)])
    assert expert == [0, 1, 2, 3, 4]
    assert [d.seed for d in load_demonstrations(out)] == [0, 1, 3, 4]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["seed"], row["success"]) for row in rows] == [(0, True), (1, True), (2, False), (3, True), (4, True)]
    assert json.loads((out / "summary.json").read_text()) == {"demonstrations": 4, "tried": 5, "mean_steps": 5.0}
    assert [d.seed for d in read_minari(out / "minari" / "kitchen" / "microwave-v0")] == [0, 1, 3, 4]
    demos.main(["--num_demos", "4", "--minari", "true", "--out", str(out)])
    assert expert == [0, 1, 2, 3, 4], "what is there is not made again"


def test_command_ends_as_if_never_killed(tmp_path: Path, expert: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between keeping a demonstration and logging it."""
    log = collect.RunFolder.log

    def killed(self: Any, **values: Any) -> None:
        if values["seed"] == 1 and len(expert) == 2:
            raise KeyboardInterrupt
        log(self, **values)

    monkeypatch.setattr(collect.RunFolder, "log", killed)
    with pytest.raises(KeyboardInterrupt):
        demos.main(["--num_demos", "3", "--out", str(tmp_path / "broken")])
    demos.main(["--num_demos", "3", "--out", str(tmp_path / "broken")])
    demos.main(["--num_demos", "3", "--out", str(tmp_path / "whole")])
    listed = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    assert listed == {p.relative_to(tmp_path / "broken") for p in (tmp_path / "broken").rglob("*") if p.is_file()}
    for name in listed - {Path("config.yaml"), Path("versions.json")}:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


def test_command_reads_minari_through_the_same_door(tmp_path: Path) -> None:
    save_minari([made(s) for s in (4, 8, 6)], tmp_path, "some/toys-v0", "toys")
    arguments = ["--source", str(tmp_path / "some" / "toys-v0"), "--out", str(tmp_path / "out")]
    demos.main([*arguments, "--num_demos", "2"])
    demos.main([*arguments, "--num_demos", "20"])  # there are three
    assert [d.seed for d in load_demonstrations(tmp_path / "out")] == [4, 6, 8]
    rows = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["seed"] for row in rows] == [4, 8, 6], "each read once"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "fridge"], ["no kitchen task 'fridge'", "microwave, hinge, slide"]),
        (["--seed", "9990"], ["seeds 0 to 9,999", "evaluation"]),
        (["--seed", "-1"], ["seeds 0 to 9,999"]),
        (["--num_demos", "0"], ["--num_demos is at least 1"]),
        (["--views", "[front, behind]"], ["no kitchen view 'behind'", "mirrored"]),
        (["--noise", "-0.1"], ["noise must lie in 0 to 1"]),
        (["--size", "8"], ["size must be 16 to 640"]),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], says: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["demos", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in says), said
    assert not (tmp_path / "out").exists()


def test_dry_run_says_how_much_and_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demos.main(["--dry-run", "--views", "[front, left]", "--num_demos", "10", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "at most 150 MB" in said and "scripted expert" in said and not (tmp_path / "out").exists()


def test_command_gives_up_where_nothing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "KitchenEnvironment", lambda *_, **__: None)
    monkeypatch.setattr(collect, "demonstrate", lambda _, seed, *__: made(seed, success=False))
    with pytest.raises(UserError, match="20 seeds in a row failed at microwave"):
        demos.main(["--out", str(tmp_path / "out")])


@pytest.mark.parametrize("words", [["--ajar", "true"], ["--noise", "0.2"], ["--seed", "5"]])
def test_what_only_the_expert_heeds_is_refused_beside_a_source(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["demos", "--source", str(tmp_path / "toys-v0"), *words, "--out", str(tmp_path / "out")]
    assert cli.main(asked) == 2
    error = capsys.readouterr().err
    assert f"{words[0]} is the expert's" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seeds", [(4, 4), (4, 10_000), (4, -1)])
def test_a_data_set_s_seeds_are_ours_and_no_two_alike(tmp_path: Path, seeds: tuple[int, int]) -> None:
    """One of the practised episodes' would be trained on as if it were a demonstration's; of two alike one is lost."""
    save_minari([replace(made(), seed=seed) for seed in seeds], tmp_path, "some/toys-v0", "toys")
    arguments = ["--source", str(tmp_path / "some" / "toys-v0"), "--out", str(tmp_path / "out"), "--num_demos", "2"]
    for _ in range(2):  # nor when it is resumed
        with pytest.raises(BadDemonstration, match=rf"toys-v0 has seed {seeds[1]}.* 0 to 9,999"):
            demos.main(arguments)
    assert [d.seed for d in load_demonstrations(tmp_path / "out")] == [4]
