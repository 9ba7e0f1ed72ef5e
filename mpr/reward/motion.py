"""The paper's reward: agreement of predicted and tracked object motion, per step of a finished episode."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from mpr.reward import MOVED
from mpr.scoring import DeltaModel, agreements, score_moving
from tracking.clip import TrackedClip

Track = Callable[[Episode], AbstractContextManager[TrackedClip]]


class MotionReward:
    """Tracks the episode (mpr.tracked.track_episode gives ways to), predicts, compares. No camera compensation."""

    def __init__(self, model: DeltaModel, track: Track, moved: float = MOVED) -> None:
        self.model, self.track, self.moved = model, track, moved

    def score(self, episode: Episode) -> NDArray[np.float32]:
        with self.track(episode) as clip:
            return agreements(score_moving(clip, self.model, self.moved), self.moved)
