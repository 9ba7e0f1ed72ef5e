"""Images of a tracked clip for a person to check: mask tinted, object points, raw and compensated displacements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.core.data.video import write_video
from mpr.core.report.drawing import write_text
from mpr.core.runs import atomic_path
from tracking.motion.compensation import mean_background
from tracking.motion.points import Transition

SCALE = 2  # image pixels per crop pixel
LENGTHEN = 3.0  # drawn arrow length over true length: a displacement of 1 px could not be seen
TINT, OBJECT, BACKGROUND = (235, 60, 235), (60, 255, 60), (255, 160, 40)
RAW, COMPENSATED = (255, 255, 255), (255, 235, 0)


def _draw(clip: TrackedClip, t: int) -> NDArray[np.uint8]:
    """Draw frame t of a clip, its object's points and their motion, on an image [512, 512, 3] uint8 RGB.

    Object points are green with arrows to t+1, white raw and yellow compensated; background points are orange. The last
    frame has no arrows.
    """
    frame = clip.frames[t].copy()
    mask = clip.masks[t]
    frame[mask] = (0.75 * frame[mask] + 0.25 * np.array(TINT)).astype(np.uint8)
    h, w = frame.shape[:2]
    image = np.asarray(cv2.resize(frame, (w * SCALE, h * SCALE), interpolation=cv2.INTER_LINEAR), np.uint8)
    cv2.drawContours(image, _contours(image, mask), -1, TINT, 1)
    if t < len(clip.times) - 1:
        transition = Transition.of(clip, t)
        camera = mean_background(transition)
        for point in transition.before[transition.background]:
            cv2.circle(image, _pixel(point), 1, BACKGROUND, -1)
        for point, delta in zip(transition.before[transition.object], transition.delta[transition.object], strict=True):
            for colour, shift in ((RAW, delta), (COMPENSATED, delta - camera)):
                cv2.line(image, _pixel(point), _pixel(point + LENGTHEN * shift), colour, 1, cv2.LINE_AA)
            cv2.circle(image, _pixel(point), 2, OBJECT, -1)
        counts = f"{int(transition.object.sum())} object, {int(transition.background.sum())} background points"
        counts += f", gap of {transition.step_s:.2f} s" if transition.gap else ""
        write_text(image, counts, 2)
    write_text(image, f"frame {t}, {clip.times[t]:.2f} s", 1)
    return image


def save_overlay(clip: TrackedClip, video: Path, sheet: Path, columns: int = 4, rows: int = 2) -> None:
    """Write every frame as an MP4, and columns x rows of them, evenly spread, as a PNG."""
    last = len(clip.times) - 1
    shown = np.unique(np.linspace(0, last - 1, columns * rows).round().astype(int))
    kept: list[NDArray[np.uint8]] = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for t in range(last + 1):
            image = _draw(clip, t)
            if t in shown:
                kept.append(image)
            yield image

    with atomic_path(video) as temporary:
        write_video(temporary, images(), clip.times, crf=20)
    kept += [np.zeros_like(kept[0])] * (-len(kept) % columns)
    tiled = np.vstack([np.hstack(kept[k : k + columns]) for k in range(0, len(kept), columns)])
    with atomic_path(sheet) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(tiled, cv2.COLOR_RGB2BGR))


def _contours(image: NDArray, mask: NDArray[np.bool_]) -> list[NDArray]:
    large = cv2.resize(mask.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return list(cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])


def _pixel(point: NDArray) -> tuple[int, int]:
    x, y = np.rint((point + 0.5) * SCALE - 0.5).astype(int)
    return int(x), int(y)
