"""From a source's actions to the entries that are meant, one action at a time: tables of millions pass through."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from tracking.errors import BadVideo
from tracking.sources.action import Action
from tracking.sources.embed import Similarity
from tracking.sources.manifest import Entry
from tracking.sources.query import Query
from tracking.sources.videos import VideoInfo, probe
from tracking.sources.windows import fit

CHUNK = 1024  # actions looked at together: sentences are embedded in batches


@dataclass
class Found:
    """What one source had."""

    actions: int = 0  # valid ones, by the data set's own word
    entries: list[Entry] = field(default_factory=list)  # those meant, in the source's order
    infos: list[VideoInfo | None] = field(
        default_factory=list
    )  # of their videos: the file's own, else the annotations'
    reasons: Counter[str] = field(default_factory=Counter)  # what was left out, cut, or kept with a remark


@dataclass(frozen=True)
class Alike:
    """Narrations count as matching, whatever their words, from a similarity of `least` on."""

    similarity: Similarity
    least: float


def search(
    actions: Iterable[Action], query: Query, alike: Alike | None, longest: float, found: Found, taken: set[str]
) -> None:
    """Add to `found` the actions that the query means, windows checked against their videos, and their uids to `taken`:
    one that is there already is left out."""
    for action in _chosen(actions, query, alike, found):
        try:
            info = probe(action.video) or action.info
        except BadVideo:
            found.reasons["left out: the video cannot be read"] += 1
            continue
        try:
            entry = fit(query.labelled(action), info.seconds if info else None, longest, found.reasons)
        except ValueError as error:  # of Entry: it names the field first
            found.reasons[f"left out: its {str(error).split()[0]} is not fit for a manifest"] += 1
            continue
        if entry is None:
            continue
        if entry.uid in taken:
            found.reasons["left out: the same uid again"] += 1
            continue
        taken.add(entry.uid)
        found.entries.append(entry)
        found.infos.append(info)


def _chosen(actions: Iterable[Action], query: Query, alike: Alike | None, found: Found) -> Iterator[Action]:
    actions = iter(actions)
    while chunk := list(islice(actions, CHUNK)):
        found.actions += len(chunk)
        if alike is None:
            yield from filter(query.matches, chunk)
            continue
        chunk = [action for action in chunk if query.labels_match(action)]
        for action, near in zip(chunk, alike.similarity(a.narration for a in chunk), strict=True):
            if near >= alike.least or query.text_matches(action):
                yield dataclasses.replace(action, extra={**action.extra, "similarity": round(near, 4)})
