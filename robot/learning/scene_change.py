"""Today's view beside the one that the last episode began with: has a camera been moved, is the light another?

A residual policy that sees, and a reward that looks at one square of a camera's image, take both for granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.report.drawing import write_text
from mpr.core.runs import atomic_path

MOVED = 0.008  # of an image's height: a median shift beyond it, one pixel of 128, is a camera that was moved
LIGHT = 0.1  # share by which the image's mean may be brighter or darker
_FOUND = 0.3  # of the points in it: with fewer found again it is another picture
_CORNERS, _ENOUGH = 200, 12  # looked for in an image; with fewer there is nothing to tell a shift by
_ROUND_TRIP = 0.5  # pixels: a corner that does not come back this close is not found again
_AROUND = 31  # pixels a side, of the part by whose mean and spread a pixel is judged
_FLAT = 4.0  # grey levels of spread that such a part has at least


@dataclass(frozen=True)
class ViewChange:
    """What has changed in one camera's view."""

    camera: str
    height: int  # pixels of its images
    shift_px: float | None  # median over the points that were found again; None: too few were
    brightness: float  # mean of the image, now over before

    @property
    def moved(self) -> bool:
        """Whether the camera was moved, or shows something else altogether."""
        return self.shift_px is None or self.shift_px > MOVED * self.height

    @property
    def other_light(self) -> bool:
        return not 1 / (1 + LIGHT) <= self.brightness <= 1 + LIGHT

    def __str__(self) -> str:
        where = "shows something else" if self.shift_px is None else f"shifted by {self.shift_px:.1f} pixels"
        said = f"{self.camera}: {where}, {self.brightness:.2f} times as bright"
        told = [text for text, so in (("it was moved", self.moved), ("other light", self.other_light)) if so]
        return f"{said} ({', '.join(told) or 'as before'})"


def view_change(camera: str, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> ViewChange:
    """What has changed between two images [H, W, 3] of a camera, the arm and all things being where they were.

    A shift is told under another light too.
    """
    height = len(before)
    brightness = float((now.mean() + 1) / (before.mean() + 1))
    if now.shape != before.shape:
        return ViewChange(camera, height, None, brightness)
    was, is_now = _without_light(before), _without_light(now)
    corners = cv2.goodFeaturesToTrack(was, _CORNERS, 0.01, 4)
    if corners is None or len(corners) < _ENOUGH:  # a bare wall: it has not moved where it looks the same
        same = np.abs(is_now.astype(float) - was).mean() < _FLAT
        return ViewChange(camera, height, 0.0 if same else None, brightness)
    none: Any = None  # no guess
    moved, there, _ = cv2.calcOpticalFlowPyrLK(was, is_now, corners, none)
    back, again, _ = cv2.calcOpticalFlowPyrLK(is_now, was, moved, none)
    found = np.logical_and(there, again)[:, 0] & (np.linalg.norm(back - corners, axis=2)[:, 0] < _ROUND_TRIP)
    if found.mean() < _FOUND:
        return ViewChange(camera, height, None, brightness)
    shifts = np.linalg.norm(np.asarray(moved)[found] - np.asarray(corners)[found], axis=2)
    return ViewChange(camera, height, float(np.median(shifts)), brightness)


def _without_light(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image [H, W, 3] as grey [H, W], by how a pixel stands out from what is around it: alike in any light."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (_AROUND, _AROUND))
    spread = np.sqrt(np.maximum(cv2.blur(grey**2, (_AROUND, _AROUND)) - mean**2, 0))
    stands_out = (grey - mean) / np.maximum(spread, _FLAT)
    return (128 + 40 * stands_out).clip(0, 255).astype(np.uint8)


def draw_views(file: Path, before: Mapping[str, NDArray[np.uint8]], now: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write a PNG, a row a camera: its image before, now, and one over the other; what has not moved is sharp there."""
    rows = []
    for name, was in before.items():
        is_now = cv2.resize(now[name], was.shape[1::-1])
        row = [was.copy(), is_now.copy(), cv2.addWeighted(was, 0.5, is_now, 0.5, 0).astype(np.uint8)]
        for image, title in zip(row, ("before", "now", "both"), strict=True):
            write_text(image, title, 1)
        rows.append(np.concatenate(row, axis=1))
    widest = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0))) for row in rows]
    with atomic_path(file) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(np.concatenate(filled), cv2.COLOR_RGB2BGR))
