"""EPIC-KITCHENS-100 and EPIC-KITCHENS-55: their tables of actions, and what lies beside them.

Read are EPIC_100_train.csv or EPIC_100_validation.csv, and the noun classes and video lengths beside it;
EPIC-KITCHENS-55's EPIC_train_action_labels.csv likewise.

Times are the time stamps: the table's frame numbers count frames taken at 60 (or 50) a second, not the videos' own.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from tracking.sources.action import CONTRADICTS, FIRST_PERSON, VideoAction
from tracking.sources.numbering import Numbering, numberings
from tracking.sources.registry import SourcePlace
from tracking.sources.tables import needed, number, rows_again, table_rows
from tracking.sources.times import parse_seconds, time_columns
from tracking.sources.video_info import VideoInfo
from tracking.sources.videos import first_there

_LICENCE = "CC BY-NC 4.0"
_ABOUT = {"perspective": FIRST_PERSON, "consent": "informed consent of the participants, as the data set states"}
_COLUMNS = "narration_id participant_id video_id start_timestamp stop_timestamp narration verb noun noun_class"
UIDS = ("narration_id", "uid")  # EPIC-55's rows have only a number
TIMES = ("start_timestamp", "stop_timestamp", "start_frame", "stop_frame")
NOUN_CLASSES = {"EPIC_100_noun_classes*.csv": ("id", "instances"), "EPIC_noun_classes.csv": ("noun_id", "nouns")}
VIDEO_INFO = {"EPIC_100_video_info.csv": "video_id", "EPIC_video_info.csv": "video"}


class _Table(NamedTuple):
    """What the rows say together."""

    heading: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]  # class number -> its one-word names
    windows: list[tuple[float, float]]  # seconds of each row
    numbered: dict[str, Numbering]  # how the frame numbers of each video count
    agree: list[bool]  # whether a row's frame numbers agree with its seconds
    unread: tuple[str, ...]  # columns of times of another kind: when a narration was spoken


def source(at: SourcePlace, reasons: Counter[str]) -> Iterator[VideoAction]:
    """`epic_actions`, by the name in the registry."""
    return epic_actions(at.path, at.videos, reasons)


def epic_actions(file: Path, videos: Path | None, reasons: Counter[str]) -> Iterator[VideoAction]:
    """The actions of one table. `reasons` is left as it is: the table has no invalid ones.

    A noun has all the one-word names of its class: those of EPIC_100_noun_classes*.csv where it lies beside the table,
    else those that the table itself uses. Videos are looked for in `videos` (or beside the table) as
    P01/videos/P01_01.MP4, as they are downloaded, P01/P01_01.MP4 or P01_01.MP4. Raises UserError for another table.
    """
    if file.is_dir():
        there = ", ".join(sorted(f.name for f in file.glob("*.csv"))) or "none"
        raise UserError(f"--epic {file} is a folder: name one of its tables ({there})")
    again = rows_again(file)
    table = _look_through(file, again())
    about = _video_info(file)
    root = videos or file.parent

    @cache
    def path(video: str, participant: str) -> Path:
        return first_there(
            folder / (video + suffix)
            for suffix in (".MP4", ".mp4")
            for folder in (root / participant / "videos", root / participant, root)
        )

    @cache
    def nouns(noun: str, noun_class: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys((_plain(noun), *table.classes.get(noun_class, ()))))

    dataset, uid = ("epic100", UIDS[0]) if UIDS[0] in table.heading else ("epic55", UIDS[1])
    for (where, row), (start, stop), agrees in zip(again(), table.windows, table.agree, strict=True):
        video, participant = needed(where, row, "video_id"), needed(where, row, "participant_id")
        yield VideoAction(
            dataset=dataset,
            uid=needed(where, row, uid),
            video=path(video, participant),
            start_s=start,
            stop_s=stop,
            narration=needed(where, row, "narration"),
            verbs=(needed(where, row, "verb").replace("-", " "),),
            nouns=nouns(needed(where, row, "noun"), needed(where, row, "noun_class")),
            licence=_LICENCE,
            group=participant,
            extra=_ABOUT,
            info=about.get(video),
            unfit="" if agrees else CONTRADICTS,
            numbering=table.numbered.get(video),
            unread=table.unread,
        )


def _plain(noun: str) -> str:
    """EPIC puts the head first: "board:wooden:chopping" is a wooden chopping board."""
    head, *rest = noun.split(":")
    return " ".join((*rest, head))


def _look_through(file: Path, found: Iterable[tuple[str, Mapping[str, Any]]]) -> _Table:
    classes = _noun_classes(file.parent)
    used: dict[str, dict[str, None]] = defaultdict(dict)  # where no list of classes lies beside the table
    heading: tuple[str, ...] = ()
    names, windows, frames = [], [], []
    for where, row in found:
        if not heading:
            heading = _checked(file, tuple(row))
        names.append(row["video_id"].strip())
        windows.append(_window(where, row))
        frames.append((row.get("start_frame"), row.get("stop_frame")))
        if classes is None and ":" not in needed(where, row, "noun"):
            used[needed(where, row, "noun_class")][row["noun"]] = None
    if classes is None:
        classes = {key: tuple(found) for key, found in used.items()}
    starts, stops = zip(*windows, strict=True) if windows else ((), ())
    numbered, agree = numberings(names, starts, stops, _numbers(frames))
    unread = tuple(name for name in time_columns(heading).all if name not in TIMES)
    return _Table(heading, classes, windows, numbered, agree.tolist(), unread)


def _checked(file: Path, heading: tuple[str, ...]) -> tuple[str, ...]:
    for name in _COLUMNS.split():
        if name not in heading and not (name == UIDS[0] and UIDS[1] in heading):
            raise UserError(
                f"{file} has no column '{name}': is it EPIC_100_train.csv or EPIC_100_validation.csv? (A table of "
                "another form is read with --folder and --table)"
            )
    return heading


def _noun_classes(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """Class number -> its one-word names. (Of "handle:cupboard" one could not tell what it is a name of.)"""
    tables = [(t, columns) for pattern, columns in NOUN_CLASSES.items() for t in sorted(folder.glob(pattern))[-1:]]
    if not tables:
        return None
    table, (key, names) = tables[0]
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for where, row in table_rows(table):
        try:
            instances = ast.literal_eval(needed(where, row, names))
            if not isinstance(instances, list):  # a text would be as many names as it has letters
                raise TypeError("no list")
            found[needed(where, row, key)].update(dict.fromkeys(i for i in instances if ":" not in i))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:  # nested beyond reason
            raise UserError(f"{where}: '{names}' is no list of names") from error
    return {number: tuple(names) for number, names in found.items()}


def _video_info(file: Path) -> dict[str, VideoInfo]:
    """EPIC_100_video_info.csv (EPIC-55's: EPIC_video_info.csv), where it lies beside the table."""
    table, video = next(
        ((file.parent / n, v) for n, v in VIDEO_INFO.items() if (file.parent / n).is_file()), (None, "")
    )
    found = {}
    for where, row in table_rows(table) if table else ():
        width, _, height = needed(where, row, "resolution").partition("x")
        if not all(re.fullmatch("[0-9]{1,6}", side) for side in (width, height)):
            raise UserError(f"{where}: 'resolution' is {str(row['resolution'])[:40]!r}, not 1920x1080 or the like")
        seconds, rate = number(where, row, "duration"), number(where, row, "fps")
        found[needed(where, row, video)] = VideoInfo.of(seconds, rate, int(width), int(height))
    return found


def _window(where: str, row: Mapping[str, Any]) -> tuple[float, float]:
    """00:09:01.88 is 541.88; so is 541.88, where the whole row is of that form."""
    start, stop = needed(where, row, TIMES[0]), needed(where, row, TIMES[1])
    mixed = (":" in start) != (":" in stop)
    return _seconds(where, TIMES[0], start, mixed), _seconds(where, TIMES[1], stop, mixed)


def _seconds(where: str, name: str, text: str, mixed: bool) -> float:
    try:
        if mixed and ":" not in text:
            raise ValueError("of another form")
        return parse_seconds(text)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: '{name}' is {text[:40]!r}, not a time like 00:09:01.88") from error


def _numbers(frames: list[tuple[str | None, str | None]]) -> NDArray[np.float64]:
    """[rows, 2]; NaN for what is no number: the seconds do without it."""
    try:
        return np.array(frames, np.float64)
    except (TypeError, ValueError):
        return np.array([[_number(text) for text in pair] for pair in frames])


def _number(text: str | None) -> float:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
