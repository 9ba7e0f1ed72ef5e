"""Reward models: an episode in, one number per step out, before offset and bonus.

Modules of rewards import what is heavy where it is used: a command reads a reward's class before it works.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mpr.reward.agreement import MOTION_THRESHOLD_PX

if TYPE_CHECKING:
    from mpr.core.data.clip import TrackedClip
    from mpr.core.data.episode import Episode

Track = Callable[["Episode"], AbstractContextManager["TrackedClip"]]  # mpr.reward.tracked gives ways to


@dataclass(frozen=True)
class Given:
    """What a reward that is asked for by name may be made of."""

    task: str = ""  # of the environment
    predictor: Path | None = None  # run folder of `mpr train`; there for a reward that predicts
    track: Track | None = None  # there for a reward that sees
    motion_threshold_px: float = MOTION_THRESHOLD_PX  # pixels of 256: a point tracked to move less counts 0
    goal_travel: float | None = None  # opening that counts as success, in the task's unit; None: the task's own
    representation: Path | None = None  # run folder of `mpr pretrain`; there for a reward that has an objective
    goal: NDArray[np.uint8] | None = None  # image [256, 256, 3] of the task done; there for a reward that compares


class RewardModel(ABC):
    """Scores each of an episode's T steps."""

    sees: ClassVar[bool] = False  # whether it tracks what a camera saw: then episodes carry recordings
    predicts: ClassVar[bool] = False  # whether it needs a predictor
    objective: ClassVar[str] = ""  # of `mpr pretrain`, where it needs a run of that; empty: it needs none
    compares: ClassVar[bool] = False  # whether it needs an image of the goal
    neutral: ClassVar[float] = 0.0  # what a step is paid that changes nothing
    only: ClassVar[str] = ""  # kind of environment that it is for, as "kitchen"; empty: any
    of_states: ClassVar[bool] = False  # whether a step's number is the worth of the state that it leads to
    constant: ClassVar[bool] = False  # whether it says the same of every step: then there is no signal to weigh
    whole: ClassVar[bool] = False  # whether `score` is all that is learned from: of any size, nothing is added
    nulls: ClassVar[tuple[str, ...]] = ()  # names of the null models that `null_model` makes of it

    @classmethod
    def of(cls, given: Given) -> Self:
        """The one that a command asks for by name. Raises UserError for what is given and does not serve."""
        return cls()

    @abstractmethod
    def score(self, episode: Episode) -> NDArray[np.float32]:
        """Float32 [T] in [0, 1], before offset and bonus (mpr.reward.agreement.training_reward adds them)."""
        ...

    def null_model(self, name: str) -> RewardModel:
        """The same reward without what it has learned, one of `nulls`: whoever equals that one has learned nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no null model '{name}'")
