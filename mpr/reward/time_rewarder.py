"""TimeRewarder: the time that seems to pass from each frame to the next, going on or back (arXiv 2509.26627).

    1/2 + F(o_t, o_{t+1}) / 2

where F, in [-1, 1], is the predicted distance of two frames as a share of a whole clip (`mpr pretrain --objective
temporal_distance`). The paper's reward is F itself. What it costs to lie in [0, 1]: half of the signal; standing still
is 1/2, so with the offset a step costs 1/2, not 1. An episode that does what a clip shows gains about 1/2 in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mpr.reward.model import Given, RewardModel, Track

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode
    from mpr.representations.checkpoint import Representation


class TimeRewarderReward(RewardModel):
    """The predicted temporal distance of consecutive frames."""

    sees, neutral = True, 0.5
    objective: ClassVar[str] = "temporal_distance"
    nulls: ClassVar[tuple[str, ...]] = ("untrained",)

    def __init__(self, embed: Representation, head: Any, track: Track) -> None:
        """`head`: a trained mpr.representations.temporal_distance.DistanceHead."""
        self.embed, self.head, self.track = embed, head, track

    @classmethod
    def of(cls, given: Given) -> TimeRewarderReward:
        """Raises BadCheckpoint for a representation that cannot be read, is still in training, or another's."""
        from mpr.core.checkpoints import refuse_unfinished
        from mpr.representations.checkpoint import load_representation
        from mpr.representations.temporal_distance import DistanceHead

        assert given.representation is not None and given.track is not None
        refuse_unfinished(given.representation, "mpr pretrain")
        return cls(*load_representation(given.representation, cls.objective, DistanceHead), given.track)

    def null_model(self, name: str) -> TimeRewarderReward:
        """The same network and head `untrained`: what it says of two frames has nothing to do with time."""
        from mpr.representations.checkpoint import untrained_representation
        from mpr.representations.temporal_distance import DistanceHead

        return TimeRewarderReward(*untrained_representation(self.embed, DistanceHead), self.track)

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """1/2 + F / 2 of each step [T], 0 to 1; 0 over a gap."""
        import torch

        with self.track(episode) as clip, torch.inference_mode():
            warn_of_other_rate(clip.rate_hz, self.embed.rate_hz)
            vectors = self.embed(clip.frames)
            on = self.head.distance(vectors[:-1], vectors[1:]).double().numpy()
        return np.where(clip.gaps, 0, np.clip((1 + on) / 2, 0, 1)).astype(np.float32)


def warn_of_other_rate(rate_hz: float, trained_hz: float) -> None:
    """A step of another length is another share of a clip: it is scored all the same, with a warning."""
    if abs(rate_hz / trained_hz - 1) > 0.1:
        import warnings

        warnings.warn(
            f"an episode at {rate_hz:.4g} Hz is scored by what was trained at {trained_hz:.4g} Hz: distances between "
            "consecutive frames differ",
            stacklevel=2,
        )
