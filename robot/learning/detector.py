"""A detector of success beside the operator, whose marks it learns from: a second opinion, never the word.

It looks at the last images of an episode, small and grey, and at the first one, which shows no success. A linear
classifier, by ridge regression on +1 and -1, is made anew of all that were marked so far whenever it is asked: an hour
has a hundred episodes. Its guess on an episode is made before it learns from that one.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode

GUESS = "detector"  # an episode's about: how sure it was of a success, 0 to 1; absent before it can tell
GUESSES_FROM = 2  # episodes of each kind before it guesses
_LAST = 3  # views at an episode's end
_SIDE = 16  # pixels of an image as it is looked at
_RIDGE = 1.0  # beside rows of some 512 numbers in 0..1, mean taken out


class SuccessDetector:
    """Learns from episodes as they were marked, and guesses how one would be."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float64]] = []
        self._signs: list[float] = []
        self.marked = {True: 0, False: 0}  # episodes learned from, by success

    def learn(self, episode: Episode) -> None:
        """Take an episode's images with its mark. One without images teaches nothing."""
        if not episode.frames:
            return
        for view in _last_views(episode):
            self._add(small_images(episode, view), episode.success)
        self._add(small_images(episode, 0), False)
        self.marked[episode.success] += 1

    def _add(self, row: NDArray[np.float64], success: bool) -> None:
        self._rows.append(row)
        self._signs.append(1.0 if success else -1.0)

    def guess(self, episode: Episode) -> float | None:
        """How sure it is that the episode succeeded, 0 to 1; None while it knows too few of either kind."""
        if min(self.marked.values()) < GUESSES_FROM or not episode.frames:
            return None
        rows, signs = np.array(self._rows), np.array(self._signs)
        mean, offset = rows.mean(0), signs.mean()
        centred = rows - mean
        weights = np.linalg.solve(centred @ centred.T + _RIDGE * np.eye(len(rows)), signs - offset)
        shown = np.array([small_images(episode, view) for view in _last_views(episode)]) - mean
        margin = float((shown @ (centred.T @ weights)).mean() + offset)
        return float(np.clip((margin + 1) / 2, 0, 1))


def _last_views(episode: Episode) -> Iterator[int]:
    yield from range(max(1, len(episode) + 1 - _LAST), len(episode) + 1)


def small_images(episode: Episode, view: int) -> NDArray[np.float64]:
    """All cameras' images of a view, small, grey and 0 to 1, as one vector [cameras * 256]."""
    size = (_SIDE, _SIDE)
    grey = [cv2.cvtColor(np.asarray(frames[view]), cv2.COLOR_RGB2GRAY) for _, frames in sorted(episode.frames.items())]
    small = [cv2.resize(one, size, interpolation=cv2.INTER_AREA).ravel() for one in grey]
    return np.concatenate(small).astype(np.float64) / 255
