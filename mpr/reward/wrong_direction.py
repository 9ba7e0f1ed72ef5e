"""A null model: the reward of a predictor that is wrong, but sees as much motion as a right one would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.model import Given, RewardModel, Track

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode

_STREAM = 7  # of an episode's seed: not the stream that its start is drawn from


class WrongDirectionReward(RewardModel):
    """Agreement of the tracked motion with one fixed random direction an episode, seeded by the episode's seed.

    On average a share of 1 / pi of what an oracle is paid. Whoever compares it with `motion` in practice brings both to
    one scale first.
    """

    sees = True

    def __init__(self, track: Track, threshold_px: float = MOTION_THRESHOLD_PX) -> None:
        self.track, self.motion_threshold_px = track, threshold_px

    @classmethod
    def of(cls, given: Given) -> WrongDirectionReward:
        assert given.track is not None
        return cls(given.track, given.motion_threshold_px)

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """The agreement with the episode's direction in each step [T], 0 to 1. Raises UserError without a seed."""
        from mpr.reward.baselines import FixedDirection
        from mpr.reward.scoring import agreements, score_moving

        if episode.seed is None:
            raise UserError("reward wrong_direction: an episode has no seed, which its direction is drawn from")
        model = FixedDirection(direction_of(episode.seed))
        with self.track(episode) as clip:
            return agreements(score_moving(clip, model, self.motion_threshold_px), self.motion_threshold_px)


def direction_of(seed: int) -> NDArray[np.float64]:
    """The unit vector [2] of an episode with this seed."""
    angle = np.random.default_rng([seed, _STREAM]).uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])
