"""SAC's networks for residual RL: critics with LayerNorm, and an actor that starts by leaving the base policy alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import Tensor, nn
from torch.nn import functional as F

from mpr.core.errors import UserError
from rl.policies.actor import INITS, LOG_STD

NORM_EPS = 1e-5


class Layer(NamedTuple):
    """One layer of all critics."""

    weight: Tensor  # [K, in, out]
    bias: Tensor  # [K, 1, out]
    scale: Tensor | None  # [K, 1, out] of its norm; None without one
    shift: Tensor | None


def by_kind(layers: Sequence[Layer]) -> list[Tensor]:
    """The layers' tensors in the order of StackedCritics' parameters: all weights, all biases, scales, shifts.

    Their shapes are those of `Layer`: [K, in, out] and [K, 1, out].
    """
    return [tensor for kind in zip(*layers, strict=True) for tensor in kind if tensor is not None]


class StackedCritics(ContinuousCritic):
    """K critics, held as stacked weights so that one batched product serves all.

    Each is Linear -> LayerNorm -> ReLU a hidden layer and Linear at the end. `layers` holds the same parameters once
    more, in order. `extra`: numbers that stand behind the observation and that no actor is shown.
    """

    def __init__(
        self,
        *,
        net_arch: list[int],
        features_dim: int,
        n_critics: int = 2,
        layer_norm: bool = True,
        extra: int = 0,
        **rest: Any,
    ) -> None:
        if rest.get("activation_fn", nn.ReLU) is not nn.ReLU:
            raise UserError(f"a residual policy's networks use ReLU, not {rest['activation_fn'].__name__}")
        super().__init__(net_arch=net_arch, n_critics=0, features_dim=features_dim, **rest)
        self.n_critics, self.extra = n_critics, extra
        sizes = [features_dim + extra + get_action_dim(self.action_space), *net_arch, 1]
        layers = [[nn.Linear(i, o) for _ in range(n_critics)] for i, o in pairwise(sizes)]
        self.weights = nn.ParameterList([torch.stack([one.weight.detach().T for one in layer]) for layer in layers])
        self.biases = nn.ParameterList([torch.stack([one.bias.detach()[None] for one in layer]) for layer in layers])
        normed = net_arch if layer_norm else []
        self.scales = nn.ParameterList([torch.ones(n_critics, 1, size) for size in normed])
        self.shifts = nn.ParameterList([torch.zeros(n_critics, 1, size) for size in normed])
        norms = [*zip(self.scales, self.shifts, strict=True)] or [(None, None)] * len(net_arch)
        both = zip(self.weights, self.biases, [*norms, (None, None)], strict=True)
        self.layers = [Layer(weight, bias, *norm) for weight, bias, norm in both]

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Q values, K times [B, 1], of observations [B, D + extra] and actions [B, A]."""
        own, extra = (obs[:, : -self.extra], obs[:, -self.extra :]) if self.extra else (obs, actions[:, :0])
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.share_features_extractor):
            features = self.extract_features(own, self.features_extractor)
        x = torch.cat([features, extra, actions], 1).expand(self.n_critics, -1, -1)  # [K, B, D + A]
        for weight, bias, scale, shift in self.layers[:-1]:
            x = torch.baddbmm(bias, x, weight)
            if scale is not None and shift is not None:
                x = F.layer_norm(x, x.shape[-1:], eps=NORM_EPS) * scale + shift
            x = F.relu(x)
        return tuple(torch.baddbmm(self.layers[-1].bias, x, self.layers[-1].weight).unbind(0))

    def q1_forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """The first critic's Q values [B, 1] of observations [B, D] and actions [B, A]."""
        return self.forward(obs, actions)[0]


class ResidualPolicy(SACPolicy):
    """SACPolicy with StackedCritics, three hidden layers of 256 and a choice of how the actor starts.

    zero: mean 0 in every state, log standard deviation `log_std`; the base policy plus small noise (not with gSDE,
    which starts as stable-baselines3 has it).
    orthogonal: orthogonal hidden layers, gain 1, heads as PyTorch makes them (the authors' code); mean not 0.
    default: stable-baselines3's.

    actor_ema: below 1, a second actor, `averaged`, moves towards the actor after each round of updates (`follow`), by
    this share for each of them, and deterministic predictions are asked of it. An actor updated hundreds of times
    after every episode is a good one after this episode and a poor one after the next.

    critic_extra: so many numbers stand behind the observations that critics are shown (rl.residual.shaping).
    """

    def __init__(
        self,
        *args: Any,
        actor_init: str = "zero",
        log_std: float = LOG_STD,
        layer_norm: bool = True,
        actor_ema: float = 1.0,
        critic_extra: int = 0,
        **kwargs: Any,
    ) -> None:
        if actor_init not in INITS:
            raise UserError(f"no actor initialisation '{actor_init}'; there is {', '.join(INITS)}")
        if log_std != LOG_STD and (actor_init != "zero" or kwargs.get("use_sde")):
            raise UserError(f"log_std={log_std} is for actor_init 'zero', without use_sde")
        if not 0 < actor_ema <= 1:
            raise UserError(f"actor_ema={actor_ema}: above 0 and at most 1")
        self.actor_init, self.initial_log_std, self.layer_norm = actor_init, log_std, layer_norm
        self.actor_ema, self.critic_extra = actor_ema, critic_extra
        kwargs.setdefault("net_arch", [256, 256, 256])
        if kwargs.get("optimizer_class") is None:  # Adam in one kernel
            kwargs["optimizer_kwargs"] = {"fused": True} | (kwargs.get("optimizer_kwargs") or {})
        super().__init__(*args, **kwargs)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        actor = super().make_actor(features_extractor)
        if self.actor_init == "zero" and not actor.use_sde:
            assert isinstance(actor.mu, nn.Linear) and isinstance(actor.log_std, nn.Linear)
            for parameter in (actor.mu.weight, actor.mu.bias, actor.log_std.weight):
                nn.init.zeros_(parameter)
            nn.init.constant_(actor.log_std.bias, self.initial_log_std)
        if self.actor_init == "orthogonal":
            for layer in actor.latent_pi:
                if isinstance(layer, nn.Linear):
                    nn.init.orthogonal_(layer.weight)
                    nn.init.zeros_(layer.bias)
        return actor

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.averaged: Actor | None = None
        if self.actor_ema < 1:
            self.averaged = self.make_actor().requires_grad_(False)
            self.averaged.load_state_dict(self.actor.state_dict())
            self.averaged.set_training_mode(False)

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """Move the average towards the actor as it stands, as far as `actor_ema` so many times.

        Called once an episode, it averages the actors that episodes ended with.
        """
        if self.averaged is not None:
            share = 1 - (1 - self.actor_ema) ** updates
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.actor.parameters()), share)  # type: ignore[attr-defined]

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        actor = self.averaged if deterministic and self.averaged is not None else self.actor
        return actor(observation, deterministic)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        kwargs = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return StackedCritics(layer_norm=self.layer_norm, extra=self.critic_extra, **kwargs).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        mine = {"actor_init": self.actor_init, "log_std": self.initial_log_std, "layer_norm": self.layer_norm}
        mine |= {"actor_ema": self.actor_ema, "critic_extra": self.critic_extra}
        return super()._get_constructor_parameters() | mine
