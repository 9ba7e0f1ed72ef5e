"""A learner that is given whole episodes and makes the updates it owes for them, as there is time for them.

    add(episode)   into the replay buffer, and the updates that it is worth are owed: `utd` a step
    update(n)      n of those, fewer where fewer are owed

Whoever practises elsewhere (`rl.residual.learner_process`) decides when which of the two happens. Updates may be made
one by one or all at once: the same order of episodes and counts of updates gives the same bytes. It acts nowhere, and
knows neither environment nor reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger
from torch import Tensor

from mpr.core.checkpoints import reading
from rl.environments.starts import OwnStarts, Starts
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer
from rl.residual.checkpoint import restore_residual, save_residual_checkpoint
from rl.residual.config import FinetuneConfig
from rl.residual.train import make_learner
from tracking.masks.lost import stretches

_SHOWN = "shown.npz"  # of a checkpoint: demonstrations, where hands have added to them


@dataclass(frozen=True)
class Sizes:
    """Numbers of what is practised: D of what is known (a state, features), A of an action. An observation is both."""

    state: int
    action: int


@dataclass(frozen=True)
class PractisedEpisode:
    """T steps as a learner takes them."""

    observations: NDArray[np.float32]  # [T+1, D + A]: state, features of images, base policy's action
    residuals: NDArray[np.float32]  # [T, A] in -1..1
    rewards: NDArray[np.float32]  # [T]
    kept: NDArray[np.bool_]  # [T] which steps are transitions to learn from
    truncated: bool  # ended without success: what would have followed counts
    led: NDArray[np.bool_] | None = None  # [T] which of them a person's hand led: they also count as demonstrations

    def __post_init__(self) -> None:
        steps = len(self.rewards)
        if not steps or len(self.observations) != steps + 1 or not len(self.residuals) == len(self.kept) == steps:
            lengths = f"{len(self.observations)} observations, {len(self.residuals)} residuals, {len(self.kept)} flags"
            raise ValueError(f"an episode of {steps} rewards: {lengths}")


class PractisedSpaces(gymnasium.Env[NDArray, NDArray], OwnStarts):
    """Where nobody practises: it has the spaces of where somebody does."""

    def __init__(self, sizes: Sizes) -> None:
        self.observation_space = Box(-np.inf, np.inf, (sizes.state + sizes.action,), np.float32)
        self.action_space = Box(-1.0, 1.0, (sizes.action,), np.float32)
        self.state_slice, self.base_slice = slice(0, sizes.state), slice(sizes.state, sizes.state + sizes.action)
        self.starts = Starts("training", None)


class EpisodeLearner:
    """Residual SAC (`rl.residual.algorithm`) on episodes that come whole."""

    def __init__(self, config: FinetuneConfig, sizes: Sizes, compiled: bool = False) -> None:
        self.config = config
        environment: Any = PractisedSpaces(sizes)
        self.model: ResidualSAC = make_learner(config, environment, compiled)
        self.model.set_logger(Logger(None, []))
        self._debts: list[int] = []  # updates still to be made for each episode, the oldest first
        self._made = 0  # of the first of them
        self._shown = self._buffer(config.buffer)  # demonstrations, and what a person's hand did in episodes
        self.given: list[int] = []  # numbers of the episodes
        self._led = False  # whether there is any of the latter

    @property
    def owed(self) -> int:
        """Updates still to be made."""
        return sum(self._debts) - self._made

    @property
    def updates(self) -> int:
        """Made so far, the critics' lessons not counted."""
        return self.model._n_updates

    @property
    def steps(self) -> int:
        """Of the episodes so far."""
        return self.model.num_timesteps

    @property
    def episodes(self) -> int:
        """That it was given."""
        return self.model._episode_num

    def demonstrate(self, arrays: Mapping[str, NDArray]) -> None:
        """Take demonstrations, what `ResidualBuffer.arrays` gave of them [N, 1, ...], into every batch from now on."""
        self._shown = self._buffer(len(arrays["rewards"]) + self.config.buffer)
        self._shown.restore(dict(arrays))
        self.model.set_demonstrations(self._shown, self.config.demo_fraction)

    def _buffer(self, rows: int) -> ResidualBuffer:
        spaces = self.model.observation_space, self.model.action_space
        return ResidualBuffer(rows, *spaces, self.model.device, **self.config.returns)

    def learn_critics(self) -> None:
        """The critics' lessons from demonstrations, where there are any."""
        if lessons := self.config.critic_lessons:
            self.model.pretrain_critic(lessons, self.config.batch)

    def add(self, episode: PractisedEpisode, number: int | None = None) -> None:
        """Take an episode, of a number if it has one; once there were enough steps, its updates are owed."""
        model, buffer, last = self.model, self.model.buffer, len(episode.rewards) - 1
        store_steps(buffer, episode, 0, last)
        if episode.led is not None and self.config.demo_fraction > 0:
            for first, end in stretches(episode.led):
                store_steps(self._shown, episode, first, end)
            self._show_hands(bool(episode.led.any()))
        before, model.num_timesteps = model.num_timesteps, model.num_timesteps + len(episode.rewards)
        model._episode_num += 1
        self.given.append(model._episode_num if number is None else number)
        if model.num_timesteps > self.config.learning_starts and buffer.size():
            debt = round(self.config.utd * model.num_timesteps) - round(self.config.utd * before)
            self._debts += [debt] if debt else []

    def _show_hands(self, led: bool) -> None:
        """Draw from demonstrations, where hands have shown the first there are."""
        self._led = self._led or led
        if self._shown.size() and self.model.buffer.demonstrations is None:
            self.model.set_demonstrations(self._shown, self.config.demo_fraction)

    def update(self, most: int) -> int:
        """Make up to so many of the updates owed, for one episode. Returns how many it made."""
        if not self._debts:
            return 0
        count = min(most, self._debts[0] - self._made)
        self.model.make_updates(count, self.config.batch)
        self._made += count
        if self._made == self._debts[0]:  # an episode's are done: the average goes where they led
            self.model.average_actor(self._debts.pop(0))
            self._made = 0
        return count

    def actor(self) -> dict[str, Tensor]:
        """The weights of the policy's actor as they stand, each of any shape [...]; a copy."""
        return {name: weight.detach().cpu().clone() for name, weight in self.model.policy.state_dict().items()}

    def figures(self) -> dict[str, float]:
        """Losses of the last updates, by name."""
        logged = self.model.logger.name_to_value.items()
        return {name.split("/")[1]: float(value) for name, value in logged if name.startswith("train/")}

    def save(self, run: Path, episodes: int, about: Mapping[str, Any]) -> None:
        """Write the run's checkpoint after so many episodes. `about`: JSON values to keep beside."""
        mine = {**about, "debts": self._debts, "debt_made": self._made, "given": self.given}
        save_residual_checkpoint(run, episodes, self.model, mine, {_SHOWN: self._shown.arrays()} if self._led else {})

    def restore(self, checkpoint: Path) -> dict[str, Any]:
        """Stand as when that checkpoint folder was written: its checkpoint.json. Raises BadCheckpoint."""
        about = restore_residual(checkpoint, self.model)
        self._debts, self._made = list(about.get("debts", ())), about.get("debt_made", 0)
        self.given = list(about.get("given", range(1, self.episodes + 1)))
        if (checkpoint / _SHOWN).exists():
            with reading(checkpoint / _SHOWN), np.load(checkpoint / _SHOWN, allow_pickle=False) as z:
                self._shown.restore(dict(z))
            self._show_hands(True)
        return about


def store_steps(buffer: ResidualBuffer, episode: PractisedEpisode, first: int, last: int) -> None:
    """Add steps `first` to `last` of an episode; where it goes on after them, what follows counts."""
    some, goes_on = slice(first, last + 1), last < len(episode.rewards) - 1
    seen, kept = episode.observations[first : last + 2], episode.kept[some]
    buffer.add_episode(seen, episode.residuals[some], episode.rewards[some], kept, goes_on or episode.truncated)


def manual_seed(seed: int, episode: int) -> torch.Generator:
    """What an episode's residuals draw their noise from: decided by seed and number, whatever went before."""
    mixed = np.random.SeedSequence([seed, episode]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
