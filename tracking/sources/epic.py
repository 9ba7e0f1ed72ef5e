"""EPIC-KITCHENS-100: EPIC_100_train.csv or EPIC_100_validation.csv, and the noun classes and video lengths beside it.

Times are the time stamps: the table's frame numbers count frames taken at 60 (or 50) a second, not the videos' own.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tracking.errors import UserError
from tracking.sources.action import FIRST_PERSON, Action
from tracking.sources.tables import needed, number, rows
from tracking.sources.videos import VideoInfo, first_there

LICENCE = "CC BY-NC 4.0"
ABOUT = {"perspective": FIRST_PERSON, "consent": "informed consent of the participants, as the data set states"}
COLUMNS = "narration_id participant_id video_id start_timestamp stop_timestamp narration verb noun noun_class"


def actions(file: Path, videos: Path | None, reasons: Counter[str]) -> Iterator[Action]:
    """The actions of one table. `reasons` is left as it is: the table has no invalid ones.

    A noun has all the one-word names of its class: those of EPIC_100_noun_classes*.csv where it lies beside the table,
    else those that the table itself uses. Videos are looked for in `videos` (or beside the table) as
    P01/videos/P01_01.MP4, as they are downloaded, P01/P01_01.MP4 or P01_01.MP4. Raises UserError for another table.
    """
    if file.is_dir():
        there = ", ".join(sorted(f.name for f in file.glob("*.csv"))) or "none"
        raise UserError(f"--epic {file} is a folder: name one of its tables ({there})")
    classes = _noun_classes(file)
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
        return tuple(dict.fromkeys((_plain(noun), *classes.get(noun_class, ()))))

    for where, row in rows(file):
        video, participant = needed(where, row, "video_id"), needed(where, row, "participant_id")
        yield Action(
            dataset="epic100",
            uid=needed(where, row, "narration_id"),
            video=path(video, participant),
            start_s=_seconds(where, row, "start_timestamp"),
            stop_s=_seconds(where, row, "stop_timestamp"),
            narration=needed(where, row, "narration"),
            verbs=(needed(where, row, "verb").replace("-", " "),),
            nouns=nouns(needed(where, row, "noun"), needed(where, row, "noun_class")),
            licence=LICENCE,
            group=participant,
            extra=ABOUT,
            info=about.get(video),
        )


def _plain(noun: str) -> str:
    """EPIC puts the head first: "board:wooden:chopping" is a wooden chopping board."""
    head, *rest = noun.split(":")
    return " ".join((*rest, head))


def _noun_classes(file: Path) -> dict[str, tuple[str, ...]]:
    """Class number -> its one-word names. (Of "handle:cupboard" one could not tell what it is a name of.)"""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    tables = sorted(file.parent.glob("EPIC_100_noun_classes*.csv"))
    for where, row in rows(tables[-1]) if tables else ():
        try:
            instances = ast.literal_eval(needed(where, row, "instances"))
            found[needed(where, row, "id")].update(dict.fromkeys(i for i in instances if ":" not in i))
        except (ValueError, SyntaxError, TypeError) as error:
            raise UserError(f"{where}: 'instances' is no list of names") from error
    for k, (where, row) in enumerate(rows(file)):
        if k == 0 and (missing := [name for name in COLUMNS.split() if name not in row]):
            raise UserError(
                f"{file} has no column '{missing[0]}': is it EPIC_100_train.csv or EPIC_100_validation.csv?"
            )
        if not tables and ":" not in needed(where, row, "noun"):
            found[needed(where, row, "noun_class")][row["noun"]] = None
    return {key: tuple(names) for key, names in found.items()}


def _video_info(file: Path) -> dict[str, VideoInfo]:
    """EPIC_100_video_info.csv, where it lies beside the table."""
    table = file.parent / "EPIC_100_video_info.csv"
    found = {}
    for where, row in rows(table) if table.is_file() else ():
        width, _, height = needed(where, row, "resolution").partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise UserError(f"{where}: 'resolution' is {row['resolution']!r}, not 1920x1080 or the like")
        seconds, rate = number(where, row, "duration"), number(where, row, "fps")
        found[needed(where, row, "video_id")] = VideoInfo.told(seconds, rate, int(width), int(height))
    return found


def _seconds(where: str, row: Mapping[str, Any], name: str) -> float:
    """00:09:01.88 is 541.88."""
    try:
        hours, minutes, seconds = needed(where, row, name).split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError as error:
        raise UserError(f"{where}: '{name}' is {row[name]!r}, not a time like 00:09:01.88") from error
