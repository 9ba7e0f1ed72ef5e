"""A folder of videos with a CSV, JSON or JSON-lines table of what is done in them, R3M's form included
(video_id, start_frame, end_frame, narration_text)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tracking.errors import BadVideo, UserError
from tracking.sources.action import Action
from tracking.sources.tables import number, rows
from tracking.sources.videos import SUFFIXES, first_there, seconds_of
from tracking.sources.words import actor, clean

# Column -> the names it goes by. Seconds count from the video's first frame, frames from 0.
COLUMNS = {
    "video": ("video_id", "video", "video_path", "path", "file"),
    "start_s": ("start_s", "start_sec", "start_seconds", "start_time", "start"),
    "stop_s": ("stop_s", "end_s", "stop_sec", "end_sec", "end_seconds", "end_time", "stop", "end"),
    "start_frame": ("start_frame",),
    "stop_frame": ("end_frame", "stop_frame"),
    "rate_hz": ("fps", "rate_hz"),
    "narration": ("narration_text", "narration", "text", "txt", "caption"),
    "verb": ("verb",),
    "noun": ("noun",),
    "uid": ("uid", "narration_id", "clip_id"),
    "licence": ("licence", "license"),
    "group": ("group", "participant_id", "participant", "person"),
    "consent": ("consent",),
    "perspective": ("perspective", "viewpoint"),
    "box": ("box",),  # x0,y0,x1,y1 around the object, source pixels: masks without weights start from it
    "box_s": ("box_s",),  # seconds from the video's first frame: where it was drawn; none: where the action starts
}


def actions(folder: Path, table: Path | None, reasons: Counter[str]) -> Iterator[Action]:
    """The rows of the folder's table (the one there is, unless `table` names another), in its order.

    Seconds are taken where the table has them, else frame numbers by its column fps, else by the video itself. Rows
    left out are counted in `reasons`. Raises UserError for a row without video, window or narration.
    """
    table = table or _table(folder)
    used: Counter[str] = Counter()
    for where, row in rows(table):
        cells = {column: _cell(row, names) for column, names in COLUMNS.items()}
        if not cells["video"]:
            raise UserError(f"{where}: no video; name it in a column {' or '.join(COLUMNS['video'])}")
        if cells["narration"] is None and cells["verb"] is None:
            raise UserError(f"{where}: no narration; give it in a column {' or '.join(COLUMNS['narration'])}")
        narration = str(cells["narration"] or f"{cells['verb']} {cells['noun'] or ''}")
        video = _video(folder, str(cells["video"]))
        if actor(narration) == "other":
            reasons["left out: another person's action (#O)"] += 1
            continue
        try:
            start, stop = _window(where, cells, video)
        except BadVideo:
            fault = "cannot be read" if video.is_file() else "is missing"
            reasons[f"left out: frame numbers without a column fps, and the video {fault}"] += 1
            continue
        uid = str(cells["uid"] or f"{video.stem}-{start:.2f}-{stop:.2f}")
        used[uid] += 1
        if used[uid] > 1 and not cells["uid"]:
            uid = f"{uid}-{used[uid]}"  # the same stretch, told of twice
        yield Action(
            dataset=folder.resolve().name or "folder",
            uid=uid,
            video=video,
            start_s=start,
            stop_s=stop,
            narration=clean(narration),
            verbs=(str(cells["verb"]),) if cells["verb"] else (),
            nouns=(str(cells["noun"]),) if cells["noun"] else (),
            licence=str(cells["licence"] or "unknown"),
            group=str(cells["group"] or video.stem),
            extra={name: str(cells[name]) for name in ("perspective", "consent") if cells[name]} | _box(where, cells),
        )


def _box(where: str, cells: Mapping[str, Any]) -> dict[str, Any]:
    """The columns box and box_s as numbers."""
    if cells["box"] is None:
        return {}
    values = cells["box"].split(",") if isinstance(cells["box"], str) else cells["box"]
    try:
        x0, y0, x1, y1 = (float(value) for value in values)
        drawn = {} if cells["box_s"] is None else {"box_s": float(cells["box_s"])}
        if not all(map(math.isfinite, (x0, y0, x1, y1, *drawn.values()))):
            raise ValueError("not finite")
    except (TypeError, ValueError, OverflowError) as error:
        said = f"box {cells['box']!r} at {cells['box_s']!r}"
        raise UserError(f"{where}: {said} is not x0,y0,x1,y1 in pixels, and seconds") from error
    return {"box": [x0, y0, x1, y1], **drawn}


def _table(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"--folder {folder} is no folder")
    found = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".csv", ".json", ".jsonl"))
    if len(found) != 1:
        there = ", ".join(f.name for f in found) or "none"
        raise UserError(f"--folder {folder} needs one table of its videos, CSV or JSON; there is {there}: name --table")
    return found[0]


def _cell(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the columns that the row fills in; None where it has none of them. NaN is how some leave one out."""
    return next((v for v in map(row.get, names) if v not in (None, "") and v == v), None)


def _video(folder: Path, name: str) -> Path:
    """The path as it stands in the table, or with a video's suffix, below the folder unless it is absolute."""
    path = folder / name
    return first_there([path, *(Path(f"{path}{suffix}") for suffix in SUFFIXES)])


def _window(where: str, cells: Mapping[str, Any], video: Path) -> tuple[float, float]:
    if cells["start_s"] is not None and cells["stop_s"] is not None:
        return number(where, cells, "start_s"), number(where, cells, "stop_s")
    if cells["start_frame"] is None or cells["stop_frame"] is None:
        raise UserError(f"{where}: no window; give start_s and stop_s (seconds), or start_frame and end_frame")
    start, stop = number(where, cells, "start_frame"), number(where, cells, "stop_frame")
    if cells["rate_hz"] is not None:
        rate = number(where, cells, "rate_hz")
        if not rate > 0:
            raise UserError(f"{where}: fps is {rate:g}")
        return start / rate, stop / rate
    if not (start.is_integer() and stop.is_integer()):
        raise UserError(f"{where}: start_frame and end_frame are {start:g} and {stop:g}, not whole numbers")
    return seconds_of(video, int(start)), seconds_of(video, int(stop))
