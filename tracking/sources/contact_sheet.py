"""The contact sheet: what was found, at a glance. A grid of middle frames with narration and seconds."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.video import VideoFrames, is_there
from mpr.core.errors import BadVideo
from mpr.core.report.drawing import write_text
from mpr.core.runs import atomic_path
from tracking.sources.manifest import Entry

WIDTH, HEIGHT, STRIP = 320, 180, 64  # pixels of a cell's image, and of the strip with its text
SHEET_COLUMNS = 6
LETTERS = 40  # that fit a line


class Absent(StrEnum):
    """Why there is no image of an entry."""

    MISSING = "missing"
    UNREADABLE = "cannot be read"


_SheetImage = NDArray[np.uint8] | Absent  # [H, W, 3]


def draw_sheet(path: Path, entries: Sequence[Entry], count: int) -> dict[str, int]:
    """Write up to `count` entries as a JPEG; returns how many are shown, missing and unreadable.

    A video is opened once, and its index read whole. A missing video is drawn as such.
    """
    chosen = choose(entries, count)
    images: dict[str, _SheetImage] = {}
    in_order = sorted(chosen, key=lambda e: (e.video, e.start_s + e.stop_s))
    for video, group in groupby(in_order, key=lambda e: e.video):
        images |= _middles(Path(video), list(group))
    cells = [_cell(entry, images[entry.uid]) for entry in chosen]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % min(SHEET_COLUMNS, len(cells)))
    columns = min(SHEET_COLUMNS, len(cells))
    sheet = np.vstack([np.hstack(cells[k : k + columns]) for k in range(0, len(cells), columns)])
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    faults = [image for image in images.values() if isinstance(image, Absent)]
    missing = faults.count(Absent.MISSING)
    return {"shown": len(chosen) - len(faults), "missing": missing, "unreadable": len(faults) - missing}


def choose(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Of each data set about as many, those first whose videos are there, evenly spread; in the order given."""
    sizes = Counter(e.dataset for e in entries)
    taken: set[str] = set()
    for k, dataset in enumerate(sorted(sizes, key=lambda d: (sizes[d], d))):  # what a small one leaves goes to others
        left = (count - len(taken)) // (len(sizes) - k)
        of_it = [e for e in entries if e.dataset == dataset]
        there = {e.uid for e in of_it if is_there(Path(e.video))}
        for group in ([e for e in of_it if e.uid in there], [e for e in of_it if e.uid not in there]):
            picked = _spread(group, left)
            taken |= {e.uid for e in picked}
            left -= len(picked)
    return [e for e in entries if e.uid in taken]


def _spread(entries: Sequence[Entry], count: int) -> list[Entry]:
    at = np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int)
    return [entries[k] for k in at]


def middle(times: NDArray[np.float64], start_s: float, stop_s: float) -> int:
    """The index of the frame nearest to the middle of a window; `times` [T] in seconds."""
    return int(np.abs(times - (start_s + stop_s) / 2).argmin())


def _middles(video: Path, entries: Sequence[Entry]) -> dict[str, _SheetImage]:
    """Uid -> middle frame, fitted into a cell, or why there is none. The entries in order of time."""
    if not is_there(video):
        return dict.fromkeys((e.uid for e in entries), Absent.MISSING)
    found: dict[str, _SheetImage] = dict.fromkeys((e.uid for e in entries), Absent.UNREADABLE)
    try:
        frames = VideoFrames(video)
        for e in entries:
            found[e.uid] = _fitted(frames[middle(frames.times, e.start_s, e.stop_s)])
        frames.close()
    except BadVideo:
        pass  # what was read before the fault is shown
    return found


def _fitted(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole frame in the middle of a cell."""
    h, w = frame.shape[:2]
    scale = min(WIDTH / w, HEIGHT / h)
    size = max(round(w * scale), 1), max(round(h * scale), 1)
    small = cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA)
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = (HEIGHT - size[1]) // 2, (WIDTH - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return out


def _cell(entry: Entry, image: _SheetImage) -> NDArray[np.uint8]:
    cell = np.full((HEIGHT + STRIP, WIDTH, 3), 40, np.uint8)
    if isinstance(image, Absent):
        write_text(cell[:HEIGHT], f"{Path(entry.video).name} {image}"[-LETTERS:], 4)
    else:
        cell[:HEIGHT] = image
    said = textwrap.wrap(entry.narration or f"{entry.verb} {entry.noun}", LETTERS, max_lines=2, placeholder=" ...")
    for line, text in enumerate(said):
        write_text(cell, text, 3 - line)
    when = f"{entry.seconds:.2f} s from {entry.start_s:.2f}, "
    write_text(cell, when + entry.uid[-(LETTERS - len(when)) :], 1)
    cell[-1] = cell[:, -1] = 0
    return cell
