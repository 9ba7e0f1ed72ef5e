"""One SAC update with the gradients written out: the numbers of stable-baselines3's, in under half the time.

What it leaves out is what that one computes and throws away (the critics' weight gradients in the actor's backward
pass, twice the same actor, autograd's bookkeeping). Letters: B batch, D observation, A action, K critics, H hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor
from torch import Tensor, nn

from rl.policies.residual import NORM_EPS, Layer, StackedCritics, by_kind

SQUASH_EPS = 1e-6  # stable-baselines3's, in the density of a squashed action
LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
aten = torch.ops.aten


class Hidden(NamedTuple):
    """What one hidden layer of the critics leaves for its backward pass, all [K, B, .]."""

    entered: Tensor  # its input
    linear: Tensor  # after the product
    norm: tuple[Tensor, Tensor, Tensor] | None  # normalised, mean, 1 / standard deviation; before scale and shift
    left: Tensor  # its output


def critic_forward(critics: StackedCritics, x: Tensor) -> tuple[Tensor, list[Hidden]]:
    """Q values [K, B, 1] at x = (observation, action) [B, D + A]."""
    x, trace = x.expand(critics.n_critics, -1, -1), []
    for weight, bias, scale, shift in critics.layers[:-1]:
        linear, norm = torch.baddbmm(bias, x, weight), None
        if scale is not None and shift is not None:
            norm = torch.native_layer_norm(linear, linear.shape[-1:], None, None, NORM_EPS)
            left = torch.addcmul(shift, norm[0], scale).relu_()
        else:
            left = linear.relu()
        trace.append(Hidden(x, linear, norm, left))
        x = left
    weight, bias, *_ = critics.layers[-1]
    return (x * weight.mT).sum(2, keepdim=True) + bias, trace  # one column: quicker than as a product


def critic_backward(
    critics: StackedCritics, trace: Sequence[Hidden], dq: Tensor, weights: bool = True
) -> tuple[Tensor, list[Layer]]:
    """The critics' gradients, from dL/dQ [K, B, 1] back to the first product.

    Returns dL/d(its result) [K, B, H], and the layers' gradients (none without `weights`).
    """
    d, found = dq * critics.layers[-1].weight.mT, []  # from the last layer to the first
    if weights:
        found.append(Layer((trace[-1].left * dq).sum(1).unsqueeze(2), dq.sum(1, keepdim=True), None, None))
    for n in reversed(range(len(trace))):
        layer, seen, scale, shift = critics.layers[n], trace[n], None, None
        d = aten.threshold_backward(d, seen.left, 0)
        if seen.norm is not None and layer.scale is not None:
            normed, mean, rstd = seen.norm
            if weights:
                scale, shift = (d * normed).sum(1, keepdim=True), d.sum(1, keepdim=True)
            inputs, only_input = (d * layer.scale, seen.linear, d.shape[-1:], mean, rstd), [True, False, False]
            d = aten.native_layer_norm_backward(*inputs, None, None, only_input)[0]
        if weights:
            found.append(Layer(torch.bmm(seen.entered.mT, d), d.sum(1, keepdim=True), scale, shift))
        if n:
            d = torch.bmm(d, layer.weight.mT)
    return d, found[::-1]


class Acted(NamedTuple):
    """A squashed Gaussian's draw [B, A], its log density [B, 1], and what its backward pass needs."""

    action: Tensor
    log_prob: Tensor
    spread: Tensor  # standard deviation times noise
    slope: Tensor  # 1 - action^2
    free: Tensor  # where the log standard deviation was not clamped
    trace: list[Tensor]  # input, then each hidden layer's output


def actor_forward(actor: Actor, x: Tensor, noise: Tensor) -> Acted:
    """Act on observations x [B, D] with standard normal noise [B, A]."""
    trace = [x]
    for layer in linear_layers(actor):
        x = torch.addmm(layer.bias, x, layer.weight.T).relu_()
        trace.append(x)
    weight, bias = heads(actor)
    mean, raw = torch.addmm(bias, x, weight.T).chunk(2, 1)
    clamped = raw.clamp(LOG_STD_MIN, LOG_STD_MAX)
    spread = clamped.exp() * noise
    action = (mean + spread).tanh_()
    slope = 1 - action * action
    density = 0.5 * noise * noise + clamped + (slope + SQUASH_EPS).log_()
    log_prob = -(density.sum(1, keepdim=True) + LOG_ROOT_2PI * action.shape[1])
    return Acted(action, log_prob, spread, slope, clamped == raw, trace)


def actor_backward(actor: Actor, acted: Acted, d_action: Tensor, d_log_prob: Tensor, rows: int) -> list[Tensor]:
    """The gradients of the actor's parameters, for the first `rows` rows.

    From dL/daction [rows, A] and dL/dlog_prob (one number).
    """
    action, slope, spread, free = (t[:rows] for t in (acted.action, acted.slope, acted.spread, acted.free))
    d_mean = (d_action + d_log_prob * 2 * action / (slope + SQUASH_EPS)).mul_(slope)
    d_log_std = (d_mean * spread - d_log_prob).mul_(free)
    d = torch.cat([d_mean, d_log_std], 1)  # [rows, 2 A]
    of_mean, of_log_std = zip((d.T @ acted.trace[-1][:rows]).chunk(2), d.sum(0).chunk(2), strict=True)
    found = [of_log_std, of_mean]  # from the last to the first
    d, layers = d @ heads(actor)[0], linear_layers(actor)
    for n in reversed(range(len(layers))):
        d = aten.threshold_backward(d, acted.trace[n + 1][:rows], 0)
        found.append((d.T @ acted.trace[n][:rows], d.sum(0)))
        if n:
            d = d @ layers[n].weight
    return [gradient for layer in reversed(found) for gradient in layer]


def linear_layers(actor: Actor) -> list[nn.Linear]:
    """The actor's hidden layers, in order."""
    return [layer for layer in actor.latent_pi if isinstance(layer, nn.Linear)]


def heads(actor: Actor) -> tuple[Tensor, Tensor]:
    """Weight [2 A, H] and bias [2 A] of mean and log standard deviation: one product for both."""
    mu, log_std = actor.mu, actor.log_std
    assert isinstance(mu, nn.Linear) and isinstance(log_std, nn.Linear)
    return torch.cat([mu.weight, log_std.weight]), torch.cat([mu.bias, log_std.bias])


def td_target(
    target: StackedCritics,
    batch: ReplayBufferSamples,
    action: Tensor,
    log_prob: Tensor,
    ent_coef: Tensor | None,
    gamma: float,
) -> Tensor:
    """What Q should be, [B, 1], where the next action [B, A] has the log probability `log_prob` [B, 1].

    A success ends the sum, a time-out does not (`batch.dones` tells only successes). A batch of n-step returns brings
    its own discounts in gamma's place. Without `ent_coef` it holds no entropy.
    """
    q = critic_forward(target, torch.cat([batch.next_observations, action], 1))[0].amin(0)
    discounts = gamma if batch.discounts is None else batch.discounts
    value = q if ent_coef is None else q - ent_coef * log_prob
    return batch.rewards + (1 - batch.dones) * discounts * value


def critic_gradients(
    critics: StackedCritics, batch: ReplayBufferSamples, target: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Half the summed mean squared errors from `target` [B, 1], and the gradients of the critics' parameters."""
    q, trace = critic_forward(critics, torch.cat([batch.observations, batch.actions], 1))
    error = q - target
    _, gradients = critic_backward(critics, trace, error / len(target))
    return 0.5 * error.square().sum() / len(target), by_kind(gradients)


def actor_gradients(
    actor: Actor, critics: StackedCritics, acted: Acted, observations: Tensor, ent_coef: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The loss of the first actions [B, A], the smallest critic judging, and the actor's gradients.

    Those are the actions in `observations` [B, D], which critics may be shown more of than the actor was.
    """
    rows = len(observations)
    q, trace = critic_forward(critics, torch.cat([observations, acted.action[:rows]], 1))
    smallest, chosen = q.min(0, keepdim=True)
    dq = torch.zeros_like(q).scatter_(0, chosen, -1.0 / rows)
    d, _ = critic_backward(critics, trace, dq, weights=False)
    from_action = critics.layers[0].weight[:, observations.shape[1] :]  # [K, A, H]
    d_action = torch.bmm(d, from_action.mT).sum(0)
    loss = (ent_coef * acted.log_prob[:rows] - smallest[0]).mean()
    return loss, actor_backward(actor, acted, d_action, ent_coef / rows, rows)


def polyak(critics: StackedCritics, target: StackedCritics, tau: float) -> None:
    """target += tau * (critics - target)."""
    torch._foreach_lerp_(list(target.parameters()), list(critics.parameters()), tau)  # type: ignore[attr-defined]
