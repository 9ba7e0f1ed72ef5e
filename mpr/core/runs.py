"""Run folders: one folder a command, files written whole or not at all, seeds, resume. A leaf that all packages use."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import importlib.metadata
import json
import math
import os
import random
import reprlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import yaml

from mpr.core.errors import UNREADABLE, UserError, in_brief
from mpr.core.json_files import check_json, parsed, read_object

PACKAGES = ("mpr", "torch", "numpy", "mujoco", "opencv-python-headless", "av", "gymnasium-robotics", "transformers")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write beside, flush to disk, rename: the file is there whole or not at all, through kill -9 and a full disk."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path for a library that writes files itself; renamed to `path` if nothing fails."""
    with _beside(path) as folder:
        temporary = folder / path.name
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    flush_to_disk(path.parent)  # the name in it


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to `path` if nothing fails; what stood at `path` is replaced."""
    with _beside(path) as temporary:
        yield temporary
        for file in (*sorted(temporary.rglob("*")), temporary):
            flush_to_disk(file)
        old = path.with_name(f".{path.name}.old.{os.getpid()}.tmp")  # goes as what is left half-written does
        if path.exists():
            os.replace(path, old)  # removed file by file it would be neither there nor gone for a while
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    flush_to_disk(path.parent)  # the name in it


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`, gone afterwards: what a killed process leaves half-written is in no listing of
    `path`'s folder, and goes when `path` is written next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # may be gigabytes
        if left == temporary or not _alive(left.name.split(".")[-2]):
            shutil.rmtree(left, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def free_bytes(path: Path) -> int:
    """Free on the disk where `path` lies, or would lie."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def refuse_full_disk(out: Path, checkpoint: int) -> None:
    """Raises UserError where two checkpoints of that many bytes, the old one and the new, do not fit."""
    needed, free = 2 * checkpoint, free_bytes(out)
    if free < needed:
        raise UserError(
            f"{out} has {free / 1e9:.2f} GB free, its checkpoints need {needed / 1e9:.2f}: free some space, run again"
        )


def _alive(process: str) -> bool:
    """Whether a process of this number runs on this machine (true where that cannot be told)."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def flush_to_disk(path: Path) -> None:
    """What was written to a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (if it is loaded)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


class ClipFigures(TypedDict):
    seconds: float


class LoggedClip(TypedDict):
    """A clip that an action gave."""

    clip: str
    narration: str
    quality: ClipFigures


class EvaluatedEpisode(TypedDict, total=False):
    """An episode played between two of practice, without exploration."""

    seed: int
    success: bool


class Logged(TypedDict, total=False):
    """What a line of metrics.jsonl holds, of whatever command, where it has it."""

    step: int
    episode: int
    seed: int
    steps: int
    success: bool
    policy: str
    failed: str
    uid: str
    made_of: str
    reason: str
    message: str
    clips: list[LoggedClip]
    wall: float
    memory_gb: float
    furthest_travel: float | None
    beyond_shown: float | None
    returned: float | None
    evaluated_at: int
    evaluated: list[EvaluatedEpisode]


class JsonLine(dict[str, Any]):
    """A line of JSON lines; to ask it for what it has not is a UserError that names the line."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        super().__init__(values)
        self.where = where

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self.where} has no '{key}': take it out, or choose another --out")


def read_metrics(run: Path, kind: type = Logged) -> list[dict[str, Any]]:
    """The whole lines of a run's metrics.jsonl; without a file there are none.

    Blank ones and a torn last one are dropped. Raises as `read_lines` does: no killed process leaves such a line.
    """
    return read_lines(Path(run) / "metrics.jsonl", kind)


def read_lines(file: Path, kind: type = Logged) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, as `RunFolder.log` writes them; `kind`: a TypedDict of what they may hold.

    Raises UserError for one that cannot be read, or (when it is asked) has not what is asked of it.
    """
    rows: list[dict[str, Any]] = []
    *lines, last = file.read_bytes().split(b"\n") if file.exists() else [b""]
    with contextlib.suppress(ValueError):  # torn, unless all but its newline is there
        parsed(last)
        lines.append(last)
    for number, line in enumerate(lines, 1):
        where = f"{file}, line {number}"
        try:
            if line.strip():
                row = parsed(line)
                check_json(row, kind)
                rows.append(JsonLine(row, where))
        except ValueError as error:
            raise UserError(f"{where} is damaged ({error}): take it out, or choose another --out") from error
    return rows


def read_row(file: Path, kind: type) -> JsonLine:
    """A JSON file that a run wrote, as `kind` says. Raises UserError where it is none."""
    try:
        return JsonLine(read_object(file, kind), str(file))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}): remove it and run again, or choose another --out") from error


def _settings(file: Path) -> dict[str, Any]:
    """What a run's config.yaml says. Raises UserError where it is damaged."""
    try:
        there = yaml.safe_load(file.read_bytes()) or {}
        if not (isinstance(there, dict) and all(isinstance(key, str) for key in there)):
            raise ValueError("no settings by name")
    except (yaml.YAMLError, *UNREADABLE) as error:  # a tag on a value that is none of it raises anything at all
        said = in_brief(error, 100)
        raise UserError(f"{file} is damaged ({said}): write it anew as it was, or choose another --out") from error
    return there


def recorded_setting(run: Path, key: str) -> Any:
    """What a run folder's config.yaml says of a key; None where there is no such run or key, or no run yet. Raises
    UserError where it is damaged."""
    file = Path(run) / "config.yaml"
    return _settings(file).get(key) if file.exists() else None


SHORTLY = reprlib.Repr()  # YAML's aliases can make a short file endless
SHORTLY.maxlevel, SHORTLY.maxlist, SHORTLY.maxdict = 3, 20, 20
SHORTLY.maxstring = SHORTLY.maxother = 80


def _shown(value: Any) -> str:
    """A setting, on a line."""
    return " ".join((value if isinstance(value, str) else SHORTLY.repr(value)).split())


_OWNED: dict[Path, int] = {}  # run folder -> its lock's file descriptor, held until this process ends


def own(path: Path) -> None:
    """Make this process the only one that writes the run folder.

    Raises UserError where another one does, or where no folder can be.
    """
    path = Path(path).resolve()
    if path in _OWNED:
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # its parents are there: this file system takes no folders, as /proc
        raise UserError(f"{error.filename}: no folder can be made there; choose another --out") from error
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UserError(f"{path} is being written by another process: wait for it, or choose another --out") from error
    _OWNED[path] = lock


def _finite(value: Any) -> Any:
    """The same mappings, lists and tuples, with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_summary(run: Path, summary: Mapping[str, Any]) -> None:
    """Write a run's summary.json. A number that is none (NaN) is null there: JSON knows no other."""
    write_atomic(Path(run) / "summary.json", json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n")


class RunFolder:
    """The folder of one command, and of one process at a time.

    It holds config.yaml (resolved), versions.json, metrics.jsonl, whatever else, summary.json. Opening it again with
    the same config resumes; with another config it is refused, naming the keys that differ. `free` names config keys
    that may differ on resume (number of workers and the like).
    """

    def __init__(self, path: Path, command: str, config: Mapping[str, Any], free: tuple[str, ...] = ("out",)) -> None:
        self.path = Path(path)
        wanted = {"command": command, **config}
        file = self.path / "config.yaml"
        if file.exists():
            there = _settings(file)
            keys = [k for k in {**there, **wanted} if k not in free and there.get(k) != wanted.get(k)]
            if keys:
                said = [(k, _shown(there.get(k)), _shown(wanted.get(k))) for k in sorted(keys)[:4]]
                shown = ", ".join(f"{key}: {one} there, {other} asked" for key, one, other in said)
                raise UserError(f"{self.path} holds a run with other settings ({shown}): choose another --out")
            own(self.path)
            self.keep_metrics(lambda row: True)  # a torn last line would swallow the next one
        elif self.path.is_dir() and any(p for p in self.path.iterdir() if not p.name.startswith(".")):
            raise UserError(f"{self.path} is not empty and holds no run of ours (no config.yaml): choose another --out")
        else:
            own(self.path)
            write_atomic(file, yaml.safe_dump(wanted, sort_keys=False))
            write_atomic(self.path / "versions.json", json.dumps(versions(), indent=2))

    def log(self, **values: Any) -> None:
        """Append one line to metrics.jsonl: the whole line, or on a full disk (OSError) nothing of it."""
        line = (json.dumps(values) + "\n").encode()
        with (self.path / "metrics.jsonl").open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
            except OSError:
                file.truncate(end)
                raise

    def metrics(self, kind: type = Logged) -> list[dict[str, Any]]:
        """The whole lines of metrics.jsonl, held to the types of `kind`; a torn last line is dropped."""
        return read_metrics(self.path, kind)

    def keep_metrics(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite metrics.jsonl with the wanted rows: a resumed run drops what it will log again."""
        if not (self.path / "metrics.jsonl").exists():
            return
        rows = [row for row in self.metrics() if wanted(row)]
        write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json: the run is complete."""
        write_summary(self.path, summary)

    def reopen(self) -> None:
        """Before a complete run is added to: until it is finished anew, it is not."""
        (self.path / "summary.json").unlink(missing_ok=True)

    @property
    def finished(self) -> bool:
        return (self.path / "summary.json").exists()
