"""Action: what a data set says somebody did, when, and in which video. Every source yields these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracking.sources.videos import VideoInfo

FIRST_PERSON = "first person"


@dataclass(frozen=True, slots=True)
class Action:
    """One annotated action, as its data set has it: the window is not checked yet (`tracking.sources.windows`)."""

    dataset: str  # "ego4d", "epic100", "synth", a folder's name
    uid: str  # unique in its data set, fit for a file name
    video: Path
    start_s: float  # seconds from the video's first frame
    stop_s: float
    narration: str
    verbs: tuple[str, ...]  # the verb's names in its data set, the plain one first; empty where it has none
    nouns: tuple[str, ...]  # the noun's, likewise: ("cupboard", "cabinet", "door")
    licence: str
    group: str  # what a split must keep together: participant or source video
    extra: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    info: VideoInfo | None = None  # what the annotations say of the video
