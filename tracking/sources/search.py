"""From a source's actions to the entries that are meant, one action at a time: tables of millions pass through."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from mpr.core.errors import BadVideo
from tracking.sources.action import VideoAction
from tracking.sources.embed import Similarity
from tracking.sources.manifest import Entry
from tracking.sources.numbering import Numbering
from tracking.sources.query import Query
from tracking.sources.video_info import VideoInfo
from tracking.sources.videos import probe
from tracking.sources.windows import end_of, fit, widened

_CHUNK = 1024  # actions looked at together: sentences are embedded in batches
APART_S = 1.0  # lengths of one video: rounded, or with and without its sound's end
LEFT_OUT_PREFIX = "left out: "
BY_ANNOTATIONS = "by its annotations (the video is not there)"
TOLD = {  # what is known of a video that is not there is hearsay
    "left out: at or beyond the video's end": f"left out: at or beyond the video's end, {BY_ANNOTATIONS}",
    "left out: frames that the video has not": f"left out: frames that the video has not, {BY_ANNOTATIONS}",
    "cut: stops after the video": f"cut: stops after the video, {BY_ANNOTATIONS}",
}


@dataclass
class SearchResult:
    """What one source had."""

    actions: int = 0  # valid ones, by the data set's own word
    entries: list[Entry] = field(default_factory=list)  # those meant, in the source's order
    infos: list[VideoInfo | None] = field(
        default_factory=list
    )  # of their videos: the file's own, else the annotations'
    reasons: Counter[str] = field(default_factory=Counter)  # what was left out, cut, or kept with a remark
    lost: Counter[str] = field(default_factory=Counter)  # of these, why actions that were meant were left out


@dataclass(frozen=True)
class Alike:
    """Narrations count as matching, whatever their words, from a similarity of `least` on."""

    similarity: Similarity
    least: float


def search(
    actions: Iterable[VideoAction],
    query: Query,
    alike: Alike | None,
    longest: float,
    found: SearchResult,
    taken: set[str],
) -> None:
    """Add to `found` the actions that the query means, windows checked against their videos, and their uids to `taken`:
    one that is there already is left out."""
    numbered: set[Numbering] = set()
    for action in choose_actions(actions, query, alike, found):
        noted: Counter[str] = Counter()
        entry, info = _entry(query.labelled(action), longest, noted)
        if entry is not None and entry.uid in taken:
            entry = None
            noted["left out: the same uid again"] += 1
        if action.unread:
            noted[f"with times in columns that are not read: {', '.join(action.unread)}"] += 1
        if action.numbering is not None and not action.unfit and action.numbering not in numbered:
            numbered.add(action.numbering)
            noted.update(_otherwise_numbered(action.numbering, info))
        found.reasons.update(noted)
        if entry is None:
            found.lost.update(reason for reason in noted if reason.startswith(LEFT_OUT_PREFIX))
            continue
        taken.add(entry.uid)
        found.entries.append(entry)
        found.infos.append(info)


def _entry(action: VideoAction, longest: float, noted: Counter[str]) -> tuple[Entry | None, VideoInfo | None]:
    """The action as an entry, or None where nothing is left of it, and what is known of its video."""
    if action.unfit:
        noted[LEFT_OUT_PREFIX + action.unfit] += 1
        return None, action.info
    try:
        own = probe(action.video)
        info = own or action.info
        meant = widened(action, info, noted)
        entry = meant and fit(meant, end_of(meant, info), longest, noted)
    except BadVideo:
        noted["left out: the video cannot be read"] += 1
        return None, action.info
    except ValueError as error:  # of Entry: it names the field first
        noted[f"left out: its {str(error).split()[0]} is not fit for a manifest"] += 1
        return None, action.info
    if own is None:
        for reason in TOLD.keys() & noted.keys():
            noted[TOLD[reason]] += noted.pop(reason)
    elif action.info and own.seconds and abs((action.info.seconds or own.seconds) - own.seconds) > APART_S:
        noted["whose annotations tell another length of their video than it has: its own is taken"] += 1
    return entry, info


def _otherwise_numbered(numbering: Numbering, info: VideoInfo | None) -> dict[str, int]:
    """What to say of frame numbers that do not count the video's own frames, of so many rows of its table."""
    rate = info and info.rate_hz
    if not numbering.known or (rate and numbering.agrees(rate)):
        return {}
    whose = "not as their video does" if rate else "and their video's rate is not known"
    return {f"rows number {numbering.rate_hz:g} frames a second, {whose}: their seconds are taken": numbering.rows}


def choose_actions(
    actions: Iterable[VideoAction], query: Query, alike: Alike | None, found: SearchResult
) -> Iterator[VideoAction]:
    """The actions that the query means; all are counted in `found`."""
    actions = iter(actions)
    while chunk := list(islice(actions, _CHUNK)):
        found.actions += len(chunk)
        if alike is None:
            yield from filter(query.matches, chunk)
            continue
        chunk = [action for action in chunk if query.labels_match(action)]
        for action, near in zip(chunk, alike.similarity(a.narration for a in chunk), strict=True):
            if near >= alike.least or query.text_matches(action):
                yield dataclasses.replace(action, extra={**action.extra, "similarity": round(near, 4)})
