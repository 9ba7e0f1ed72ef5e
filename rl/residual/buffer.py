"""Replay for episodes whose reward is known only when they are over, and half batches of demonstrations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def buffer_bytes(rows: int, observation: int, action: int) -> int:
    """Bytes of a float32 buffer: two observations, an action, reward, done and time-out a row."""
    return 4 * rows * (2 * observation + action + 3)


class ResidualBuffer(ReplayBuffer):
    """stable-baselines3's replay buffer, whose last episode's rewards can be rewritten.

    Time-outs are kept apart from terminations: a sample's `dones` is 1 for success alone. Once `demonstrations` is
    set, the smaller half of every batch is drawn from there. Draws come from NumPy's global generator.

    n_steps, gamma: samples hold n-step returns as stable_baselines3's NStepReplayBuffer makes them: the discounted
    rewards of up to so many steps, cut at an episode's end, and the discount of what follows.
    """

    demonstrations: ReplayBuffer | None = None

    def __init__(self, *args: Any, n_steps: int = 1, gamma: float = 0.99, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_steps, self.gamma = n_steps, gamma

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in ARRAYS)

    def rewrite_rewards(self, rewards: NDArray[np.float32]) -> None:
        """Replace the rewards of the last episode, float32 [T]; it must be complete and the last thing stored."""
        steps = len(rewards)
        if self.n_envs != 1 or not 0 < steps <= self.size():
            raise ValueError(f"cannot rewrite {steps} rewards: {self.size()} rows of {self.n_envs} environments")
        rows = (self.pos - steps + np.arange(steps)) % self.buffer_size
        begins = steps == self.size() or self.dones[rows[0] - 1, 0] == 1
        if not begins or self.dones[rows[-1], 0] != 1 or self.dones[rows[:-1], 0].any():
            raise ValueError(f"the last {steps} transitions are not one complete episode")
        self.rewards[rows, 0] = rewards

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        if self.demonstrations is None:
            return super().sample(batch_size, env)
        return joined(
            super().sample(batch_size - batch_size // 2, env), self.demonstrations.sample(batch_size // 2, env)
        )

    def _get_samples(self, batch_inds: NDArray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """What stable-baselines3 gathers, without its detour through NumPy copies."""
        if env is not None or self.n_envs > 1 or self.optimize_memory_usage:
            if self.n_steps > 1:
                raise NotImplementedError("n-step returns of one plain environment only")
            return super()._get_samples(batch_inds, env)
        observations, actions = (self._take(name, batch_inds) for name in ("observations", "actions"))
        last, rewards, discounts = self._returns(batch_inds) if self.n_steps > 1 else (batch_inds, None, None)
        following, dones, timeouts = (self._take(name, last) for name in ("next_observations", "dones", "timeouts"))
        rewards = self._take("rewards", last) if rewards is None else rewards
        dones = (dones * (1 - timeouts)).unsqueeze(1)
        return ReplayBufferSamples(observations, actions, following, dones, rewards.unsqueeze(1), discounts)

    def _take(self, name: str, rows: NDArray) -> torch.Tensor:
        return (
            torch.from_numpy(getattr(self, name)).select(1, 0).index_select(0, torch.from_numpy(rows)).to(self.device)
        )

    def _returns(self, first: NDArray) -> tuple[NDArray, torch.Tensor, torch.Tensor]:
        """Of returns that begin at rows `first` [B]: their last rows, sums of rewards [B], and discounts [B, 1]."""
        ahead = np.arange(self.n_steps)
        rows = (first[:, None] + ahead) % self.buffer_size
        ends = (self.dones[rows, 0] > 0) | (rows == (self.pos - 1) % self.buffer_size)  # what follows is not stored
        steps = np.where(ends.any(1), ends.argmax(1), self.n_steps - 1)  # before the last one
        powers = np.where(ahead <= steps[:, None], self.gamma**ahead, 0.0).astype(np.float32)
        rewards = (powers * self.rewards[rows, 0]).sum(1)
        discounts = (self.gamma ** (steps + 1)).astype(np.float32)[:, None]
        to = self.device
        return rows[np.arange(len(rows)), steps], torch.from_numpy(rewards).to(to), torch.from_numpy(discounts).to(to)

    def arrays(self) -> dict[str, NDArray]:
        """The rows in use, and where the next one goes: all there is to save."""
        return {name: getattr(self, name)[: self.size()] for name in ARRAYS} | {"pos": np.array(self.pos)}

    def restore(self, arrays: dict[str, NDArray]) -> None:
        """Take over what `arrays` gave. Raises ValueError where it does not fit this buffer."""
        rows = len(arrays["rewards"])
        for name in ARRAYS:
            here, there = getattr(self, name), arrays[name]
            if rows > self.buffer_size or here.shape[1:] != there.shape[1:]:
                raise ValueError(f"{name} is {there.shape} there, at most {here.shape} here")
            here[:rows] = there
        self.pos, self.full = int(arrays["pos"]), rows == self.buffer_size


def joined(first: ReplayBufferSamples, second: ReplayBufferSamples) -> ReplayBufferSamples:
    """Two batches as one."""
    pairs: list[Any] = [None if a is None else torch.cat([a, b]) for a, b in zip(first, second, strict=True)]  # type: ignore[arg-type]
    return ReplayBufferSamples(*pairs)
