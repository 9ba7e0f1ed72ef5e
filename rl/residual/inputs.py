"""Observations as actor and critics are shown them: by the statistics that the base policy was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor

from mpr.core.errors import UserError
from rl.environments.practice import PracticeEnvironment
from rl.policies.diffusion.normalise import Normaliser


class NormalisedFlatten(FlattenExtractor):
    """Flat observations, each number mapped so that what the statistics are of spans [-1, 1].

    The statistics are buffers: they travel with the weights, of actor and critics alike. Without any it is the
    identity, until weights are loaded.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        centre: Sequence[float] | None = None,
        half_range: Sequence[float] | None = None,
    ) -> None:
        super().__init__(observation_space)
        self.normaliser = Normaliser(self.features_dim)
        if centre is not None and half_range is not None:
            self.normaliser.centre.copy_(torch.tensor(centre))
            self.normaliser.half_range.copy_(torch.tensor(half_range))

    def forward(self, observations: Tensor) -> Tensor:
        """Normalised observations [B, D] of observations [B, ...]."""
        return self.normaliser(self.flatten(observations))


def base_statistics(environment: PracticeEnvironment) -> dict[str, list[float]]:
    """`centre` and `half_range` of a practice environment's observations: of states, then of base actions.

    They are those with which its base policy, a diffusion policy, was trained. Raises UserError where it has none, or
    where the environment's observations are not its states and actions.
    """
    from rl.policies.diffusion.policy import DiffusionPolicy

    policy = getattr(environment.base, "policy", None)
    if not isinstance(policy, DiffusionPolicy):
        raise UserError("--normalise_inputs takes the statistics of a base policy of `mpr bc`, this one has none")
    scales = policy.state_scale, policy.action_scale
    sizes = [len(scale.centre) for scale in scales]
    shown = [one.stop - one.start for one in (environment.state_slice, environment.base_slice)]
    if sizes != shown or sum(sizes) != (environment.observation_space.shape or (0,))[0]:
        raise UserError(
            f"--normalise_inputs: the base policy was trained on {sizes[0]} state and {sizes[1]} action numbers, the "
            "environment's observations are others"
        )
    return {name: torch.cat([getattr(scale, name) for scale in scales]).tolist() for name in ("centre", "half_range")}
