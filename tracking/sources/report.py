"""What was found, in numbers: by source, and over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from mpr.core.data.video import is_there
from tracking.sources.manifest import Entry
from tracking.sources.search import SearchResult

HEADING = ("source", "actions", "match", "total", "median", "longest", "videos", "on disk")


def search_numbers(found: SearchResult) -> dict[str, Any]:
    """Of one source; durations in seconds."""
    lengths = [entry.seconds for entry in found.entries]
    videos = {entry.video for entry in found.entries}
    return {
        "actions": found.actions,
        "matched": len(lengths),
        "seconds": round(sum(lengths), 3),
        "median_s": round(median(lengths), 3) if lengths else None,
        "longest_s": round(max(lengths), 3) if lengths else None,
        "videos": len(videos),
        "videos_on_disk": len(videos) - len(missing_videos(found.entries)),
        "groups": len({entry.group for entry in found.entries}),
        "noted": dict(sorted(found.reasons.items())),
    }


def missing_videos(entries: Sequence[Entry]) -> list[str]:
    """Paths of the videos that are not there."""
    return sorted(video for video in {entry.video for entry in entries} if not is_there(Path(video)))


def report_lines(by_source: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table to print, and under it what was left out and why."""
    table: list[tuple[str, ...]] = [HEADING]
    for source, n in by_source.items():
        lengths = ("-" if n[key] is None else f"{n[key]:.2f} s" for key in ("median_s", "longest_s"))
        counts = (f"{n[key]:,}" for key in ("actions", "matched", "videos", "videos_on_disk"))
        actions, matched, videos, on_disk = counts
        table.append((source, actions, matched, _duration(n["seconds"]), *lengths, videos, on_disk))
    widths = [max(len(row[k]) for row in table) for k in range(len(HEADING))]
    lines = []
    for first, *rest in table:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join((first.ljust(widths[0]), *cells)))
    for source, n in by_source.items():
        lines += [f"{source}: {count:,} {reason}" for reason, count in n["noted"].items()]
    return lines


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours, as one would say it."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
