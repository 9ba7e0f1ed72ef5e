"""The reward that does not know the direction: the share of object points that moved, wherever to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from mpr.reward import MOVED
from mpr.rewards.motion import Track
from mpr.scoring import moved_shares, score_moving
from mpr.standins import Oracle


class AnyMotionReward:
    """What `motion` would give if the predictor were always right."""

    def __init__(self, track: Track, moved: float = MOVED) -> None:
        self.track, self.moved = track, moved

    def score(self, episode: Episode) -> NDArray[np.float32]:
        with self.track(episode) as clip:
            return moved_shares(score_moving(clip, Oracle(), self.moved), self.moved)
