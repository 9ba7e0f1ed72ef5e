"""Adam's step written out, for an update that is compiled as a whole, where torch's optimizers cannot go.

It reads and moves an optimizer's own state, so one may save, load and go on either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
KNOWN = {"betas": (BETA1, BETA2), "eps": EPS, "weight_decay": 0, "amsgrad": False, "maximize": False}


class WrittenAdam(NamedTuple):
    """Parameters, their state, and how far the coming step goes."""

    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    counts: list[Tensor]  # of steps made
    rates: Tensor  # [2]: learning rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t), in the coming step t

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move every parameter, [...], by its gradient, [...] of the same shape."""
        for parameter, mean, square, gradient in zip(*self[:3], gradients, strict=True):
            mean.lerp_(gradient, 1 - BETA1)
            square.lerp_(gradient.square(), 1 - BETA2)
            parameter.sub_(self.rates[0] * mean / (square.sqrt() * self.rates[1] + EPS))
        torch._foreach_add_(self.counts, 1)  # type: ignore[attr-defined]


Stepper = torch.optim.Optimizer | WrittenAdam


class Steppers(NamedTuple):
    """What moves the parameters in one update."""

    temperature: Stepper | None  # None: the entropy coefficient is fixed
    critic: Stepper
    actor: Stepper


def apply_gradients(by: Stepper, gradients: Sequence[Tensor]) -> None:
    """Take one step of all parameters, [...], given their gradients, [...] of the same shapes."""
    if isinstance(by, WrittenAdam):
        return by.step(gradients)
    for parameter, gradient in zip(by.param_groups[0]["params"], gradients, strict=True):
        parameter.grad = gradient
    by.step()


def written_out(optimizer: Stepper) -> WrittenAdam:
    """The optimizer's coming step. Raises ValueError for another one than plain Adam."""
    if type(optimizer) is not torch.optim.Adam or not KNOWN.items() <= optimizer.defaults.items():
        raise ValueError(f"a compiled update makes the steps of torch.optim.Adam with {KNOWN}, not of {optimizer}")
    (group,) = optimizer.param_groups
    for parameter in group["params"]:
        if not optimizer.state[parameter]:  # before its first step
            zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter].update(step=torch.zeros(()), **zeros)
    states = [optimizer.state[parameter] for parameter in group["params"]]
    means, squares, counts = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    t = int(counts[0]) + 1
    rates = torch.tensor([group["lr"] / (1 - BETA1**t), (1 - BETA2**t) ** -0.5])
    return WrittenAdam(group["params"], means, squares, counts, rates)
