"""Who practises on the arm: the actor that was handed over last, beside the base policy, and what it saw and did."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.errors import UserError, in_brief
from rl.policies.residual import ResidualPolicy
from rl.residual.config import FinetuneConfig
from rl.residual.episode_learner import PractisedEpisode, manual_seed
from rl.residual.fast.update import actor_forward
from rl.residual.learner_process import HandedOver
from rl.residual.reward_form import RewardForm
from rl.residual.rewards import learned_from, rewards_of_signal
from robot.environment import Observation
from robot.hardware.action import ACTION_SIZE
from robot.learning.signal import EpisodeSignal
from robot.practice.environment import flat_observation
from robot.practice.features import NO_FEATURES, ImageFeatures
from robot.session import ArmResidual


@dataclass
class EpisodeClock:
    """When an episode's parts began, on the wall's clock, seconds."""

    asked: float = 0.0  # for its reset
    moving: float = 0.0
    ended: float = 0.0
    rewarded: float = 0.0


class Practising(ArmResidual):
    """Acts with the newest actor, shows the reward what cameras see, and makes an episode what a learner takes.

    Its noise is decided by the run's seed and the episode's: whoever is killed acts the same again.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        policy: ResidualPolicy,
        signal: EpisodeSignal,
        form: RewardForm,
        features: ImageFeatures = NO_FEATURES,
    ) -> None:
        self.config, self.policy, self.signal, self.form, self.features = config, policy, signal, form, features
        self.clock = EpisodeClock()
        self.learned: PractisedEpisode | None = None  # of the episode that ended last
        self.trouble = ""  # why it could not be scored as it should
        self.scored: Episode | None = None  # with its rewards
        self.asked = time.perf_counter()  # for a reset
        self._seen: list[NDArray[np.float32]] = []
        self._handed: HandedOver | None = None

    def take(self, handed: HandedOver) -> None:
        """Practise with this actor from the next episode on."""
        self._handed = handed
        self.policy.load_state_dict(dict(handed.actor))

    @property
    def by_actor(self) -> bool:
        """Whether residuals are the actor's: before the first update they are the warm-up's."""
        handed, config = self._handed, self.config
        return handed is not None and handed.updates > config.critic_warmup

    def begin(self, seed: int) -> None:
        asked = self.clock.ended or self.asked  # of an episode that is redone: when it ended
        self.clock = EpisodeClock(asked, time.perf_counter())
        self._seen, self.learned, self.trouble = [], None, ""
        self._noise = manual_seed(self.config.seed, seed)
        self.signal.begin()

    def saw(self, observation: Observation, time_s: float) -> None:
        self._seen.append(flat_observation(observation, self.features))
        self.signal.saw({name: value for name, value in observation.items() if value.dtype == np.uint8}, time_s)
        self.clock.ended = time.perf_counter()

    @torch.inference_mode()
    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The residual [8] for what was seen last."""
        if not self.by_actor:
            reach = self.config.warmup_range
            return np.float32(reach) * (2 * torch.rand(ACTION_SIZE, generator=self._noise).numpy() - 1)
        noise = torch.randn(1, ACTION_SIZE, generator=self._noise)
        shown = self.policy.actor.features_extractor(torch.from_numpy(self._seen[-1][None]))
        return actor_forward(self.policy.actor, shown, noise).action[0].numpy()

    def finish(self, episode: Episode) -> Episode:
        """The episode with its rewards; what the learner takes of it is `learned`, why it has no signal `trouble`."""
        try:
            signal = self.signal.of(episode)
        except Exception as error:  # a marked episode is not lost for what a library made of its frames
            self.trouble = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {in_brief(error)}"
            signal = np.zeros(len(episode), np.float32)
        kept = learned_from(episode)
        rewards = rewards_of_signal(signal, episode, self.form, kept)
        assert episode.residual_actions is not None
        residuals = episode.residual_actions.astype(np.float32)
        seen, led = np.array(self._seen), episode.log.led
        self.learned = PractisedEpisode(seen, residuals, rewards, kept, episode.truncated, led)
        self.clock.rewarded = time.perf_counter()
        self.scored = replace(episode, log=replace(episode.log, reward=rewards.astype(np.float64)))
        return self.scored

    def wait(self) -> None:
        """The episode is done with: what comes now is the reset of the next."""
        self.scored, self.clock, self.asked = None, EpisodeClock(), time.perf_counter()

    def seconds(self, saved: float, updated: float) -> dict[str, Any]:
        """Where the time of the episode went, which was saved and learned from at the times given."""
        clock = self.clock
        return {
            "resetting": clock.moving - clock.asked,
            "moving": clock.ended - clock.moving,
            "reward": clock.rewarded - clock.ended,
            "saving": saved - clock.rewarded,
            "updates": updated - saved,
        }
