"""The manifest: JSON lines, one action to track a line. What `mpr find` writes and `mpr track --manifest` reads."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.data.boundaries import BY_SECONDS, CLOSED, Boundaries
from mpr.core.errors import UserError
from mpr.core.json_files import parsed
from mpr.core.runs import atomic_path

UID = re.compile(r"[\w+=@-][\w.+=@-]{0,199}", re.ASCII)
TEXTS = ("dataset", "uid", "video", "narration", "verb", "noun", "licence", "group")
_HALF = re.compile("[\ud800-\udfff]")  # of a character: JSON can name one, no file or screen takes it
NEVER_EMPTY = ("dataset", "uid", "video", "licence")


@dataclass(frozen=True)
class Entry:
    """One action to track. Raises ValueError, the field's name first: a wrong type, no window, no name of a file."""

    dataset: str
    uid: str  # unique in a manifest, and fit for a file name
    video: str  # path of the video, as the user gave its root
    start_s: float  # seconds of the video as a player counts them, 0 <= start_s < stop_s
    stop_s: float
    narration: str
    verb: str
    noun: str
    licence: str
    group: str  # what a split must keep together: participant or source video
    extra: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    boundaries: Boundaries = BY_SECONDS  # what start and stop mean; where they name frames, seconds lie between those

    def __post_init__(self) -> None:
        for name in TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) or (name in NEVER_EMPTY and not value):
                raise ValueError(f"{name} is {value!r}, not a text" + (" with something in it" if value == "" else ""))
            if _HALF.search(value):
                raise ValueError(f"{name} {value!r} holds half a character")
        if "\0" in self.video:
            raise ValueError(f"video {self.video!r} is no name of a file")
        for name in ("start_s", "stop_s"):
            value = getattr(self, name)
            if isinstance(value, int) and abs(value) > 2**53:
                raise ValueError(f"{name} is {str(value)[:20]}..., no seconds of a video")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name} is {value!r}, not a finite number")
        if not 0 <= self.start_s < self.stop_s:
            raise ValueError(f"window {self.start_s:g} to {self.stop_s:g} s is none of a video")
        if not UID.fullmatch(self.uid):
            raise ValueError(f"uid {self.uid!r} is not fit for a file name (letters, digits and _.+=@-, at most 200)")
        if not isinstance(self.extra, Mapping):
            raise ValueError(f"extra is {self.extra!r}, not an object")
        self.boundaries.check()

    def as_json(self) -> dict[str, Any]:
        """As a manifest holds it: of one that did not say what its boundaries mean, without a word on that again."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.boundaries.mean == CLOSED:
            del values["boundaries"]
            return values
        return values | {"boundaries": self.boundaries.as_json()}

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.stop_s - self.start_s


def as_uid(text: str) -> str:
    """A text as a uid: what is not fit for a file name becomes _."""
    return re.sub(r"[^\w.+=@-]+", "_", text, flags=re.ASCII).lstrip(".")[:200] or "_"


def write_manifest(path: Path, entries: Iterable[Entry]) -> None:
    """Write a manifest, whole or not at all. Raises UserError where two entries share a uid."""
    seen: set[str] = set()
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        for entry in entries:
            if entry.uid in seen:
                raise UserError(f"{path}: uid '{entry.uid}' twice; a manifest names an action once")
            seen.add(entry.uid)
            file.write(json.dumps(entry.as_json(), allow_nan=False) + "\n")


def read_manifest(path: Path) -> list[Entry]:
    """The entries of a manifest, in order.

    Raises UserError naming file and line for a line that is no entry or repeats a uid, and for a file that is missing
    or has none.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"manifest {path} does not exist; `mpr find` writes one")
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            entry = _entry(f"manifest {path}, line {number}", line)
            if entry.uid in lines:
                raise UserError(
                    f"manifest {path}, line {number}: uid '{entry.uid}' again, first on line {lines[entry.uid]}"
                )
            lines[entry.uid] = number
            entries.append(entry)
    if not entries:
        raise UserError(f"manifest {path} names no action")
    return entries


def _entry(where: str, line: bytes) -> Entry:
    try:
        values = parsed(line)
    except ValueError as error:  # malformed JSON, or bytes that are no UTF-8
        raise UserError(f"{where}: not JSON ({error}); is the file whole?") from error
    if not isinstance(values, dict):
        raise UserError(f"{where}: not an object")
    known = [f.name for f in dataclasses.fields(Entry)]
    if unknown := sorted(values.keys() - known):
        raise UserError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(known)}")
    if missing := [name for name in known if name not in ("extra", "boundaries", *values)]:
        raise UserError(f"{where}: '{missing[0]}' is missing")
    try:
        values["boundaries"] = Boundaries.of_json(values.get("boundaries", {"mean": CLOSED}))
        return Entry(**values)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: {error}") from error
