"""The paper's reward: agreement of predicted and tracked object motion, per step of a finished episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.model import Given, RewardModel, Track

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode
    from mpr.reward.scoring import DeltaModel


class MotionReward(RewardModel):
    """Tracks the episode, predicts, compares. No camera compensation."""

    sees, predicts = True, True

    def __init__(self, model: DeltaModel, track: Track, threshold_px: float = MOTION_THRESHOLD_PX) -> None:
        self.model, self.track, self.motion_threshold_px = model, track, threshold_px

    @classmethod
    def of(cls, given: Given) -> MotionReward:
        """Raises BadCheckpoint for a predictor that cannot be read or is still in training."""
        from mpr.core.checkpoints import refuse_unfinished
        from mpr.predictor.checkpoint import load_predictor
        from mpr.predictor.predicted import PredictedDeltas

        assert given.predictor is not None and given.track is not None
        refuse_unfinished(given.predictor, "mpr train")
        return cls(PredictedDeltas(load_predictor(given.predictor)), given.track, given.motion_threshold_px)

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """The agreement of predicted and tracked motion in each step [T], 0 to 1 (paper Eq. 1)."""
        from mpr.reward.scoring import agreements, score_moving

        with self.track(episode) as clip:
            return agreements(score_moving(clip, self.model, self.motion_threshold_px), self.motion_threshold_px)
