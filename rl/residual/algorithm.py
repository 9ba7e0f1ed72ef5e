"""SAC for residual RL: stable-baselines3's class, with its whole interface, and what a good base policy asks for.

Different from SAC: half of each batch from demonstrations, critics trained on these before the first episode, a number
of updates proportional to an episode's length, a warm-up that leaves the base policy alone, and faster updates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples, RolloutReturn
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac import SAC

from rl.residual.adam import Stepper, Steppers, apply_gradients, written_out
from rl.residual.buffer import ResidualBuffer
from rl.residual.compiled import compiled, refuse_to_compile
from rl.residual.policy import ResidualPolicy, StackedCritics
from rl.residual.update import actor_forward, actor_gradients, critic_gradients, polyak, td_target
from tracking.errors import UserError


class ResidualSAC(SAC):
    """stable_baselines3.SAC, with ResidualPolicy as its MlpPolicy, and:

    update_ratio: with `gradient_steps=-1`, updates per environment step of the last rollout (the hardware preset: 4).
    warmup: before `learning_starts`, residuals are U[-warmup, warmup]; 0 is the base policy alone, 1 SAC's own way.
    fast: updates by rl.residual.update where they apply (ResidualPolicy on flat observations, no gSDE); else, and with
    fast=False, by stable-baselines3's own `train`. Both compute the same.
    compile: fast updates as one compiled function (rl.residual.compiled): a third faster, other last bits. UserError
    where nothing can be compiled, or where fast updates do not apply.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = SAC.policy_aliases | {"MlpPolicy": ResidualPolicy}

    def __init__(
        self,
        policy: str | type[ResidualPolicy] = ResidualPolicy,
        env: Any = None,
        *args: Any,
        update_ratio: float = 1.0,
        warmup: float = 0.0,
        fast: bool = True,
        compile: bool = False,
        **kwargs: Any,
    ) -> None:
        self.update_ratio, self.warmup, self.fast, self.compile = update_ratio, warmup, fast, compile
        super().__init__(policy, env, *args, **kwargs)

    def _setup_model(self) -> None:
        if self.replay_buffer_class is None and isinstance(self.observation_space, Box) and self.n_steps == 1:
            self.replay_buffer_class = ResidualBuffer  # else stable-baselines3's own choice
        super()._setup_model()
        buffer = self.replay_buffer
        if isinstance(buffer, ResidualBuffer) and buffer.n_steps > 1 and buffer.gamma != self.gamma:
            raise ValueError(
                f"the buffer's returns have gamma {buffer.gamma}, the critics' {self.gamma}: make them one"
            )
        if self.log_ent_coef is not None:  # one number: stable-baselines3's optimizer spends more on it than it costs
            self.ent_coef_optimizer = torch.optim.Adam([self.log_ent_coef], lr=self.lr_schedule(1), fused=True)
        if self.compile:
            if not self._fast_applies:
                raise UserError(
                    "compile is for fast updates alone: it takes fast=True, flat observations, a ResidualPolicy with "
                    "hidden layers, and no gSDE"
                )
            _ = self._written_out  # refuses other optimizers
            refuse_to_compile(self.device)
            self._compiled = compiled(self._update_by)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_compiled"]

    @property
    def buffer(self) -> ResidualBuffer:
        if not isinstance(self.replay_buffer, ResidualBuffer):
            raise ValueError(f"demonstrations go into a ResidualBuffer, this is a {type(self.replay_buffer).__name__}")
        return self.replay_buffer

    def set_demonstrations(self, demonstrations: ResidualBuffer) -> None:
        """Draw half of every batch from these from now on. They are not part of `save`. Raises ValueError where their
        returns are made otherwise than those of what is practised."""
        for name in ("n_steps", "gamma"):
            here, there = getattr(self.buffer, name), getattr(demonstrations, name)
            if here != there:
                raise ValueError(f"demonstrations' returns have {name} {there}, those of practice {here}")
        self.buffer.demonstrations = demonstrations

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """The number of steps returned is what `learn` makes that many updates of, where gradient_steps is -1."""
        rollout = super().collect_rollouts(env, *args, **kwargs)
        return rollout._replace(episode_timesteps=round(self.update_ratio * rollout.episode_timesteps))

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray, NDArray]:
        if self.num_timesteps >= learning_starts or self.warmup >= 1:
            return super()._sample_action(learning_starts, action_noise, n_envs)
        shape = (n_envs, *(self.action_space.shape or ()))
        scaled = np.random.uniform(-self.warmup, self.warmup, shape).astype(np.float32)
        return self.policy.unscale_action(scaled), scaled

    @property
    def _fast_applies(self) -> bool:
        flat = isinstance(self.observation_space, Box) and len(self.observation_space.shape) == 1
        critic, extractor = self.critic, self.actor.features_extractor
        known = (
            isinstance(critic, StackedCritics) and len(critic.layers) > 1 and isinstance(extractor, FlattenExtractor)
        )
        return self.fast and known and flat and not self.use_sde

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        if self._fast_applies:
            self._train_fast(gradient_steps, batch_size)
        else:
            super().train(gradient_steps, batch_size)
        if isinstance(self.policy, ResidualPolicy):
            self.policy.follow(gradient_steps)

    def _train_fast(self, gradient_steps: int, batch_size: int) -> None:
        self.policy.set_training_mode(True)
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        self._update_learning_rate(optimizers + ([self.ent_coef_optimizer] if self.ent_coef_optimizer else []))
        with torch.no_grad(), quick_arithmetic():
            rows = [self._update(step, batch_size) for step in range(gradient_steps)]
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        names = ("critic_loss", "actor_loss", "ent_coef", "log_prob")
        for name, values in zip(names, zip(*rows, strict=True), strict=False):
            self.logger.record(f"train/{name}", float(torch.stack(values).mean()))

    def _update(self, step: int, batch_size: int) -> tuple[torch.Tensor, ...]:
        assert self.replay_buffer is not None
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        noise = torch.randn(2 * batch_size, batch.actions.shape[1], device=self.device)
        return self.update(batch, noise, step % self.target_update_interval == 0)

    def update(
        self, batch: ReplayBufferSamples, noise: torch.Tensor, move_target: bool = True
    ) -> tuple[torch.Tensor, ...]:
        """One update of temperature, critics, actor and target on a given batch, with given standard normal noise
        [2 B, A] (of actions in the observations, then in the next ones). Returns critic loss, actor loss, temperature
        and mean log probability."""
        if self.compile:
            return self._compiled(batch, noise, move_target, self._written_out)
        return self._update_by(batch, noise, move_target, self._optimizers)

    @property
    def _optimizers(self) -> Steppers:
        return Steppers(self.ent_coef_optimizer, self.critic.optimizer, self.actor.optimizer)

    @property
    def _written_out(self) -> Steppers:
        temperature, critic, actor = self._optimizers
        return Steppers(temperature and written_out(temperature), written_out(critic), written_out(actor))

    def _update_by(
        self, batch: ReplayBufferSamples, noise: torch.Tensor, move_target: bool, by: Steppers
    ) -> tuple[torch.Tensor, ...]:
        """`update`, its steps made by `by`: what is compiled."""
        critic, target = self.critic, self.critic_target
        assert isinstance(critic, StackedCritics) and isinstance(target, StackedCritics)
        rows = len(batch.observations)
        batch = as_floats(batch)
        acted = actor_forward(self.actor, torch.cat([batch.observations, batch.next_observations]), noise)
        entropy = self._temperature(acted.log_prob[:rows], by.temperature)
        wanted = td_target(target, batch, acted.action[rows:], acted.log_prob[rows:], entropy, self.gamma)
        critic_loss, gradients = critic_gradients(critic, batch, wanted)
        apply_gradients(by.critic, gradients)
        actor_loss, gradients = actor_gradients(self.actor, critic, acted, rows, entropy)
        apply_gradients(by.actor, gradients)
        if move_target:
            polyak(critic, target, self.tau)
        return critic_loss, actor_loss, entropy.squeeze(), acted.log_prob[:rows].mean()

    def _temperature(self, log_prob: torch.Tensor, by: Stepper | None) -> torch.Tensor:
        """The entropy coefficient as it stands, then its own step where it is learned."""
        if self.log_ent_coef is None or by is None:
            return self.ent_coef_tensor
        entropy = self.log_ent_coef.exp()
        apply_gradients(by, [-(log_prob + float(self.target_entropy)).mean().reshape(1)])
        return entropy

    def pretrain_critic(
        self, steps: int, batch_size: int = 64, report: Callable[[int, float], None] | None = None
    ) -> None:
        """Critic updates (target included) on demonstrations alone, before the first episode. `report(step, loss)` is
        called every 100 steps."""
        demonstrations = self.buffer.demonstrations
        critic, target = self.critic, self.critic_target
        if demonstrations is None or not isinstance(critic, StackedCritics) or not isinstance(target, StackedCritics):
            raise ValueError("pretrain_critic needs set_demonstrations first, and a ResidualPolicy")
        with torch.no_grad(), quick_arithmetic():
            entropy = self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.exp()
            for step in range(1, steps + 1):
                batch = as_floats(demonstrations.sample(batch_size))
                noise = torch.randn_like(batch.actions)
                acted = actor_forward(self.actor, batch.next_observations, noise)
                wanted = td_target(target, batch, acted.action, acted.log_prob, entropy, self.gamma)
                loss, gradients = critic_gradients(critic, batch, wanted)
                apply_gradients(critic.optimizer, gradients)
                polyak(critic, target, self.tau)
                if report and step % 100 == 0:
                    report(step, float(loss))


def as_floats(batch: ReplayBufferSamples) -> ReplayBufferSamples:
    """Environments with float64 observations keep them so in the buffer; networks are float32."""
    return batch._replace(observations=batch.observations.float(), next_observations=batch.next_observations.float())


@contextmanager
def quick_arithmetic() -> Iterator[None]:
    """On a CPU: float32 products by oneDNN where they stay float32, denormals as zero (Adam's second moments decay
    into them). Both as they were afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("medium")
    if not _products_exact():
        torch.set_float32_matmul_precision(before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_flush_denormal(False)


@functools.cache
def _products_exact() -> bool:
    """Whether products are still float32: CPUs with bfloat16 units may use those under this setting."""
    x = torch.linspace(1.0, 2.0, 256 * 256).reshape(256, 256)
    return bool(torch.allclose((x @ x).double(), x.double() @ x.double(), rtol=1e-5, atol=0.0))
