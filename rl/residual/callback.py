"""Rewards written into the replay buffer when an episode is over, before the updates that use them."""

from __future__ import annotations

import time

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.reward.model import RewardModel
from rl.residual.buffer import ResidualBuffer
from rl.residual.reward_form import RewardForm
from rl.residual.rewards import rewards_of_signal, step_signal
from rl.residual.shaping import potentials

_PLAIN = RewardForm()


class EpisodeRewards(BaseCallback):
    """Asks `reward` about each finished episode. For `train_freq=(1, "episode")` and a PracticeEnvironment.

    `episode`, `rewards` [T], `seconds` (spent scoring) and `rollout_seconds` tell of the last one.
    """

    def __init__(self, reward: RewardModel, form: RewardForm = _PLAIN) -> None:
        super().__init__()
        self.reward, self.form = reward, form
        self.episode: Episode | None = None
        self.rewards = np.zeros(0, np.float32)
        self.seconds = self.rollout_seconds = self._started = 0.0

    def _init_callback(self) -> None:
        model = self.model
        assert isinstance(model, OffPolicyAlgorithm)
        if not isinstance(model.replay_buffer, ResidualBuffer):
            raise ValueError(f"rewards can be rewritten in a ResidualBuffer, this is a {type(model.replay_buffer)}")
        if model.n_envs != 1:
            raise ValueError(f"rewards come episode by episode, of one environment: these are {model.n_envs}")
        if model.train_freq != TrainFreq(1, TrainFrequencyUnit.EPISODE):
            raise ValueError(f'rewards come episode by episode: train_freq=(1, "episode"), not {model.train_freq}')

    def _on_rollout_start(self) -> None:
        self._started = time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        (episode,) = self.training_env.get_attr("finished")
        buffer = getattr(self.model, "replay_buffer")  # noqa: B009  BaseAlgorithm does not declare it
        if len(episode) > buffer.buffer_size:
            raise UserError(f"--buffer {buffer.buffer_size}: an episode of {len(episode)} steps does not fit into it")
        start = time.perf_counter()
        self.rollout_seconds = start - self._started
        signal, form = step_signal(self.reward, episode), self.form
        self.rewards = rewards_of_signal(signal, episode, form, buffer.kept, self.reward.whole)
        self.seconds = time.perf_counter() - start
        buffer.rewrite_rewards(
            self.rewards, potentials(signal, buffer.kept, form.signal_weight) if form.potential else None
        )
        self.episode = episode
        self.logger.record("rollout/reward_mean", float(self.rewards.mean()))
        self.logger.record("rollout/success", float(episode.success))
        self.logger.record("time/reward_seconds", self.seconds)
