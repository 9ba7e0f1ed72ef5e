"""When the actions of a folder's table are: its seconds, checked against the frame numbers beside them, else these."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mpr.core.data.boundaries import BY_SECONDS, NUMBERS, STAMPS, Boundaries
from mpr.core.data.video import is_there
from mpr.core.errors import BadVideo, UserError
from tracking.sources.action import CONTRADICTS
from tracking.sources.numbering import FRAME, ROUNDED, Numbering, numberings
from tracking.sources.tables import number
from tracking.sources.times import (
    Column,
    TimeColumns,
    clearest_seconds,
    column_seconds,
    filled_columns,
    first_filled,
    parse_seconds,
    time_columns,
)
from tracking.sources.videos import probe, seconds_of

FolderRow = Mapping[str, Any]
Rows = Callable[[], Iterable[tuple[str, FolderRow]]]  # from the first on, each time it is called
UNTIL_THE_END = "end"  # HD-EPIC's activities stop so
_LOOKED_AT = 1000  # rows, by which it is known whether any has seconds and frame numbers: JSON's need not be alike


class Window(NamedTuple):
    """Of one row, as `VideoAction` has it."""

    start_s: float = math.nan
    stop_s: float = math.nan
    boundaries: Boundaries = BY_SECONDS
    unfit: str = ""
    numbering: Numbering | None = None
    unread: tuple[str, ...] = ()


class FileWindows:
    """The windows of a table's rows, told one by one, in their order. Columns called `ours` hold something else."""

    def __init__(self, rows: Rows, video: Callable[[FolderRow], object], ours: Set[str]) -> None:
        self._columns = lru_cache(1024)(lambda heading: time_columns(tuple(n for n in heading if n not in ours)))
        self._numbered: dict[str, Numbering] = {}
        self._agree: list[bool] = []
        if any(_both(self._columns(tuple(row))) for _, row in islice(rows(), _LOOKED_AT)):
            told = [(str(video(row)), *_told(self._columns(tuple(row)), row)) for _, row in rows()]
            names, starts, stops, frames = zip(*told, strict=True)
            self._numbered, agree = numberings(names, starts, stops, frames)
            self._agree = agree.tolist()

    def of(self, index: int, where: str, row: FolderRow, rate_hz: Any, name: str, video: Path) -> Window:
        """Of the row `index`, in the video that it calls `name`; `rate_hz`, where it says so, is that of its frame
        numbers. Raises UserError where there is no window."""
        columns = self._columns(tuple(row))
        start, stop, first, last = (first_filled(row, kind) for kind in columns[:4])
        numbering = self._numbered.get(name)
        used = {column.name for column in (start, stop, first, last) if column is not None}
        unread = tuple(n for n in filled_columns(row, columns.all) if n not in used)
        if start is not None and stop is not None:
            start_s = clearest_seconds(where, row, columns.start, "start_s")
            if str(row[stop.name]).strip().lower() == UNTIL_THE_END:
                return _to_the_end(start_s, video)._replace(unread=unread)
            stop_s = clearest_seconds(where, row, columns.stop, "stop_s")
            window = Window(start_s, stop_s, BY_SECONDS, "", numbering, unread)
            if not self._agree or self._agree[index] or _by_stamps(window, row, first, last, video):
                return window
            return window._replace(unfit=CONTRADICTS)
        if first is None or last is None:
            unknown = f" ({', '.join(unread)}: which these mean is not known)" if unread else ""
            raise UserError(
                f"{where}: no window; give start_s and stop_s (seconds), or start_frame and end_frame{unknown}"
            )
        half = tuple(column.name for column in (start, stop) if column is not None)
        return _by_numbers(where, row, first, last, rate_hz, numbering, video)._replace(unread=half + unread)


def _both(columns: TimeColumns) -> bool:
    return bool((columns.start or columns.stop) and (columns.start_frame or columns.stop_frame))


def _told(columns: TimeColumns, row: FolderRow) -> tuple[float, float, tuple[float, float]]:
    """Start, stop and frame numbers; NaN for what is no number."""
    found = []
    for kind in columns[:4]:
        column = first_filled(row, kind)
        try:
            found.append(math.nan if column is None else column_seconds("", row, column))
        except (UserError, TypeError, ValueError, OverflowError):
            found.append(math.nan)
    return found[0], found[1], (found[2], found[3])


def _by_stamps(window: Window, row: FolderRow, first: Column | None, last: Column | None, video: Path) -> bool:
    """Whether the frame numbers are those of an uneven video: no rate says so, its own stamps do."""
    ends = ((window.start_s, first), (window.stop_s, last))
    try:
        pairs = [(at_s, int(parse_seconds(row[column.name]))) for at_s, column in ends if column is not None]
        for at_s, frame in pairs:
            stamp, following = seconds_of(video, frame), seconds_of(video, frame + 1)
            if abs(stamp - at_s) > FRAME * abs(following - stamp) + ROUNDED:
                return False
    except (BadVideo, TypeError, ValueError, OverflowError):
        return False
    return True


def _to_the_end(start_s: float, video: Path) -> Window:
    try:
        info = probe(video)
    except BadVideo:
        return Window(start_s, unfit="the video, to whose end it lasts, cannot be read")
    if info is None or info.seconds is None:
        return Window(start_s, unfit="it lasts to the end of a video that is not there")
    return Window(start_s, info.seconds)


def _by_numbers(
    where: str, row: FolderRow, first: Column, last: Column, rate_hz: Any, numbering: Numbering | None, video: Path
) -> Window:
    names = {"start_frame": row[first.name], "stop_frame": row[last.name]}
    start, stop = (number(where, names, name) for name in names)
    whole = start.is_integer() and stop.is_integer()
    frames = (int(start), int(stop)) if whole else (start, stop)
    if rate_hz is None and numbering is not None and numbering.known:
        rate_hz = numbering.rate_hz
    if rate_hz is not None:
        rate = _rate(where, rate_hz)
        if not rate > 0:
            raise UserError(f"{where}: fps is {rate:g}")
        at = start / rate, stop / rate
        return Window(*at, Boundaries(NUMBERS, *frames, rate_hz=rate) if whole else Boundaries(STAMPS, *at))
    if not whole:
        raise UserError(f"{where}: start_frame and end_frame are {start:g} and {stop:g}, not whole numbers")
    try:
        return Window(*(seconds_of(video, frame) for frame in frames), Boundaries(NUMBERS, *frames))  # type: ignore
    except BadVideo:
        fault = "cannot be read" if is_there(video) else "is missing"
        return Window(unfit=f"frame numbers without a column fps, and the video {fault}")


def _rate(where: str, told: Any) -> float:
    """A number, or a fraction as videos have it: 30000/1001."""
    over, _, under = str(told).partition("/")
    rate = number(where, {"rate_hz": over if under else told}, "rate_hz")
    below = number(where, {"rate_hz": under}, "rate_hz") if under else 1.0
    return rate / below if below else 0.0
