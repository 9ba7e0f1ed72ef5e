"""How a manifest's actions get their masks: by a box that each brings along, or by the name of the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource, MaskSource
from mpr.core.errors import ObjectNotFound, UserError
from tracking.clips.config import MASKS_BY_BOX, check_masks
from tracking.clips.from_video import CARRIED
from tracking.masks.box_mask import CarriedMasks
from tracking.masks.checked import CheckedMasks
from tracking.masks.lost import HeldMasks
from tracking.masks.protocols import Finder
from tracking.masks.registry import object_finder
from tracking.sources.manifest import Entry

OFF = 0.5  # seconds: a box that was drawn further from every frame belongs to none of them
MaskFacts = Mapping[str, Any]  # JSON values, for a clip's Source


class NoBox(UserError):
    """An action without the box that its masks are made from."""

    reason = "no box"


class ActionMasks(Protocol):
    """Finds an action's object and follows it. Small, to be sent to workers; weights are loaded there."""

    @property
    def name(self) -> str:
        """As it stands in Source.masks."""
        ...

    def __call__(self, frames: FrameSource, times: NDArray[np.float64], entry: Entry) -> tuple[MaskSource, MaskFacts]:
        """Masks [T] of the stretch's frames, whose times [T] are seconds of the video, and what a clip should tell of
        how they came about. They are empty where they have let go of the object. Raises UserError where it is not
        found."""
        ...


@dataclass(frozen=True)
class BoxMasks:
    """Masks carried from the box that an action brings along in its manifest's `extra`.

    "box" is [x0, y0, x1, y1] in source pixels; "box_s" may say at which second of the video it was drawn, at the
    action's start otherwise. Raises NoBox where an action has none.
    """

    name: str = CARRIED

    def __call__(self, frames: FrameSource, times: NDArray[np.float64], entry: Entry) -> tuple[MaskSource, MaskFacts]:
        box, at = entry.extra.get("box"), entry.extra.get("box_s", entry.start_s)
        try:
            numbers, seconds = [float(value) for value in box or ()], float(at)
        except (TypeError, ValueError) as error:
            raise NoBox(
                f"action {entry.uid}: box {box!r} at {at!r} s is none: x0,y0,x1,y1 in pixels, seconds"
            ) from error
        if len(numbers) != 4 or not np.isfinite([*numbers, seconds]).all():
            raise NoBox(
                f"action {entry.uid} has no box around its object: give one in a column 'box', or find objects by name"
            )
        frame = int(np.abs(times - seconds).argmin())
        if abs(times[frame] - seconds) > OFF:
            raise NoBox(
                f"action {entry.uid} has a box drawn at {seconds:g} s, and frames from {times[0]:g} to {times[-1]:g} s"
            )
        carried = CarriedMasks(frames, numbers, frame)
        return HeldMasks(frames, carried, times, frame), {"box": numbers, "box_s": float(times[frame])}


@dataclass(frozen=True)
class NamedMasks:
    """Models look for the object by its name: `words`, or the noun of each action."""

    name: str  # of the models, as owlv2+sam2+cutie
    words: tuple[str, ...]
    weights: Path  # folder of their weights
    device: str
    threshold: float  # score under which a detector's best box is no find

    def __call__(self, frames: FrameSource, times: NDArray[np.float64], entry: Entry) -> tuple[MaskSource, MaskFacts]:
        words = self.words or (entry.noun,)
        if not any(words):
            raise ObjectNotFound(f"action {entry.uid} has no noun to look for: name the object with --words")
        found = finder_of(self.name, self.weights, self.device, self.threshold)(frames, words)
        masks = CheckedMasks(found.masks, len(frames), frames[0].shape[:2], f"mask model {self.name}")
        if not masks[found.frame].any():
            where = f"at {times[found.frame]:.2f} s, where {found.found.word} was found"
            raise ObjectNotFound(f"action {entry.uid}: the mask model {self.name} shows nothing {where}")
        told = {
            "word": found.found.word,
            "score": found.found.score,
            "box": list(found.found.box),
            "found_s": float(times[found.frame]),
        }
        return HeldMasks(frames, masks, times, found.frame), told


@cache
def finder_of(name: str, weights: Path, device: str, threshold: float) -> Finder:
    """The finder of objects by name, made once a process: loading it takes longer than most clips.

    It drops nothing as lost: that is judged by what is left when the action is trimmed.
    """
    from mpr.core.device import resolved_device

    return object_finder(name, weights, resolved_device(device), threshold=threshold, lost=1.0)


def action_masks(name: str, words: Sequence[str], weights: Path, device: str, threshold: float) -> ActionMasks:
    """Masks by box, or by models of that name. Raises UserError for a name that is none's."""
    check_masks(name, words)
    return BoxMasks() if name == MASKS_BY_BOX else NamedMasks(name, tuple(words), weights, device, threshold)
