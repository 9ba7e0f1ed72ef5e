"""From a reward model's agreement to the rewards that are learned from; and the rewards known by name.

r_t = agreement_t - 1 + bonus * [success at step t] for every reward. What `agreement` is, is the reward's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from mpr.reward import BONUS, MOVED, training_reward
from mpr.rewards import RewardModel
from mpr.rewards.any_motion import AnyMotionReward
from mpr.rewards.motion import MotionReward
from mpr.rewards.none import NoReward
from mpr.rewards.sparse import SparseReward
from mpr.tracked import TRACKERS
from tracking.errors import UserError

REWARDS = ("motion", "none", "any_motion", "dense", "sparse")
SEEING = ("motion", "any_motion")  # rewards that track what a camera saw: they need recordings


@dataclass(frozen=True)
class Seeing:
    """How a reward that sees looks at an episode."""

    predictor: Path | None = None  # run folder of `mpr train`: for `motion`
    tracker: str = "exact"  # or lucas_kanade
    view: str = "front"  # camera
    moved: float = MOVED  # pixels of 256: a point tracked to move less counts 0


def check_reward(name: str, seeing: Seeing) -> None:
    """Raises UserError for a reward that does not exist, or that lacks its predictor."""
    if name not in REWARDS:
        raise UserError(f"no reward '{name}' here; there is {', '.join(REWARDS)}")
    if name == "motion" and seeing.predictor is None:
        raise UserError("reward 'motion' needs --predictor RUN, a run folder of `mpr train`")
    if seeing.tracker not in TRACKERS:
        raise UserError(f"tracker '{seeing.tracker}': there is {', '.join(TRACKERS)}")


def find_reward(name: str, task: str, seeing: Seeing | None = None) -> RewardModel:
    """The reward of that name for a kitchen task. Raises UserError as `check_reward` does, for a view that does not
    exist, BadCheckpoint for a predictor that cannot be read or is still in training, and NoGL where a reward that sees
    could not."""
    seeing = seeing or Seeing()
    check_reward(name, seeing)
    if name == "none":
        return NoReward()
    if name == "sparse":
        return SparseReward()
    from rl.kitchen.dense import DenseReward
    from rl.kitchen.tasks import find_task
    from rl.kitchen.tracked import tracked_from

    if name == "dense":
        return DenseReward(find_task(task))
    track = tracked_from(find_task(task), seeing.view, seeing.tracker)
    if name == "any_motion":
        return AnyMotionReward(track, seeing.moved)
    from mpr.checkpoint import load_predictor, refuse_unfinished
    from mpr.predicted import PredictedDeltas

    assert seeing.predictor is not None
    refuse_unfinished(seeing.predictor, "mpr train")
    return MotionReward(PredictedDeltas(load_predictor(seeing.predictor)), track, seeing.moved)


def step_rewards(reward: RewardModel, episode: Episode, bonus: float = BONUS) -> NDArray[np.float32]:
    """r_t float32 [T]; a success is at the last step. Raises ValueError for agreement of another shape or range."""
    agreement = reward.score(episode)
    if agreement.shape != (len(episode),):
        raise ValueError(f"{type(reward).__name__} gave {agreement.shape} for an episode of {len(episode)} steps")
    success = np.zeros(len(episode), bool)
    success[-1] = episode.success
    return training_reward(agreement, success, bonus)
