"""Run folders, atomic files, and configuration: faults are injected, messages are one line that names the culprit."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mpr.core import runs
from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder, atomic_folder, atomic_path, write_atomic


@dataclass(frozen=True)
class Config:
    """Something to do."""

    out: Path = Path("out")  # run folder
    size: float = 0.1  # metres: what it is
    count: int = 3  # how many
    box: tuple[int, int, int, int] | None = None  # pixels

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"count {self.count}: at least one is needed")


def read(*argv: str) -> Config:
    return parse_config(Config, argv, prog="mpr test")[0]


# Files


@pytest.fixture
def full_disk(monkeypatch):
    """Nothing can be flushed to disk any more."""

    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, full_disk):
    file = tmp_path / "a.json"
    file.write_text("before")
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, "after")
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_library_that_fails_half_way_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "deep" / "v.mp4") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert temporary.suffix == ".mp4"  # libraries choose the format by it
    assert os.listdir(tmp_path / "deep") == []


def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    with atomic_folder(tmp_path / "clip") as temporary:
        (temporary / "a").write_text("1")
        assert not (tmp_path / "clip").exists()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "clip") as temporary:
        (temporary / "a").write_text("2")
        raise RuntimeError
    assert (tmp_path / "clip" / "a").read_text() == "1"
    with atomic_folder(tmp_path / "clip") as temporary:
        (temporary / "b").write_text("3")
    assert os.listdir(tmp_path / "clip") == ["b"]
    assert os.listdir(tmp_path) == ["clip"]


# Run folders


def test_a_run_with_other_settings_is_refused_naming_them(tmp_path):
    RunFolder(tmp_path / "run", "synth", {"out": "x", "seed": 1, "clips": 5})
    RunFolder(tmp_path / "run", "synth", {"out": "y", "seed": 1, "clips": 5})
    with pytest.raises(UserError, match="seed: 1 there, 2 asked") as error:
        RunFolder(tmp_path / "run", "synth", {"out": "x", "seed": 2, "clips": 5})
    assert "clips" not in str(error.value)
    with pytest.raises(UserError, match="command: synth there, track asked"):
        RunFolder(tmp_path / "run", "track", {"out": "x", "seed": 1, "clips": 5})
    RunFolder(tmp_path / "run", "synth", {"out": "x", "seed": 1, "clips": 9}, free=("out", "clips"))


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty"):
        RunFolder(tmp_path, "synth", {})
    assert os.listdir(tmp_path) == ["thesis.txt"]


@pytest.mark.parametrize("damaged", [b'{"n": 1', b"\xff\xfe", b"[1, 2]", b"null", b"[" * 100_000])
def test_a_damaged_line_of_metrics_is_refused_by_number(tmp_path, damaged):
    run = RunFolder(tmp_path / "run", "train", {})
    run.log(n=0)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(damaged + b"\n")
    run.log(n=2)
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2 is damaged \(.*\): take it out"):
        RunFolder(tmp_path / "run", "train", {})


def test_blank_lines_of_metrics_are_no_rows(tmp_path):
    run = RunFolder(tmp_path / "run", "train", {})
    run.log(n=0)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b"\n \t\n\r\n")
    run.log(n=1)
    assert [row["n"] for row in RunFolder(tmp_path / "run", "train", {}).metrics()] == [0, 1]


def test_a_row_without_what_is_asked_of_it_is_refused_by_line(tmp_path):
    run = RunFolder(tmp_path / "run", "train", {})
    run.log(step=1)
    run.log(loss=0.5)
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2 has no 'step'"):
        run.keep_metrics(lambda row: row["step"] < 2)
    (run.path / "metrics.jsonl").write_text('{"step": "two"}\n')
    with pytest.raises(UserError, match=r"line 1 is damaged \(step is 'two', a whole number is needed\)"):
        run.metrics()


TAGS = [b"a: !!bool x", b"a: !!timestamp x", b"a: !!int ''", b"a: !!python/object:os.system x", b"1: a\nb: c", b"? [a]"]


@pytest.mark.parametrize("damaged", [b"a: b: c", b"size: \xff", b"just words", b"- 1", b"a: \0", b"{", *TAGS])
def test_a_damaged_config_of_a_run_is_refused_by_name(tmp_path, damaged):
    RunFolder(tmp_path / "run", "train", {"size": 1})
    (tmp_path / "run" / "config.yaml").write_bytes(damaged)
    with pytest.raises(UserError, match=r"config\.yaml is damaged") as error:
        RunFolder(tmp_path / "run", "train", {"size": 1})
    assert "\n" not in str(error.value)


def test_a_last_row_that_lacks_only_its_newline_is_kept(tmp_path):
    run = RunFolder(tmp_path / "run", "train", {})
    (run.path / "metrics.jsonl").write_text('{"n": 0}\n{"n": 1}')
    again = RunFolder(tmp_path / "run", "train", {})
    again.log(n=2)
    assert again.metrics() == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_torn_last_line_of_metrics_is_dropped_and_does_not_swallow_the_next(tmp_path):
    run = RunFolder(tmp_path / "run", "train", {})
    run.log(step=1)
    run.log(step=2)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert [row["step"] for row in run.metrics()] == [1, 2]
    again = RunFolder(tmp_path / "run", "train", {})
    again.log(step=3)
    assert [row["step"] for row in again.metrics()] == [1, 2, 3]
    again.keep_metrics(lambda row: row["step"] < 3)
    assert [row["step"] for row in again.metrics()] == [1, 2]


def test_finished_only_with_a_whole_summary(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run", "train", {})
    with monkeypatch.context() as patch:
        patch.setattr(runs, "flush_to_disk", lambda path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError):
            run.finish({"loss": 1})
    assert not run.finished
    run.finish({"loss": 1, "rate": {"value": 0.5, "limits": [float("nan"), (float("inf"),)]}})
    assert run.finished
    text = (run.path / "summary.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    assert found == {"loss": 1, "rate": {"value": 0.5, "limits": [None, [None]]}}


def test_a_row_that_the_disk_has_no_room_for_leaves_nothing_of_itself(tmp_path):
    run = RunFolder(tmp_path / "run", "train", {})
    run.log(n=0)
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((run.path / "metrics.jsonl").stat().st_size + 5, was[1]))
        with pytest.raises(OSError):
            run.log(n=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
    run.log(n=2)
    assert run.metrics() == [{"n": 0}, {"n": 2}]


# Configuration


def test_yaml_then_command_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("size: 0.5\ncount: 7\nbox: [1, 2, 3, 4]\n")
    assert read("--config", str(file), "--count", "9") == Config(size=0.5, count=9, box=(1, 2, 3, 4))
    assert read(f"--config={file}").count == 7
    assert as_dict(read("--config", str(file)))["box"] == [1, 2, 3, 4]
    assert parse_config(Config, ["--dry-run"], prog="p")[1] is True


@pytest.mark.parametrize("argv", [["--box", "-5,10,30,40"], ["--box=-5,10,30,40"], ["--box", "[-5, 10, 30, 40]"]])
def test_a_box_is_four_numbers_and_may_be_negative(argv):
    assert read(*argv).box == (-5, 10, 30, 40)


@pytest.mark.parametrize("text", ["-0.25", "-1e-3", ".5", "+2"])
def test_negative_numbers_and_exponents_parse(text):
    assert read("--size", text).size == float(text)


@dataclass(frozen=True)
class Wording:
    """A text and a yes or no."""

    text: str = "some"  # any text
    check: bool = False  # yes or no


TEXTS = ["#C C opens", "off", "null", "1.0", "a: b", "open # door", "*x", "{a}", "it's", '"a"', " a ", "", "é🙂", "-x"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_taken_as_it_stands(text):
    for argv in (["--text", text], [f"--text={text}"], ["--text", text, "--check"]):
        config = parse_config(Wording, argv, prog="p")[0]
        assert config.text == text and yaml.safe_load(yaml.safe_dump(as_dict(config)))["text"] == text


def test_a_yes_or_no_key_alone_means_yes():
    for argv, yes in (([], False), (["--check"], True), (["--check", "false"], False), (["--check=true"], True)):
        assert parse_config(Wording, argv, prog="p")[0].check is yes
    assert parse_config(Wording, ["--check", "--text", "a"], prog="p")[0] == Wording("a", True)
    with pytest.raises(UserError, match="text"):
        parse_config(Wording, ["--text", "--check"], prog="p")


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--sizes", "1"], "unknown key --sizes; known: box, count, out, size"),
        (["--siz", "1"], "unknown key --siz"),
        (["--size", "large"], "size"),
        (["--count", "1.5"], "count"),
        (["--count", "0"], "count 0"),
        (["--box", "1,2,3"], "box"),
        (["--box", "1,2,3,4,5"], "box"),
        (["--size"], "size"),
        (["--out", "null"], "--out null: a path is needed"),
        (["stray"], "stray"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--config"], "--config"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_it(argv, names):
    with pytest.raises(UserError, match=names) as error:
        read(*argv)
    assert "\n" not in str(error.value) and "Traceback" not in str(error.value)


@pytest.mark.parametrize(("text", "names"), [("sizes: 1\n", "sizes"), ("size: [1]\n", "size"), ("size: {", "c.yaml")])
def test_a_wrong_file_is_one_line_that_names_the_key(tmp_path, text, names):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=names) as error:
        read("--config", str(file))
    assert "\n" not in str(error.value)


def test_help_exits_0_and_shows_defaults_and_units(capsys):
    with pytest.raises(SystemExit) as leaving:
        read("--help")
    assert leaving.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Something to do" in text and "metres: what it is" in text and "0.1" in text
    assert "--config FILE" in text and "--dry-run" in text and "--config_path" not in text


def test_the_plan_touches_nothing_and_names_missing_inputs(tmp_path, capsys):
    out = tmp_path / "not" / "there"
    print_plan(Config(), {"data": tmp_path}, {"parameters": 12}, out)
    assert "parameters: 12" in capsys.readouterr().out
    with pytest.raises(UserError, match="gone"):
        print_plan(Config(), {"gone": tmp_path / "gone"}, {}, out)
    assert os.listdir(tmp_path) == []


OTHER = """
import sys
from pathlib import Path
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder
try:
    RunFolder(Path(sys.argv[1]), "train", {})
except UserError as error:
    print(error)
"""


def test_a_run_folder_has_one_writer(tmp_path):
    RunFolder(tmp_path / "run", "train", {})
    RunFolder(tmp_path / "run", "train", {})  # the same process may open it again
    told = subprocess.run([sys.executable, "-c", OTHER, str(tmp_path / "run")], capture_output=True, text=True)
    assert "is being written by another process" in told.stdout
    free = subprocess.run([sys.executable, "-c", OTHER, str(tmp_path / "free")], capture_output=True, text=True)
    assert free.stdout == ""  # and what a process held is free when it has ended
    RunFolder(tmp_path / "free", "train", {})
