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
_BETWEEN = {"from": "start", "to": "stop", "until": "stop"}  # with a unit or a word for a time beside them
UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "usec", "usecs", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), 3600.0),
}
STAMPS = frozenset(("time", "times", "timestamp", "timestamps", "stamp", "stamps", "timecode", "hms", "ts", "t"))
_FRAMES = frozenset(("frame", "frames"))
OF_THE_VIDEO = frozenset(("video", "action", "segment", "interval", "event", "window", "in", "of", "the", "at"))
OTHER = STAMPS | {"sec", "secs", "seconds", "ms", "msec", "msecs", "millis", "millisecond", "milliseconds"}
OTHER |= {"duration", "offset"}  # a point, a length, or unknown from when
_COUNTS = frozenset(("pts", "timestep", "timesteps", "sample", "samples", "tick", "ticks"))  # of what, is unknown
_WRITTEN_AS_ONE = re.compile(  # starttime, tend, startframe
    f"(t|time|frame)?({'|'.join(_ROLES)})({'|'.join((*STAMPS, *UNITS, 'frames?'))})?"
)


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
        words = _words(str(name))
        units, stamps = words & UNITS.keys(), words & STAMPS
        meant = _ROLES | _BETWEEN if units or stamps else _ROLES
        roles = {meant[word] for word in words & meant.keys()}
        known = words <= meant.keys() | UNITS.keys() | STAMPS | _FRAMES | OF_THE_VIDEO
        if len(roles) == 1 and known and words & _FRAMES and not (units or stamps):
            frames[roles.pop()].append(Column(name))
        elif len(roles) == 1 and known and len(units) <= 1 and not words & _FRAMES:
            unit_s = UNITS[next(iter(units))] if units else 1.0
            rank = 2 * (not units) + (not units and not stamps) + 4 * bool(words & OF_THE_VIDEO) + 8 * (unit_s > 1)
            ranked[roles.pop()].append((rank, Column(name, unit_s)))
        elif words & OTHER or (roles and words & (_FRAMES | UNITS.keys() | _COUNTS)):
            others.append(name)
    start, stop = (tuple(c for _, c in sorted(ranked[role], key=lambda r: r[0])) for role in ("start", "stop"))
    return TimeColumns(start, stop, tuple(frames["start"]), tuple(frames["stop"]), tuple(others))


def _words(name: str) -> set[str]:
    """Of a column's name, in small letters."""
    found = set()
    for word in map(str.lower, TOKEN.findall(name)):
        parts = None if word in _ROLES else _WRITTEN_AS_ONE.fullmatch(word)
        found |= {part for part in parts.groups() if part} if parts else {word}
    return found


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
        seconds, unit_s = parse_seconds(value), 1.0 if isinstance(value, str) and ":" in value else column.unit_s
        return seconds * unit_s if unit_s >= 1 else seconds / round(1 / unit_s)  # the float nearest to it
    except (TypeError, ValueError, OverflowError) as error:
        said = f"{str(value)[:40]!r}, not a number of seconds, nor a time like 00:09:01.88"
        other = f" (column '{column.name}')" if called not in ("", column.name) else ""
        raise UserError(f"{where}: '{called or column.name}' is {said}{other}") from error


def clearest_seconds(where: str, row: Mapping[str, Any], columns: tuple[Column, ...], called: str) -> float:
    """What the row says in the clearest of the columns that it fills in. Raises UserError where it is no time, and
    where another column, in another unit, makes it a part of one: minute 1 and second 5 are not 5 s."""
    filled = set(filled_columns(row, (c.name for c in columns)))
    first, *others = (c for c in columns if c.name in filled)
    seconds = column_seconds(where, row, first, called)
    for other in others:
        if other.unit_s == first.unit_s or ":" in f"{row[first.name]}{row[other.name]}":
            continue
        try:
            told = other.unit_s, column_seconds(where, row, other)
        except UserError:  # what is not read may hold anything
            continue
        if _parts_of_one((first.unit_s, seconds), told):
            both = " and ".join(f"'{c.name}' is {str(row[c.name])[:20]}" for c in (first, other))
            raise UserError(f"{where}: {both}: two times, or parts of one? Give it in one column, as 00:09:01.88")
    return seconds


def _parts_of_one(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two times, each with its unit before it, may stand for their sum, and one is not the other rounded."""
    (_, finer_s), (unit_s, coarser_s) = sorted((one, other))
    return finer_s < unit_s <= coarser_s and coarser_s - finer_s > unit_s / 2
