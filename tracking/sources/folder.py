"""A folder of videos with a CSV, JSON or JSON-lines table of what is done in them.

R3M's form included (video_id, start_frame, end_frame, narration_text).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError
from tracking.sources.action import VideoAction, valid
from tracking.sources.folder_times import FileWindows, Window
from tracking.sources.registry import SourcePlace
from tracking.sources.tables import rows_again
from tracking.sources.videos import SUFFIXES, first_there
from tracking.sources.words import actor, clean

# Column -> the names it goes by. Columns of times and frame numbers go by more (`tracking.sources.times`): seconds
# count as a player counts them, frames from 0; the stop frame is included.
_COLUMNS = {
    "video": ("video_id", "video", "video_path", "path", "file"),
    "rate_hz": ("fps", "rate_hz", "frame_rate"),
    "narration": ("narration_text", "narration", "text", "txt", "caption", "high_level_activity_label"),
    "verb": ("verb",),
    "noun": ("noun",),
    "uid": ("uid", "narration_id", "unique_narration_id", "clip_id"),
    "licence": ("licence", "license"),
    "group": ("group", "participant_id", "participant", "person"),
    "consent": ("consent",),
    "perspective": ("perspective", "viewpoint"),
    "box": ("box",),  # x0,y0,x1,y1 around the object, source pixels: masks without weights start from it
    "box_s": ("box_s",),  # seconds of the video: where it was drawn; none: where the action starts
}
_OURS = frozenset(name for names in _COLUMNS.values() for name in names)


def source(at: SourcePlace, reasons: Counter[str]) -> Iterator[VideoAction]:
    """`folder_actions`, by the name in the registry."""
    return folder_actions(at.path, at.table, reasons, at.unfit_too)


def folder_actions(
    folder: Path, table: Path | None, reasons: Counter[str], unfit_too: bool = False
) -> Iterator[VideoAction]:
    """The rows of the folder's table (the one there is, unless `table` names another), in its order.

    Seconds are taken where the table has them, else frame numbers: by its column fps, else at the rate at which those
    of the video's other rows agree with their seconds, else by the video itself. Rows that are not the wearer's, or
    have no window, are counted in `reasons`. Raises UserError for a row without video, window or narration.
    """
    return valid(_actions(folder, table or _table(folder)), reasons, unfit_too)


def _actions(folder: Path, table: Path) -> Iterator[VideoAction]:
    rows = rows_again(table)
    windows = FileWindows(rows, lambda row: _cell(row, _COLUMNS["video"]), _OURS)
    used: Counter[str] = Counter()
    for number, (where, row) in enumerate(rows()):
        cells = {column: _cell(row, names) for column, names in _COLUMNS.items()}
        if not cells["video"]:
            raise UserError(f"{where}: no video; name it in a column {' or '.join(_COLUMNS['video'])}")
        if cells["narration"] is None and cells["verb"] is None:
            raise UserError(f"{where}: no narration; give it in a column {' or '.join(_COLUMNS['narration'])}")
        narration = str(cells["narration"] or f"{cells['verb']} {cells['noun'] or ''}")
        video = _video(folder, str(cells["video"]))
        if actor(narration) == "other":
            window = Window(unfit="another person's action (#O)")
        else:
            window = windows.of(number, where, row, cells["rate_hz"], str(cells["video"]), video)
        uid = str(cells["uid"] or f"{video.stem}-{window.start_s:.2f}-{window.stop_s:.2f}")
        used[uid] += not window.unfit
        if used[uid] > 1 and not cells["uid"]:
            uid = f"{uid}-{used[uid]}"  # the same stretch, told of twice
        yield VideoAction(
            dataset=folder.resolve().name or "folder",
            uid=uid,
            video=video,
            start_s=window.start_s,
            stop_s=window.stop_s,
            narration=clean(narration),
            verbs=(str(cells["verb"]),) if cells["verb"] else (),
            nouns=(str(cells["noun"]),) if cells["noun"] else (),
            licence=str(cells["licence"] or "unknown"),
            group=str(cells["group"] or video.stem),
            boundaries=window.boundaries,
            extra={name: str(cells[name]) for name in ("perspective", "consent") if cells[name]} | _box(where, cells),
            unfit=window.unfit,
            numbering=window.numbering,
            unread=window.unread,
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
