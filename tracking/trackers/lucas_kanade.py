"""Pyramidal Lucas–Kanade through the PointTracker Protocol: no weights, real and rendered video alike.

A point is hidden as soon as it cannot be followed with confidence, and stays hidden: nothing re-attaches it. It does
not know objects; near a silhouette it relies on two windows of different size having to agree. The image ends at its
border, and where black bars begin: what lies there is no point, and never visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import FrameSource, PointsSeen, Tracks
from tracking.motion.points import points_inside
from tracking.trackers.registry import LUCAS_KANADE

_BLACK = 16  # grey levels: rows and columns along the border in which nothing is brighter are bars, no image


@dataclass(frozen=True)
class LucasKanade:
    """Frame-to-frame Lucas–Kanade with a forward–backward check. All lengths in pixels of the frames it is given."""

    window: int = 21  # pixels a side, of the window that gives the displacement
    small_window: int = 11  # pixels a side, of the window that must agree with it
    levels: int = 3  # pyramid levels above the full image
    round_trip: float = 0.5  # pixels: a point that does not come back this close is hidden
    disagreement: float = 0.5  # pixels between the two windows' answers
    jump: float = 64.0  # pixels in one transition: further is not believed
    texture: float = 1.0  # grey levels per pixel in the least textured direction, on a patch round the point
    likeness: float = 0.8  # correlation of the patch round the point before and after
    patch: int = 11  # pixels a side, of the patch that texture and likeness look at
    core: int = 3  # pixels a side, of the patch that must need its displacement
    worse: float = 1.5  # times: how much worse the image's own motion must explain the core
    noise: float = 0.3  # grey levels added to that

    name = LUCAS_KANADE

    def track(self, frames: FrameSource, queries: NDArray[np.float32]) -> Tracks:
        """Follow queries [N, 3] = (t, x, y) forwards from their frames; before its own frame a point is hidden.

        A hidden point keeps its last position. A query on a patch without texture is hidden from the start.
        """
        return Tracks.of(self.frame_by_frame(frames, queries))

    def frame_by_frame(self, frames: FrameSource, queries: NDArray[np.float32]) -> Iterator[PointsSeen]:
        """What `track` returns, frame after frame: points [N, 2], visible [N]."""
        asked = queries[:, 0].astype(int)
        points, visible = queries[:, 1:].astype(np.float32), np.zeros(len(queries), bool)
        before = np.empty(0, np.uint8)
        for t in range(len(frames)):
            points, visible = points.copy(), visible.copy()  # those of the last frame are the caller's
            grey = cv2.cvtColor(np.ascontiguousarray(frames[t]), cv2.COLOR_RGB2GRAY)
            alive = np.flatnonzero(visible)
            if len(alive):
                moved, sure = self._follow(before, grey, points[alive])
                points[alive[sure]] = moved[sure]
                visible[alive] = sure
            born = np.flatnonzero(asked == t)
            if len(born):
                part, corner = _without_bars(grey)
                visible[born] = points_inside(self._textured(grey[part]), points[born] - corner)
            before = grey
            yield points, visible

    def _follow(self, before: NDArray, after: NDArray, points: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        """Where points [N, 2] of one grey image are in the next, and which answers can be believed."""
        part, corner = _without_bars(before, after)
        before, after, points = before[part], after[part], points - corner
        moved, sure = self._there_and_back(before, after, points)
        for believe in (self._agrees, self._looks_alike, self._needed):  # the dear ones on the rest
            left = np.flatnonzero(sure)
            if len(left):
                sure[left] = believe(before, after, points[left], moved[left])
        return moved + corner, sure

    def _there_and_back(self, before: NDArray, after: NDArray, points: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        """Where points are in the next image, and whether they come back from there.

        A window beyond the border is filled with made-up grey. In the image that a point is followed from that does no
        harm, as nothing has a gradient there; in the other it pulls at the answer. So for a point on its way out the
        way back is the true one. At a corner, out along one side and in along the other, neither is.
        """
        moved, sure = self._flow(before, after, points, self.window)
        textured = self._textured(after)
        sure &= (_distance(moved, points) < self.jump) & points_inside(textured, moved)
        left = np.flatnonzero(sure)
        start, end = points[left], moved[left]
        back, found = self._flow(after, before, end, self.window)
        out, into = _crossing(start, end, after.shape, self.window)
        end = np.where((out > into)[:, None], start + (end - back), end)
        sure[left] = found & (_distance(back, start) < self.round_trip) & (np.minimum(out, into) < self.round_trip)
        sure[left] &= points_inside(textured, end)
        moved[left] = end
        return moved, sure

    def _agrees(self, before: NDArray, after: NDArray, points: NDArray, moved: NDArray) -> NDArray[np.bool_]:
        out, into = _crossing(points, moved, after.shape, self.small_window)
        agree = np.zeros(len(points), bool)
        for some, way in ((out <= into, (before, after, points, moved)), (out > into, (after, before, moved, points))):
            one, other, start, end = way
            narrow, found = self._flow(one, other, start[some], self.small_window, guess=end[some])
            agree[some] = found & (_distance(narrow, end[some]) < self.disagreement)
        return agree

    def _looks_alike(self, before: NDArray, after: NDArray, points: NDArray, moved: NDArray) -> NDArray[np.bool_]:
        return _likeness(before, after, points, moved, self.patch) > self.likeness

    def _needed(self, before: NDArray, after: NDArray, points: NDArray, moved: NDArray) -> NDArray[np.bool_]:
        """Whether a displacement is needed to explain what is seen, where rest or the image's own motion may do.

        Where the edge of a passing arm crosses an edge of the object, the corner between them slides along with the
        arm. Yet the point, or the place it seems to go to, looks the same in both frames once the image's own motion
        (the median one; none for a camera that stands still) is undone; so its displacement is not believed.
        """
        was, now = _patches(before, points, self.core), _patches(after, moved, self.core)
        limit = self.worse * _difference(was, now) + self.noise
        common = np.zeros(2, np.float32)
        stayed = _difference(was, _patches(after, points, self.core))
        if (stayed <= limit).mean() < 0.5:  # rest does not explain most of what is seen: the camera moves
            common = np.median(moved - points, 0)
            stayed = _difference(was, _patches(after, points + common, self.core))
        was_there = _difference(_patches(before, moved - common, self.core), now)
        is_common = _distance(moved, points + common) < self.round_trip
        return is_common | (np.minimum(stayed, was_there) > limit)

    def _flow(
        self, before: NDArray, after: NDArray, points: NDArray, window: int, guess: NDArray | None = None
    ) -> tuple[NDArray, NDArray[np.bool_]]:
        """Lucas-Kanade with one window: over the pyramid, or from a guess only on the full image."""
        if not len(points):
            return points, np.zeros(0, bool)
        start = np.ascontiguousarray(points if guess is None else guess, np.float32)
        levels, flags = (self.levels, 0) if guess is None else (0, cv2.OPTFLOW_USE_INITIAL_FLOW)
        size = (window, window)
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            before, after, np.ascontiguousarray(points), start.copy(), winSize=size, maxLevel=levels, flags=flags
        )
        return moved, found[:, 0].astype(bool) & np.isfinite(moved).all(1)

    def _textured(self, grey: NDArray) -> NDArray[np.bool_]:
        """Pixels on a patch that has texture in every direction."""
        return _texture(grey, self.patch) > self.texture


def _texture(grey: NDArray[np.uint8], patch: int) -> NDArray[np.float32]:
    """Root of the least eigenvalue of the mean structure tensor over patch x patch pixels: grey levels per pixel.

    `grey` is [H, W] uint8, the result [H, W].
    """
    dx = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)
    xx, yy, xy = (cv2.boxFilter(a * b, -1, (patch, patch)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.sqrt(np.maximum(least, 0.0))


def _without_bars(*greys: NDArray) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """Rows and columns of the image that grey images of one size show between black bars, and its corner (x, y)."""
    seen = np.maximum.reduce(greys) > _BLACK
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(rows):
        return (slice(None), slice(None)), np.zeros(2, np.float32)
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return part, np.array([columns[0], rows[0]], np.float32)


def _crossing(
    start: NDArray, end: NDArray, shape: tuple[int, ...], window: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far windows round points [N, 2] move out of an image of shape [H, W], and into it: pixels [N] each, over that
    of its sides where it is most."""
    last = np.array(shape[::-1], np.float32) - 1
    low, high = ([np.maximum(window // 2 - room, 0) for room in (p, last - p)] for p in (start, end))
    out = np.concatenate(high, 1) - np.concatenate(low, 1)
    return out.max(1, initial=0), (-out).max(1, initial=0)


def _distance(a: NDArray, b: NDArray) -> NDArray:
    return np.linalg.norm(a - b, axis=-1)


def _likeness(before: NDArray, after: NDArray, a: NDArray, b: NDArray, patch: int) -> NDArray:
    """Normalised correlation [N] of the patches round points a of one image and b of another."""
    p, q = (v - v.mean(1, keepdims=True) for v in (_patches(before, a, patch), _patches(after, b, patch)))
    return (p * q).sum(1) / np.maximum(np.sqrt((p**2).sum(1) * (q**2).sum(1)), 1e-6)


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean absolute difference [N] in grey levels of patches [N, P] and others."""
    return np.abs(a - b).mean(1)


def _patches(image: NDArray, points: NDArray, patch: int) -> NDArray[np.float32]:
    """Patches [N, patch * patch] round points [N, 2], bilinear."""
    where = points[:, None].astype(np.float32) + _offsets(patch)
    return cv2.remap(image, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)  # type: ignore[call-overload]


@cache
def _offsets(patch: int) -> NDArray[np.float32]:
    """Of a patch's pixels from its middle, [patch * patch, 2]."""
    along = np.arange(patch, dtype=np.float32) - patch // 2
    return np.stack(np.meshgrid(along, along), -1).reshape(-1, 2)
