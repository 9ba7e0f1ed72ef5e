"""SAC for residual RL: stable-baselines3's class, with its whole interface, and what a good base policy asks for.

Different from SAC: part of each batch from demonstrations, critics trained on these before the first episode, a number
of updates proportional to an episode's length, a warm-up that leaves the base policy alone, and faster updates.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples, RolloutReturn
from stable_baselines3.common.utils import update_learning_rate
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize
from stable_baselines3.sac import SAC

from mpr.core.errors import UserError
from rl.environments.starts import learners_start
from rl.policies.residual import ResidualPolicy, StackedCritics
from rl.residual.buffer import ResidualBuffer
from rl.residual.fast.adam import Stepper, Steppers, apply_gradients, written_out
from rl.residual.fast.arithmetic import quick_arithmetic
from rl.residual.fast.compiled import compiled, refuse_to_compile
from rl.residual.fast.update import actor_forward, actor_gradients, critic_gradients, polyak, td_target
from rl.residual.inputs import NormalisedFlatten
from rl.residual.one_at_a_time import OneAtATime
from rl.residual.returns import buffer_class, buffer_settings, check_buffers_alike, check_returns

_TOGETHER = 50  # batches gathered at once


class ResidualSAC(SAC):
    """stable_baselines3.SAC, with ResidualPolicy as its MlpPolicy, and:

    n_steps, gamma, replay_buffer_class, replay_buffer_kwargs: agree, or are refused (rl.residual.returns). A buffer
    gets what it was not given, and `n_steps` is what its returns have, whoever said so.
    utd: with `gradient_steps=-1`, updates per environment step of the last rollout (the hardware preset: 4). Half an
    update a step is one every other step.
    backup_entropy: whether the critics count the actor's entropy, as SAC's do. With returns of n steps one entropy
    term, that of the state n steps ahead, stands for n rewards: the critics' values are then those of a temperature of
    about ent_coef / n a step (0.01 for 0.05 and five steps), while the actor weighs its entropy against them by
    ent_coef. Without it they are values of the rewards alone, and the temperature only keeps the actor at random
    (ikostrikov/rlpd, rail-berkeley/serl: `backup_entropy=False`).
    ent_lr: learning rate of a temperature that is learned (ent_coef "auto", "auto_0.1"); none: that of the networks.
    critic_warmup: so many updates move the critics alone, and until then residuals are the warm-up's: an actor that
    follows critics which know nothing leaves the base policy for nothing (ResFiT).
    warmup: before `learning_starts`, residuals are U[-warmup, warmup] without noise; 0 is the base policy alone, 1
    SAC's own way. With use_sde_at_warmup the policy acts, as in SAC.
    fast: updates by rl.residual.fast.update where they apply (ResidualPolicy on flat observations, no gSDE); else, and
    with fast=False, by stable-baselines3's own `train`. Both compute the same.
    compile: fast updates as one compiled function (rl.residual.fast.compiled): a third faster, other last bits.
    UserError where nothing can be compiled, or where fast updates do not apply.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = SAC.policy_aliases | {"MlpPolicy": ResidualPolicy}

    def __init__(
        self,
        policy: str | type[ResidualPolicy] = ResidualPolicy,
        env: Any = None,
        *args: Any,
        utd: float = 1.0,
        warmup: float = 0.0,
        fast: bool = True,
        compile: bool = False,
        backup_entropy: bool = True,
        ent_lr: float | None = None,
        critic_warmup: int = 0,
        **kwargs: Any,
    ) -> None:
        for name, value in (("utd", utd), ("warmup", warmup), ("critic_warmup", critic_warmup)):
            if not 0 <= value < float("inf"):
                raise UserError(f"{name}={value}: it is at least 0")
        if ent_lr is not None and not 0 < ent_lr < float("inf"):
            raise UserError(f"ent_lr={ent_lr}: it is above 0")
        self.utd, self.warmup, self.fast, self.compile = utd, warmup, fast, compile
        self.backup_entropy, self.ent_lr, self.critic_warmup = backup_entropy, ent_lr, critic_warmup
        if "n_steps" not in inspect.signature(SAC.__init__).bind_partial(self, policy, env, *args, **kwargs).arguments:
            kwargs["n_steps"] = None  # nobody asked: as the buffer has it
        super().__init__(policy, env, *args, **kwargs)
        asked = kwargs.get("device") or "auto"
        if str(asked) != "auto" and torch.device(asked).type != self.device.type:
            warnings.warn(f"device={asked}: this machine has no GPU that torch can use; it is cpu", stacklevel=2)

    def _setup_model(self) -> None:
        self._setup_buffer()
        if self.utd != 1 and self.gradient_steps >= 0:
            warnings.warn(
                f"utd={self.utd} goes unused: it is for gradient_steps=-1, not {self.gradient_steps}",
                stacklevel=2,
            )
        if self.log_ent_coef is not None:  # one number: stable-baselines3's optimizer spends more on it than it costs
            lr = self.ent_lr or self.lr_schedule(1)
            self.ent_coef_optimizer = torch.optim.Adam([self.log_ent_coef], lr=lr, fused=True)
        elif self.ent_lr is not None:
            raise UserError(f"ent_lr={self.ent_lr} is of a temperature that is learned: ent_coef auto, not a number")
        self._refuse_slow()
        if self.compile:
            _ = self._written_out  # refuses other optimizers
            refuse_to_compile(self.device)
            self._compiled = compiled(self._update_by)

    def _refuse_slow(self) -> None:
        """Raises UserError for what stable-baselines3's own updates do not have, where they would be made."""
        asked = {"compile": self.compile, "backup_entropy=False": not self.backup_entropy}
        asked["critic_warmup"] = self.critic_warmup > 0
        asked["critic_extra"] = extra = getattr(self.policy, "critic_extra", 0) > 0
        if extra != getattr(self.replay_buffer, "potential", False):
            raise UserError("critic_extra=1 of the policy and potential=True of the replay buffer go together")
        if (names := [name for name, said in asked.items() if said]) and not self._fast_applies:
            raise UserError(
                f"{' and '.join(names)} is only for fast updates: it takes fast=True, flat observations, a "
                "ResidualPolicy with hidden layers, and no gSDE"
            )

    def _update_learning_rate(self, optimizers: Any) -> None:
        super()._update_learning_rate(optimizers)
        if self.ent_lr is not None and self.ent_coef_optimizer is not None:
            update_learning_rate(self.ent_coef_optimizer, self.ent_lr)

    def _setup_buffer(self) -> None:
        """stable-baselines3's own setup, around a buffer that agrees with the learner."""
        asked, given = self.n_steps, self.replay_buffer_kwargs
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma={self.gamma}: it lies in 0 to 1")
        if self.n_envs > self.buffer_size:
            raise ValueError(f"buffer_size={self.buffer_size} holds no step of each of {self.n_envs} environments")
        if self.replay_buffer_class is None:
            self.replay_buffer_class = buffer_class(self.observation_space, asked)
        kind, space = self.replay_buffer_class, self.observation_space
        self.replay_buffer_kwargs = buffer_settings(kind, given, space, asked, self.gamma)
        self.n_steps = 1  # or it would say that a class that is given ignores it
        super()._setup_model()
        assert self.replay_buffer is not None
        self.n_steps = check_returns(self.replay_buffer, asked, self.gamma, self._vec_normalize_env is not None)
        self.replay_buffer_kwargs = given

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """As stable-baselines3. Raises ValueError for one that the buffer's returns cannot be made of."""
        if self.replay_buffer is not None:
            normalised = isinstance(env, VecEnv) and unwrap_vec_normalize(env) is not None
            check_returns(self.replay_buffer, self.n_steps, self.gamma, normalised)
        super().set_env(env, force_reset)

    def load_replay_buffer(self, path: Any, truncate_last_traj: bool = True) -> None:
        """As stable-baselines3. Raises ValueError for a buffer of other spaces, environments or returns."""
        own = self.replay_buffer
        super().load_replay_buffer(path, truncate_last_traj)
        loaded = self.replay_buffer
        assert loaded is not None
        try:
            if loaded.n_envs != self.n_envs:
                raise ValueError(f"the buffer is of {loaded.n_envs} environments, the learner has {self.n_envs}")
            if own is not None:
                check_buffers_alike(own, loaded, "the loaded buffer")
            check_returns(loaded, self.n_steps, self.gamma, self._vec_normalize_env is not None)
        except ValueError:
            self.replay_buffer = own
            raise

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_compiled"]

    @property
    def buffer(self) -> ResidualBuffer:
        if not isinstance(self.replay_buffer, ResidualBuffer):
            raise ValueError(f"demonstrations go into a ResidualBuffer, this is a {type(self.replay_buffer).__name__}")
        return self.replay_buffer

    def set_random_seed(self, seed: int | None = None) -> None:
        """As stable-baselines3; environments with starts of their own (rl.environments.starts) begin at training's,
        whatever the seed, and environment k draws as that of number k: the same seed gives the same episodes."""
        super().set_random_seed(seed)
        if seed is None or self.env is None or not self.env.has_attr("number_instance"):
            return
        roles = [self.env.env_method("number_instance", k, indices=[k])[0] for k in range(self.env.num_envs)]
        if "training" in roles:
            self.env.seed(learners_start(seed))

    def set_demonstrations(self, demonstrations: ResidualBuffer, fraction: float = 0.5) -> None:
        """Draw that fraction of every batch, rounded down, from these from now on. They are not part of `save`. Raises
        ValueError where there are none, or none or all of a batch would be theirs, or where they are of other spaces
        or returns than what is practised."""
        check_buffers_alike(self.buffer, demonstrations, "demonstrations")
        if demonstrations.size() == 0:
            raise ValueError("there are no demonstrations in that buffer")
        if not 0 < int(self.batch_size * fraction) < self.batch_size:
            raise ValueError(f"batch_size={self.batch_size} has no part of {fraction:g} for demonstrations")
        self.buffer.demonstrations, self.buffer.demo_fraction = demonstrations, fraction

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """The number of steps returned is what `learn` makes that many updates of, where gradient_steps is -1."""
        if isinstance(env, OneAtATime) and env.over:
            self._last_obs = env.reset()  # pyright: ignore[reportAttributeAccessIssue]
        rollout = super().collect_rollouts(env, *args, **kwargs)
        before = self.num_timesteps - rollout.episode_timesteps  # rounded once, not at each rollout: one may be a step
        updates = round(self.utd * self.num_timesteps) - round(self.utd * before)
        return rollout._replace(episode_timesteps=updates)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray, NDArray]:
        if self._n_updates < self.critic_warmup:
            learning_starts = self.num_timesteps + 1  # not yet
        by_policy = self.use_sde and self.use_sde_at_warmup
        if self.num_timesteps >= learning_starts or self.warmup >= 1 or by_policy:
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
        self.make_updates(gradient_steps, batch_size)
        self.average_actor(gradient_steps)

    def make_updates(self, count: int, batch_size: int) -> None:
        """So many updates, without the average of the actor: an episode's may be made a few at a time."""
        if self._fast_applies:
            self._train_fast(count, batch_size)
        else:
            super().train(count, batch_size)

    def average_actor(self, updates: int) -> None:
        """Move the actor's average to where the last `updates` brought it, as after each episode."""
        if isinstance(self.policy, ResidualPolicy):
            self.policy.follow(min(updates, max(0, self._n_updates - self.critic_warmup)))

    def _train_fast(self, gradient_steps: int, batch_size: int) -> None:
        self.policy.set_training_mode(True)
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        self._update_learning_rate(optimizers + ([self.ent_coef_optimizer] if self.ent_coef_optimizer else []))
        with torch.no_grad(), quick_arithmetic():
            each = enumerate(self._batches(gradient_steps, batch_size))
            rows = [self.update(batch, self._noise(batch), *self._moves(k)) for k, batch in each]
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for k, name in enumerate(("critic_loss", "ent_coef", "log_prob", "actor_loss")):
            if values := [row[k] for row in rows if k < len(row)]:
                self.logger.record(f"train/{name}", float(torch.stack(values).mean()))

    def _batches(self, count: int, batch_size: int) -> Iterator[ReplayBufferSamples]:
        """As many batches as updates, some gathered at a time: that costs less, and memory does not grow with them."""
        buffer, env = self.replay_buffer, self._vec_normalize_env
        assert buffer is not None
        if env is not None or not isinstance(buffer, ResidualBuffer):
            return (buffer.sample(batch_size, env=env) for _ in range(count))
        parts = (min(_TOGETHER, count - done) for done in range(0, count, _TOGETHER))
        return (batch for part in parts for batch in buffer.batches(part, batch_size))

    def _moves(self, step: int) -> tuple[bool, bool]:
        """Whether the update of that number since the rollout moves the target, and the actor."""
        return step % self.target_update_interval == 0, self._n_updates + step >= self.critic_warmup

    def _noise(self, batch: ReplayBufferSamples) -> torch.Tensor:
        return torch.randn(2 * len(batch.actions), batch.actions.shape[1], device=self.device)

    def update(
        self, batch: ReplayBufferSamples, noise: torch.Tensor, move_target: bool = True, move_actor: bool = True
    ) -> tuple[torch.Tensor, ...]:
        """One update of temperature, critics, actor and target on a given batch, with given standard normal noise
        [2 B, A] (of actions in the observations, then in the next ones). Returns critic loss, temperature, mean log
        probability and, where actor and temperature are moved, the actor's loss."""
        if self.compile:
            return self._compiled(batch, noise, move_target, move_actor, self._written_out)
        return self._update_by(batch, noise, move_target, move_actor, self._optimizers)

    @property
    def _optimizers(self) -> Steppers:
        return Steppers(self.ent_coef_optimizer, self.critic.optimizer, self.actor.optimizer)

    @property
    def _written_out(self) -> Steppers:
        temperature, critic, actor = self._optimizers
        return Steppers(temperature and written_out(temperature), written_out(critic), written_out(actor))

    def _update_by(
        self, batch: ReplayBufferSamples, noise: torch.Tensor, move_target: bool, move_actor: bool, by: Steppers
    ) -> tuple[torch.Tensor, ...]:
        """`update`, its steps made by `by`: what is compiled."""
        critic, target = self.critic, self.critic_target
        assert isinstance(critic, StackedCritics) and isinstance(target, StackedCritics)
        rows = len(batch.observations)
        batch = self._shown(batch)
        acted = actor_forward(
            self.actor, torch.cat([*map(self._actors, (batch.observations, batch.next_observations))]), noise
        )
        ent_coef = self._temperature(acted.log_prob[:rows], by.temperature if move_actor else None)
        wanted = self._target(target, batch, acted.action[rows:], acted.log_prob[rows:], ent_coef)
        critic_loss, gradients = critic_gradients(critic, batch, wanted)
        apply_gradients(by.critic, gradients)
        figures = (critic_loss, ent_coef.squeeze(), acted.log_prob[:rows].mean())
        if move_actor:
            actor_loss, gradients = actor_gradients(self.actor, critic, acted, batch.observations, ent_coef)
            apply_gradients(by.actor, gradients)
            figures = (*figures, actor_loss)
        if move_target:
            polyak(critic, target, self.tau)
        return figures

    def _shown(self, batch: ReplayBufferSamples) -> ReplayBufferSamples:
        """The batch as networks are given it: float32, and normalised where their own extractor does so."""
        batch, extractor = as_floats(batch), self.critic.features_extractor
        if not isinstance(extractor, NormalisedFlatten):
            return batch
        now, following = (
            torch.cat([extractor(self._actors(seen)), seen[:, extractor.features_dim :]], 1)
            for seen in (batch.observations, batch.next_observations)
        )
        return batch._replace(observations=now, next_observations=following)

    def _actors(self, seen: torch.Tensor) -> torch.Tensor:
        """What the actor is shown [B, D] of what critics are, [B, D] or more."""
        return seen[:, : self.actor.features_dim]

    def _target(
        self,
        target: StackedCritics,
        batch: ReplayBufferSamples,
        action: torch.Tensor,
        log_prob: torch.Tensor,
        ent_coef: torch.Tensor,
    ) -> torch.Tensor:
        return td_target(target, batch, action, log_prob, ent_coef if self.backup_entropy else None, self.gamma)

    def _temperature(self, log_prob: torch.Tensor, by: Stepper | None) -> torch.Tensor:
        """The entropy coefficient as it stands, then its own step where one is to be made."""
        if self.log_ent_coef is None:
            return self.ent_coef_tensor
        ent_coef = self.log_ent_coef.exp()
        if by is not None:
            apply_gradients(by, [-(log_prob + float(self.target_entropy)).mean().reshape(1)])
        return ent_coef

    def pretrain_critic(
        self, steps: int, batch_size: int = 64, report: Callable[[int, float], None] | None = None
    ) -> None:
        """Critic updates (target included) only on demonstrations, before the first episode. `report(step, loss)` is
        called every 100 steps."""
        demonstrations = self.buffer.demonstrations
        critic, target = self.critic, self.critic_target
        if demonstrations is None or not isinstance(critic, StackedCritics) or not isinstance(target, StackedCritics):
            raise ValueError("pretrain_critic needs set_demonstrations first, and a ResidualPolicy")
        with torch.no_grad(), quick_arithmetic():
            ent_coef = self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.exp()
            for step in range(1, steps + 1):
                batch = self._shown(demonstrations.sample(batch_size, self._vec_normalize_env))
                noise = torch.randn_like(batch.actions)
                acted = actor_forward(self.actor, self._actors(batch.next_observations), noise)
                wanted = self._target(target, batch, acted.action, acted.log_prob, ent_coef)
                loss, gradients = critic_gradients(critic, batch, wanted)
                apply_gradients(critic.optimizer, gradients)
                polyak(critic, target, self.tau)
                if report and step % 100 == 0:
                    report(step, float(loss))


def as_floats(batch: ReplayBufferSamples) -> ReplayBufferSamples:
    """Environments with float64 observations keep them so in the buffer; networks are float32."""
    return batch._replace(observations=batch.observations.float(), next_observations=batch.next_observations.float())
