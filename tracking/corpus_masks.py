"""How a manifest's actions get their masks: by a box that each brings along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracking.box_mask import CarriedMasks
from tracking.clip import FrameSource, MaskSource
from tracking.errors import UserError
from tracking.from_video import CARRIED
from tracking.sources.manifest import Entry

Told = Mapping[str, Any]  # JSON values, for a clip's Source


class NoBox(UserError):
    """An action without the box that its masks are made from."""

    reason = "no box"


class ActionMasks(Protocol):
    """Finds an action's object and follows it. Small, to be sent to workers; weights are loaded there."""

    @property
    def name(self) -> str:
        """As it stands in Source.masks."""
        ...

    def __call__(self, frames: FrameSource, times: NDArray[np.float64], entry: Entry) -> tuple[MaskSource, Told]:
        """Masks [T] of the stretch's frames, whose times [T] are seconds of the video, and what a clip should tell of
        how they came about. Raises UserError where the object is not found, or lost."""
        ...


@dataclass(frozen=True)
class BoxMasks:
    """`extra` of the entry holds "box", [x0, y0, x1, y1] in source pixels, and may hold "box_s", seconds of the video
    at which it was drawn: the action's start, else."""

    name: str = CARRIED

    def __call__(self, frames: FrameSource, times: NDArray[np.float64], entry: Entry) -> tuple[MaskSource, Told]:
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
        return CarriedMasks(frames, numbers, frame), {"box": numbers, "box_frame": frame}
