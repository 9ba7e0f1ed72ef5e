"""Replay for episodes whose reward is known only when they are over, and demonstrations in every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts", "potentials")


_LEFT_OUT = ("gap", "unsent")  # what an info says of a step that is no sample: a gap (mpr.core.data.steps), an arm held


class ResidualBuffer(ReplayBuffer):
    """stable-baselines3's replay buffer, whose last episode's rewards can be rewritten.

    A step whose info holds "gap" or "unsent" is left out, and counted in `left_out`. The row before it ends as at a
    time-out: returns do not run on over what is missing, they are bootstrapped there. An episode that terminates in
    such a step terminates with its last row, which is paid that step's reward as well: no success is lost.

    Time-outs are kept apart from terminations: a sample's `dones` is 1 only for success. Once `demonstrations` is
    set, `demo_fraction` of every batch, rounded down, is drawn from there. Draws come from NumPy's global generator.

    n_steps, gamma: samples hold n-step returns as stable_baselines3's NStepReplayBuffer makes them: the discounted
    rewards of up to so many steps, cut at an episode's end, and the discount of what follows. Raises ValueError where
    they are none, or of several environments or optimize_memory_usage, of which it makes only returns of one step.

    potential: beside each row stands the potential (rl.residual.shaping) before and after it, 0 until rewards are
    rewritten. Samples show it as one number more behind their observations, times 1 - gamma: what a reward of 1 a
    step, for ever, is worth is then 1. Of one environment, as above.
    """

    demonstrations: ReplayBuffer | None = None
    demo_fraction: float = 0.5
    left_out: int = 0
    potential: bool = False  # of a buffer that was saved before there were any
    _kept: Sequence[bool] = ()  # which steps of the last episode are rows
    _over: bool = True

    def __init__(
        self, *args: Any, n_steps: int = 1, gamma: float = 0.99, potential: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if n_steps < 1 or n_steps != int(n_steps) or not 0 <= gamma <= 1:
            raise ValueError(f"n_steps={n_steps}, gamma={gamma}: a whole number of steps, at least 1, and 0 to 1")
        if (n_steps > 1 or potential) and (self.n_envs > 1 or self.optimize_memory_usage):
            what = f"{self.n_envs} environments" if self.n_envs > 1 else "optimize_memory_usage"
            asked = f"n_steps={n_steps}" if n_steps > 1 else "potential=True"
            raise ValueError(
                f"{asked} with {what}: ResidualBuffer makes such returns of one environment and all it saw; "
                "stable-baselines3's NStepReplayBuffer takes several"
            )
        self.n_steps, self.gamma, self.potential = int(n_steps), gamma, potential
        if potential:
            self.potentials = np.zeros((self.buffer_size, 1, 2), np.float32)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """[T] Which steps of the last episode are rows."""
        return np.array(self._kept, bool)

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in _ARRAYS if hasattr(self, name))

    def add(
        self,
        obs: NDArray,
        next_obs: NDArray,
        action: NDArray,
        reward: NDArray,
        done: NDArray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep a transition of each of E environments: observations [E, D], actions [E, A], rewards and dones [E].

        Raises ValueError for a step to be left out where rows cannot stand alone: of several environments at once, or
        with `optimize_memory_usage`.
        """
        keep = not any(info.get(flag) for info in infos for flag in _LEFT_OUT)
        if not keep and (self.n_envs > 1 or self.optimize_memory_usage):
            raise ValueError("a gap can be left out only where there is one environment, without optimize_memory_usage")
        self._kept = (*(() if self._over else self._kept), keep)
        self._over = bool(np.any(done))
        if keep:
            if self.potential:
                self.potentials[self.pos] = 0
            super().add(obs, next_obs, action, reward, done, infos)
            return
        self.left_out += 1
        last = self.pos - 1  # where this episode has a row
        if self._kept[-2:-1] == (True,):
            self.dones[last] = self.timeouts[last] = 1
        if self._over and any(self._kept) and not infos[0].get("TimeLimit.truncated"):
            self.timeouts[last] = 0
            self.rewards[last] += reward

    def add_episode(
        self,
        observations: NDArray,
        actions: NDArray,
        rewards: NDArray[np.float32],
        kept: NDArray[np.bool_],
        truncated: bool,
        potentials: NDArray[np.floating] | None = None,
    ) -> None:
        """Keep T steps that are whole: observations [T+1, D], actions [T, A], rewards [T], which are kept [T].

        `truncated`: what would have followed counts. `potentials` [T, 2] as for `rewrite_rewards`.
        """
        last = len(rewards) - 1
        for t, action in enumerate(actions):
            info = {"TimeLimit.truncated": t == last and truncated, "gap": not kept[t]}
            now, following, done = observations[t : t + 1], observations[t + 1 : t + 2], np.array([t == last])
            self.add(now, following, action[None], rewards[t : t + 1], done, [info])
        self.rewrite_rewards(rewards, potentials)

    def rewrite_rewards(self, rewards: NDArray[np.float32], potentials: NDArray[np.floating] | None = None) -> None:
        """Replace the rewards of the last episode, float32 [T], those of steps that were left out included; it must be
        complete and the last thing stored. `potentials` [T, 2]: before and after each step, for who keeps them."""
        if (potentials is not None) != self.potential:
            raise ValueError(f"potentials are {'' if self.potential else 'not '}kept here")
        steps = len(rewards)
        kept = np.array(self._kept or [True] * steps, bool)
        count = int(kept.sum())
        if self.n_envs != 1 or not steps or len(kept) != steps or count > self.size():
            raise ValueError(f"cannot rewrite {steps} rewards: {self.size()} rows of {self.n_envs} environments")
        if not count:
            return
        rows = (self.pos - count + np.arange(count)) % self.buffer_size
        ends = np.append(~kept[1:], True)[kept]  # of the episode, and before what was left out
        begins = count == self.size() or self.dones[rows[0] - 1, 0] == 1
        if not self._over or not begins or (self.dones[rows, 0] != ends).any():
            raise ValueError(f"the last {steps} transitions are not one complete episode")
        self.rewards[rows, 0] = np.asarray(rewards)[kept]
        if potentials is not None:
            self.potentials[rows, 0] = potentials[kept]

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        if self.demonstrations is None:
            return super().sample(batch_size, env)
        of_demonstrations = int(batch_size * self.demo_fraction)
        return joined(
            super().sample(batch_size - of_demonstrations, env), self.demonstrations.sample(of_demonstrations, env)
        )

    def batches(self, count: int, batch_size: int) -> Iterator[ReplayBufferSamples]:
        """What `sample` would give that many times in turn: the same draws, each array gathered once for all."""
        other = self.demonstrations
        if self.n_envs > 1 or self.optimize_memory_usage or not isinstance(other, ResidualBuffer | None):
            yield from (self.sample(batch_size) for _ in range(count))
            return
        theirs = 0 if other is None else int(batch_size * self.demo_fraction)
        sources = [(self, batch_size - theirs), *([] if other is None else [(other, theirs)])]
        drawn = [[np.random.randint(0, source.size(), rows) for source, rows in sources] for _ in range(count)]
        gathered = [
            source._get_samples(np.concatenate(rows))
            for (source, _), rows in zip(sources, zip(*drawn, strict=True), strict=True)
        ]
        parts = [[None if a is None else a.unflatten(0, (count, -1)) for a in some] for some in gathered]
        arrays = [None if a[0] is None else torch.cat(a, 1) for a in zip(*parts, strict=True)]  # [count, B, ...]
        for k in range(count):
            one: list[Any] = [None if a is None else a[k] for a in arrays]
            yield ReplayBufferSamples(*one)

    def _get_samples(self, batch_inds: NDArray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """What stable-baselines3 gathers, without its detour through NumPy copies."""
        if env is not None or self.n_envs > 1 or self.optimize_memory_usage:
            if self.n_steps > 1 or self.potential:
                raise NotImplementedError("n-step returns and potentials of one plain environment only")
            return super()._get_samples(batch_inds, env)
        observations, actions = (self._take(name, batch_inds) for name in ("observations", "actions"))
        last, rewards, discounts = self._returns(batch_inds) if self.n_steps > 1 else (batch_inds, None, None)
        following, dones, timeouts = (self._take(name, last) for name in ("next_observations", "dones", "timeouts"))
        rewards = self._take("rewards", last) if rewards is None else rewards
        dones = (dones * (1 - timeouts)).unsqueeze(1)
        if self.potential:
            scale = 1 - self.gamma or 1.0
            before, after = self._take("potentials", batch_inds)[:, :1], self._take("potentials", last)[:, 1:]
            observations = torch.cat([observations, scale * before.to(observations.dtype)], 1)
            following = torch.cat([following, scale * after.to(following.dtype)], 1)
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
        """The N rows in use, [N, E, ...] by name, and where the next one goes: all there is to save."""
        return {name: getattr(self, name)[: self.size()] for name in self._kept_arrays} | {"pos": np.array(self.pos)}

    @property
    def _kept_arrays(self) -> list[str]:
        return [name for name in _ARRAYS if name != "potentials" or self.potential]

    def restore(self, arrays: dict[str, NDArray]) -> None:
        """Take over what `arrays` gave, [N, E, ...] by name.

        Raises ValueError where it does not fit this buffer.
        """
        rows = len(arrays["rewards"])
        for name in self._kept_arrays:
            here, there = getattr(self, name), arrays[name]
            if rows > self.buffer_size or here.shape[1:] != there.shape[1:]:
                raise ValueError(f"{name} is {there.shape} there, at most {here.shape} here")
            here[:rows] = there
        pos = int(arrays["pos"])
        if pos not in (0, rows) and rows < self.buffer_size:
            raise ValueError(f"a full buffer of {rows} rows that goes on at row {pos} fits only one as large")
        self.pos, self.full = (pos or rows) % self.buffer_size, rows == self.buffer_size
        self._kept, self._over = (), True


def joined(first: ReplayBufferSamples, second: ReplayBufferSamples) -> ReplayBufferSamples:
    """Two batches as one."""
    pairs: list[Any] = [None if a is None else torch.cat([a, b]) for a, b in zip(first, second, strict=True)]  # type: ignore[arg-type]
    return ReplayBufferSamples(*pairs)
