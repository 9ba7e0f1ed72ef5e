"""Why a search found nothing: the words, or what became of the actions that they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tracking.sources.action import CONTRADICTS, VideoAction
from tracking.sources.query import Query
from tracking.sources.search import BY_ANNOTATIONS, LEFT_OUT_PREFIX, Alike, SearchResult, choose_actions

# What a reason holds -> what can be done.
ADVICE = {
    BY_ANNOTATIONS: "get the videos, or put right what the annotations say of them",
    "is missing": "get the videos, or give a column fps",
    "cannot be read": "get the files anew",
    CONTRADICTS: "put the table right",
    "is not there": "get the files that are not there",
    "video has not": "compare the annotations with the videos: are they of the same set?",
    "the video's end": "compare the annotations with the videos: are they of the same set?",
    "the same uid again": "the same actions are given twice",
}


def unfit_ones(actions: Iterable[VideoAction], query: Query, alike: Alike | None) -> Counter[str]:
    """How many actions that are meant were left out before anybody asked which, by reason.

    Another person's, rejected, not annotated: those of a source that its data set does not call valid.
    """
    unfit = (action for action in actions if action.unfit and action.unfit != CONTRADICTS)
    return Counter(LEFT_OUT_PREFIX + action.unfit for action in choose_actions(unfit, query, alike, SearchResult()))


def why_nothing(found: Mapping[str, SearchResult], unfit: Counter[str], query: Query) -> str:
    """One line: how many actions match, and why each of them was left out; else what to ask."""
    total = sum(f.actions for f in found.values())
    lost = sum((f.lost for f in found.values()), unfit)
    if lost:
        reasons = [f"{count:,} {reason.removeprefix(LEFT_OUT_PREFIX)}" for reason, count in lost.most_common()]
        todo = list(dict.fromkeys(next((ADVICE[k] for k in ADVICE if k in reason), "") for reason in lost))
        which = "actions that match" if query != Query() else "actions"
        left = "; ".join((", ".join(reasons), *filter(None, todo)))
        return f"nothing found: all {which} ({sum(lost.values()):,}) were left out: {left}"
    unread = Counter(
        {r: n for f in found.values() for r, n in f.reasons.items() if r.startswith(LEFT_OUT_PREFIX) and r not in unfit}
    )
    besides = "".join(f"; besides, {n:,} {reason}" for reason, n in unread.items())
    return f"nothing found among {total:,} actions: {_advice(query, total)}{besides}"


def _advice(query: Query, total: int) -> str:
    words = f"{query.text} {query.verb} {query.noun}".split()
    if not words or not total:
        return "the sources hold none"
    return "none matches; ask with fewer words" if len(words) > 1 else "none matches; ask with another word"
