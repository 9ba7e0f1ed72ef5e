"""The reward that does not know the direction: the share of object points that moved, wherever to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.model import Given, RewardModel, Track

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode


class AnyMotionReward(RewardModel):
    """What `motion` would give if the predictor were always right."""

    sees = True

    def __init__(self, track: Track, threshold_px: float = MOTION_THRESHOLD_PX) -> None:
        self.track, self.motion_threshold_px = track, threshold_px

    @classmethod
    def of(cls, given: Given) -> AnyMotionReward:
        assert given.track is not None
        return cls(given.track, given.motion_threshold_px)

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """The share of object points that moved in each step [T], 0 to 1."""
        from mpr.reward.baselines import Oracle
        from mpr.reward.scoring import moved_shares, score_moving

        with self.track(episode) as clip:
            return moved_shares(score_moving(clip, Oracle(), self.motion_threshold_px), self.motion_threshold_px)
