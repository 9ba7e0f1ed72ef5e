"""A null model: a predictor that foresees the same motion everywhere, the mean of its training clips."""

from __future__ import annotations

import numpy as np

from mpr.core.errors import UserError
from mpr.reward.model import Given
from mpr.reward.motion import MotionReward


class MeanMotionReward(MotionReward):
    """Agreement of the tracked motion with the mean motion of a predictor's training clips, which its card holds.

    It sees no image: a predictor that is paid no more by `motion` knows no more than one vector.
    """

    @classmethod
    def of(cls, given: Given) -> MeanMotionReward:
        """Raises BadCheckpoint for a predictor that cannot be read or is in training, UserError for one without it."""
        from mpr.core.checkpoints import refuse_unfinished
        from mpr.predictor.checkpoint import load_predictor
        from mpr.reward.baselines import FixedDirection

        assert given.predictor is not None and given.track is not None
        refuse_unfinished(given.predictor, "mpr train")
        motion = load_predictor(given.predictor).card.get("mean_motion")
        if motion is None:
            raise UserError(f"{given.predictor} does not hold the mean motion of its clips: train it again")
        return cls(FixedDirection(np.array(motion)), given.track, given.motion_threshold_px)
