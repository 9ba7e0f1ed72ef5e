"""Action: what a data set says somebody did, when, and in which video. Every source yields these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.data.boundaries import BY_SECONDS, Boundaries
from tracking.sources.numbering import Numbering
from tracking.sources.video_info import VideoInfo

FIRST_PERSON = "first person"
CONTRADICTS = "its seconds and its frame numbers contradict each other"


@dataclass(frozen=True, slots=True)
class VideoAction:
    """One annotated action, as its data set has it: the window is not checked yet (`tracking.sources.windows`)."""

    dataset: str  # "ego4d", "epic100", "synth", a folder's name
    uid: str  # unique in its data set, fit for a file name
    video: Path
    start_s: float  # seconds of the video as a player counts them; where boundaries name frames, about when these are
    stop_s: float
    narration: str
    verbs: tuple[str, ...]  # the verb's names in its data set, the plain one first; empty where it has none
    nouns: tuple[str, ...]  # the noun's, likewise: ("cupboard", "cabinet", "door")
    licence: str
    group: str  # what a split must keep together: participant or source video
    extra: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    info: VideoInfo | None = None  # what the annotations say of the video
    boundaries: Boundaries = BY_SECONDS  # what start and stop mean
    unfit: str = ""  # why it is left out although it may be meant
    numbering: Numbering | None = None  # how the frame numbers beside its seconds count
    unread: tuple[str, ...] = ()  # columns of its row that look like times and were not read


def valid(actions: Iterable[VideoAction], reasons: Counter[str], unfit_too: bool) -> Iterator[VideoAction]:
    """The actions that their data set calls valid, and with `unfit_too` the others among them.

    The others are counted in `reasons`. What contradicts itself is valid until somebody means it.
    """
    for action in actions:
        fit = action.unfit in ("", CONTRADICTS)
        if not fit:
            reasons[f"left out: {action.unfit}"] += 1
        if fit or unfit_too:
            yield action
