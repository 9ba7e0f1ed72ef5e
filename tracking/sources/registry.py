"""Data sources by name: functions that read what a data set says somebody did. Imports none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mpr.core.registry import Registry
from tracking.sources.action import VideoAction


@dataclass(frozen=True)
class SourcePlace:
    """Where a source is, and what was said beside it. One that has no use for a thing leaves it."""

    path: Path  # annotation file or folder
    videos: Path | None = None  # where the videos lie, if not beside it
    table: Path | None = None  # which table of several
    camera: str = ""  # which of several
    unfit_too: bool = False  # also actions that the data set itself does not call valid, with `VideoAction.unfit`


# Yields the actions in their order; what it leaves out it counts in the second, by reason. Raises UserError for what
# cannot be read.
DataSource = Callable[[SourcePlace, Counter[str]], Iterator[VideoAction]]
SOURCES = Registry(
    "data source",
    "mpr.sources",
    {name: f"tracking.sources.{name}:source" for name in ("ego4d", "epic", "folder", "lerobot", "clips")},
)
