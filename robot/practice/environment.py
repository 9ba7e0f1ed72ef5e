"""`FrankaEnv` as the learner meets it: flat observations, a residual, and the episode with its recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from rl.data.demonstrations import BadDemonstration
from rl.environments.practice import Stopped
from rl.environments.residual import observe
from rl.environments.starts import OwnStarts, Starts
from rl.policies.base_policy import BasePolicy
from robot.environment import FrankaEnv, Observation
from robot.hardware.action import ACTION_SIZE, bounded, correction_between
from robot.hardware.counting import FROM_MEASURED
from robot.practice.features import NO_FEATURES, ImageFeatures
from robot.practice.twin import TwinRecorder
from robot.simulated.expert import DoorExpert
from robot.teleop.operator import Mark

_STATE = 8  # position, quaternion xyzw, gripper width


class ArmPractice(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]], OwnStarts):
    """Observation float32 [16 + F]: the arm's state [8], features [F] of what its cameras see, where it is asked for
    them, then the base policy's action [8]. Action [8]: the residual.

    A held step is no action: its `info` holds `unsent`, and a late one's `gap`, by which a replay buffer leaves them
    out. `recorder`: notes the scene, where a simulator can; finished episodes then hold a recording. `step` and `reset`
    raise Stopped where the operator quits. `reset` asks the operator, so a learner takes it in a vector that does
    not reset of its own accord (`rl.residual.one_at_a_time`).
    """

    metadata = {"render_modes": []}  # noqa: RUF012  gymnasium's own declaration
    has_success = True

    def __init__(
        self, env: FrankaEnv, recorder: TwinRecorder | None = None, features: ImageFeatures = NO_FEATURES
    ) -> None:
        self.env, self.recorder, self.features = env, recorder, features
        known = _STATE + features.size
        self.observation_space = Box(-np.inf, np.inf, (known + ACTION_SIZE,), np.float32)
        self.action_space = Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        self.state_slice, self.base_slice = slice(0, _STATE), slice(known, known + ACTION_SIZE)
        self.finished: Episode | None = None
        self._rewards: list[float] = []

    @property
    def base(self) -> BasePolicy:
        return self.env.base

    @property
    def rate_hz(self) -> float:
        return 1 / self.env.pace.period

    @property
    def residual_scale(self) -> float:
        return self.env.residual_scale

    @residual_scale.setter
    def residual_scale(self, scale: float) -> None:
        self.env.residual_scale = scale

    @property
    def starts(self) -> Starts:
        return self.env.starts

    @starts.setter
    def starts(self, starts: Starts) -> None:
        self.env.starts = starts

    @property
    def seed(self) -> int:
        """Of the episode that was reset to."""
        return self.env.seed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode as `FrankaEnv.reset` does: observation [16 + F] and its info."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._rewards = []
        if self.recorder is not None:
            self.recorder.begin()
            self.recorder.note()
        return flat_observation(observation, self.features), info

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step by the residual [8], in -1..1: observation [16 + F], reward, terminated, truncated, info.

        Raises Stopped where the operator quits.
        """
        self.starts.practise()
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._rewards.append(reward)
        if self.recorder is not None:
            self.recorder.note()
        if info["mark"] is Mark.QUIT:
            raise Stopped
        if terminated or truncated:
            self.finished = self._whole()
        return flat_observation(observation, self.features), reward, terminated, truncated, info

    def _whole(self) -> Episode:
        episode, self.env.finished = self.env.finished, None
        assert episode is not None
        recording = self.recorder.recording(episode.times, self.rate_hz) if self.recorder else None
        return replace(episode, recording=recording, log=replace(episode.log, reward=np.array(self._rewards)))

    def compose(self, base: NDArray, residual: NDArray) -> NDArray[np.float64]:
        """The action [8] that a base action [8] and a residual [8] make together."""
        return self.env.compose(base, residual)

    def correction(self, base: NDArray, wanted: NDArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The residual [8] that makes `wanted` [8] of a base action [8], and where it falls short, bool [8]."""
        return correction_between(base, wanted, self.residual_scale)

    def features_of(self, episode: Episode) -> NDArray[np.float32]:
        """The features [T+1, F] of each view of a recorded one.

        Raises UserError where it lacks a camera's frames, or its actions count from something else than here.
        """
        check_targets(episode, self.env.guard.targets)
        return self.features.of_episode(episode)

    def ask_base(self, state: NDArray) -> NDArray[np.float64]:
        """The base policy's action [8], within -1..1, for a demonstration's state [8].

        Raises UserError for the expert, which sees where the door is now and not where it was.
        """
        if isinstance(self.base, DoorExpert):
            raise UserError("--base expert looks into the simulator, which no demonstration shows: --demos none")
        action = bounded(np.asarray(self.base.act(np.asarray(state, np.float32)), np.float64))
        if isinstance(wait := getattr(self.base, "wait", None), Callable):  # it plans ahead: here no beat gives it time
            wait()
        return action

    def close(self) -> None:
        self.env.close()


def check_targets(demonstration: Episode, targets: str) -> None:
    """Raises BadDemonstration for one whose actions count from something else (`robot.hardware.counting`)."""
    if (there := demonstration.about.get("targets", FROM_MEASURED)) != targets:
        told = f"demonstration {demonstration.seed} was made with --targets {there}"
        raise BadDemonstration(f"{told}, here it is {targets}: its actions mean something else")


def flat_observation(observation: Observation, features: ImageFeatures = NO_FEATURES) -> NDArray[np.float32]:
    """What a learner is shown of it, [16 + F]: the arm's state [8], the images' features [F], the base's action [8]."""
    known = [observation["pose"], observation["width"], features.of(observation)]
    return observe(np.concatenate(known), observation["base_action"])
