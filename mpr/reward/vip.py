"""VIP as a reward, two ways: how near a frame is to a goal image, and how much nearer than the frame before it.

With d_t = |phi(o_t) - phi(g)| (arXiv 2210.00030; vip/models/model_vip.py) and d_0 the distance at the episode's start,

    vip             1 - d_{t+1} / d_0                  so that, the offset of -1 added, -d / d_0 is learned from
    vip_difference  1/2 + (d_t - d_{t+1}) / (2 d_0)    its sum over an episode tells how much nearer it came

`vip` is the form that the main paper's authors ran (raw distances; evaluation/trajopt of VIP's release pays that of the
frame a step leads to), `vip_difference` that of VIP's paper. Neither has a scale: both are divided by d_0, as VIP's own
curves are.

What it costs to lie in [0, 1]: further from the goal than at the start, all is 0 to `vip`. To `vip_difference` standing
still is 1/2, so that coming nearer and going away weigh alike; with the offset a step then costs 1/2, not 1, and all
that an episode can gain is 1/2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mpr.reward.model import Given, RewardModel, Track

if TYPE_CHECKING:
    from torch import Tensor

    from mpr.core.data.clip import FrameSource
    from mpr.core.data.episode import Episode

    VectorsOf = Callable[[FrameSource], Tensor]  # frames -> one vector each [T, D]

NEAREST = 1e-6  # a start no further from the goal than this counts as so far: nothing is divided by 0


class VipReward(RewardModel):
    """How near to the goal each step leads, as a share of the way from the start."""

    sees, compares, of_states = True, True, True
    objective: ClassVar[str] = "vip"
    nulls: ClassVar[tuple[str, ...]] = ("pixels", "untrained")

    def __init__(self, embed: VectorsOf, track: Track, goal: NDArray[np.uint8]) -> None:
        """`embed` may be anything that makes vectors of frames; `goal` is [256, 256, 3]."""
        self.embed, self.track, self.goal = embed, track, goal
        self.goal_vector = embed([goal])[0]

    @classmethod
    def of(cls, given: Given) -> Self:
        """Raises BadCheckpoint for a representation that cannot be read, is still in training, or is no VIP's."""
        from mpr.core.checkpoints import refuse_unfinished
        from mpr.representations.checkpoint import load_representation

        assert given.representation is not None and given.track is not None and given.goal is not None
        refuse_unfinished(given.representation, "mpr pretrain")
        return cls(load_representation(given.representation, cls.objective)[0], given.track, given.goal)

    def null_model(self, name: str) -> Self:
        """Distances of raw pixels at 32 x 32 (`pixels`), or of the same network `untrained`, for the learned ones."""
        from mpr.representations.checkpoint import Representation, pixel_vectors, untrained_representation

        if name == "pixels":
            return type(self)(pixel_vectors, self.track, self.goal)
        assert isinstance(self.embed, Representation)
        return type(self)(untrained_representation(self.embed)[0], self.track, self.goal)

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """1 - d_{t+1} / d_0 of each step [T], clipped to 0 to 1; 0 over a gap."""
        far, gaps = self.distances(episode)
        return np.where(gaps, 0, np.clip(1 - far[1:] / far[0], 0, 1)).astype(np.float32)

    def distances(self, episode: Episode) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """How far each frame [T+1] is from the goal, the first at least `NEAREST`; and which steps [T] are gaps.

        Raises UserError where the goal image is one of the episode's own frames.
        """
        from mpr.representations.goal_value import goal_value
        from mpr.reward.goal import FramesBesideGoal

        with self.track(episode) as clip:
            vectors = self.embed(FramesBesideGoal(clip.frames, self.goal))
        far = -goal_value(vectors, self.goal_vector).double().numpy()
        far[0] = max(far[0], NEAREST)
        return far, clip.gaps


class VipDifferenceReward(VipReward):
    """How much nearer to the goal each step leads."""

    of_states, neutral = False, 0.5

    def score(self, episode: Episode) -> NDArray[np.float32]:
        """1/2 + (d_t - d_{t+1}) / (2 d_0) of each step [T], clipped to 0 to 1; 0 over a gap."""
        far, gaps = self.distances(episode)
        nearer = (far[:-1] - far[1:]) / far[0]
        return np.where(gaps, 0, np.clip((1 + nearer) / 2, 0, 1)).astype(np.float32)
