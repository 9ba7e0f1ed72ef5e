"""Which columns of a table hold times, whatever they are called, and what their cells say in seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from mpr.core.errors import UserError

DAYS = re.compile(r"(\d{1,4}) days?,? +(\S+)")
TOKEN = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*|\d+")

# What the words of a column's name mean: startTime, "End (ms)", start_timestamp, stop_sec, video_start_seconds.
_ROLES = {
    **dict.fromkeys(("start", "begin", "starts", "begins", "onset"), "start"),
    **dict.fromkeys(("stop", "end", "stops", "ends", "finish"), "stop"),
}
UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
}
STAMPS = frozenset(("time", "times", "timestamp", "timestamps", "stamp", "stamps", "timecode", "ts", "t"))
_FRAMES = frozenset(("frame", "frames"))
OF_THE_VIDEO = frozenset(("video", "action", "segment", "interval", "event", "window", "in", "of", "the", "at"))
OTHER = STAMPS | (UNITS.keys() - {"s", "second"}) | {"duration", "offset"}  # a point, a length, or unknown from when


class Column(NamedTuple):
    """One of times or of frame numbers."""

    name: str
    unit_s: float = 1.0  # of its numbers, where they are times


class TimeColumns(NamedTuple):
    """Those of one heading, the clearest name first."""

    start: tuple[Column, ...]
    stop: tuple[Column, ...]
    start_frame: tuple[Column, ...]
    stop_frame: tuple[Column, ...]
    others: tuple[str, ...]  # they look like times, and which they mean is unknown: "narration_timestamp", "duration"

    @property
    def all(self) -> tuple[str, ...]:
        """Their names."""
        return (*(column.name for kind in self[:4] for column in kind), *self.others)


@lru_cache(1024)
def time_columns(heading: tuple[str, ...]) -> TimeColumns:
    """What the names of a table's columns say of times.

    Start and stop are those of the action in its video: times "of a clip" or "of the narration" are others.
    """
    ranked: dict[str, list[tuple[int, Column]]] = {"start": [], "stop": []}
    frames: dict[str, list[Column]] = {"start": [], "stop": []}
    others = []
    for name in heading:
        words = {word.lower() for word in TOKEN.findall(str(name))}
        roles = {_ROLES[word] for word in words & _ROLES.keys()}
        units, stamps = words & UNITS.keys(), words & STAMPS
        known = words <= _ROLES.keys() | UNITS.keys() | STAMPS | _FRAMES | OF_THE_VIDEO
        if len(roles) == 1 and known and words & _FRAMES and not (units or stamps):
            frames[roles.pop()].append(Column(name))
        elif len(roles) == 1 and known and len(units) <= 1 and not words & _FRAMES:
            rank = 2 * (not units) + (not units and not stamps) + 4 * bool(words & OF_THE_VIDEO)
            ranked[roles.pop()].append((rank, Column(name, UNITS[units.pop()] if units else 1.0)))
        elif words & OTHER or (roles and words & (_FRAMES | UNITS.keys())):
            others.append(name)
    start, stop = (tuple(c for _, c in sorted(ranked[role], key=lambda r: r[0])) for role in ("start", "stop"))
    return TimeColumns(start, stop, tuple(frames["start"]), tuple(frames["stop"]), tuple(others))


def filled_columns(row: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Those of the columns that the row fills in. NaN is how some leave one out."""
    return (name for name in names if (v := row.get(name)) not in (None, "") and v == v)


def first_filled(row: Mapping[str, Any], columns: tuple[Column, ...]) -> Column | None:
    """The clearest of the columns that the row fills in."""
    return next((c for c in columns if (v := row.get(c.name)) not in (None, "") and v == v), None)


def parse_seconds(value: object) -> float:
    """Seconds that a table's cell says: 541.88, "541.88", "9:01.88" and "00:09:01.88" are the same.

    Raises ValueError, TypeError, OverflowError for what is no time; NaN and infinity are numbers here.
    """
    if isinstance(value, str) and ":" in value:
        return _clock(value.strip())
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)  # type: ignore[arg-type]


def _clock(text: str) -> float:
    """h:m:s or m:s; pandas writes days before it, subtitles a comma."""
    if " " in text:
        if (found := DAYS.fullmatch(text)) is None:
            raise ValueError(text)
        return 86400 * int(found[1]) + _clock(found[2])
    parts = text.replace(",", ".").split(":")
    hours, minutes, seconds = parts if len(parts) == 3 else ("0", *parts)  # of another number: ValueError
    whole, _, decimals = seconds.partition(".")
    if not f"{hours}{minutes}{whole}{decimals}".isdecimal() or len(hours) > 4 or len(minutes) > 4 or len(whole) > 2:
        raise ValueError(text)
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def column_seconds(where: str, row: Mapping[str, Any], column: Column, called: str = "") -> float:
    """What the row says in a column; a clock needs no unit. Raises UserError where it is no time."""
    value = row[column.name]
    try:
        return parse_seconds(value) * (1.0 if isinstance(value, str) and ":" in value else column.unit_s)
    except (TypeError, ValueError, OverflowError) as error:
        said = f"{str(value)[:40]!r}, not a number of seconds, nor a time like 00:09:01.88"
        other = f" (column '{column.name}')" if called not in ("", column.name) else ""
        raise UserError(f"{where}: '{called or column.name}' is {said}{other}") from error
