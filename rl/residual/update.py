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

from rl.residual.policy import NORM_EPS, Layer, StackedCritics

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
    return torch.baddbmm(critics.layers[-1].bias, x, critics.layers[-1].weight), trace


def critic_backward(critics: StackedCritics, trace: Sequence[Hidden], dq: Tensor, weights: bool) -> Tensor:
    """From dL/dQ [K, B, 1]: either the parameters' gradients, filled in, or dL/dx [K, B, D + A], returned."""
    *hidden, last = critics.layers
    if weights:
        _linear_gradients(last, trace[-1].left, dq)
    d = dq * last.weight.mT  # [K, B, H]
    for n in reversed(range(len(hidden))):
        layer, seen = hidden[n], trace[n]
        d = aten.threshold_backward(d, seen.left, 0)
        if seen.norm is not None:
            d = _norm_backward(layer, seen.linear, seen.norm, d, weights)
        if weights:
            _linear_gradients(layer, seen.entered, d)
        if n or not weights:
            d = torch.bmm(d, layer.weight.mT)
    return d


def _linear_gradients(layer: Layer, entered: Tensor, d: Tensor) -> None:
    torch.bmm(entered.mT, d, out=_grad(layer.weight))
    torch.sum(d, 1, keepdim=True, out=_grad(layer.bias))


def _norm_backward(
    layer: Layer, linear: Tensor, norm: tuple[Tensor, Tensor, Tensor], d: Tensor, weights: bool
) -> Tensor:
    normed, mean, rstd = norm
    assert layer.scale is not None and layer.shift is not None
    if weights:
        torch.sum(d * normed, 1, keepdim=True, out=_grad(layer.scale))
        torch.sum(d, 1, keepdim=True, out=_grad(layer.shift))
    only_input = [True, False, False]
    shape = d.shape[-1:]
    return aten.native_layer_norm_backward(d * layer.scale, linear, shape, mean, rstd, None, None, only_input)[0]


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
    mu, log_std = actor.mu, actor.log_std
    assert isinstance(mu, nn.Linear) and isinstance(log_std, nn.Linear)
    raw = torch.addmm(log_std.bias, x, log_std.weight.T)
    clamped = raw.clamp(LOG_STD_MIN, LOG_STD_MAX)
    spread = clamped.exp() * noise
    action = torch.addmm(mu.bias, x, mu.weight.T).add_(spread).tanh_()
    slope = 1 - action * action
    density = 0.5 * noise * noise + clamped + (slope + SQUASH_EPS).log_()
    log_prob = -(density.sum(1, keepdim=True) + LOG_ROOT_2PI * action.shape[1])
    return Acted(action, log_prob, spread, slope, clamped == raw, trace)


def actor_backward(actor: Actor, acted: Acted, d_action: Tensor, d_log_prob: float | Tensor, rows: int) -> None:
    """Fill the actor's gradients from dL/daction [rows, A] and dL/dlog_prob (one number), for the first `rows` rows."""
    action, slope, spread, free = (t[:rows] for t in (acted.action, acted.slope, acted.spread, acted.free))
    d_mean = (d_action + d_log_prob * 2 * action / (slope + SQUASH_EPS)).mul_(slope)
    d_log_std = (d_mean * spread - d_log_prob).mul_(free)
    mu, log_std = actor.mu, actor.log_std
    assert isinstance(mu, nn.Linear) and isinstance(log_std, nn.Linear)
    left = acted.trace[-1][:rows]
    for head, d in ((mu, d_mean), (log_std, d_log_std)):
        torch.mm(d.T, left, out=_grad(head.weight))
        torch.sum(d, 0, out=_grad(head.bias))
    d = torch.addmm(d_mean @ mu.weight, d_log_std, log_std.weight)
    layers = linear_layers(actor)
    for n in reversed(range(len(layers))):
        d = aten.threshold_backward(d, acted.trace[n + 1][:rows], 0)
        torch.mm(d.T, acted.trace[n][:rows], out=_grad(layers[n].weight))
        torch.sum(d, 0, out=_grad(layers[n].bias))
        if n:
            d = d @ layers[n].weight


def linear_layers(actor: Actor) -> list[nn.Linear]:
    return [layer for layer in actor.latent_pi if isinstance(layer, nn.Linear)]


def _grad(parameter: Tensor) -> Tensor:
    """The parameter's gradient, to be written over; allocated once."""
    if parameter.grad is None:
        parameter.grad = torch.empty_like(parameter)
    return parameter.grad


class Losses(NamedTuple):
    """What one update tells the log, scalars."""

    critic: Tensor
    actor: Tensor
    log_prob: Tensor  # mean


def td_target(
    target: StackedCritics, batch: ReplayBufferSamples, action: Tensor, log_prob: Tensor, entropy: Tensor, gamma: float
) -> Tensor:
    """What Q should be, [B, 1]: a success ends the sum, a time-out does not (`batch.dones` tells only successes)."""
    q = critic_forward(target, torch.cat([batch.next_observations, action], 1))[0].amin(0)
    return batch.rewards + (1 - batch.dones) * gamma * (q - entropy * log_prob)


def critic_gradients(critics: StackedCritics, batch: ReplayBufferSamples, target: Tensor) -> Tensor:
    """Fill the critics' gradients; returns the loss, half the summed mean squared errors."""
    q, trace = critic_forward(critics, torch.cat([batch.observations, batch.actions], 1))
    error = q - target
    critic_backward(critics, trace, error / len(target), weights=True)
    return 0.5 * error.square().sum() / len(target)


def actor_gradients(actor: Actor, critics: StackedCritics, acted: Acted, rows: int, entropy: Tensor) -> Tensor:
    """Fill the actor's gradients for its first `rows` actions, the smallest critic judging; returns the loss."""
    observations = acted.trace[0][:rows]
    q, trace = critic_forward(critics, torch.cat([observations, acted.action[:rows]], 1))
    smallest, chosen = q.min(0, keepdim=True)
    dq = torch.zeros_like(q).scatter_(0, chosen, -1.0 / rows)
    dx = critic_backward(critics, trace, dq, weights=False)
    actor_backward(actor, acted, dx[:, :, observations.shape[1] :].sum(0), entropy / rows, rows)
    return (entropy * acted.log_prob[:rows] - smallest[0]).mean()


def polyak(critics: StackedCritics, target: StackedCritics, tau: float) -> None:
    """target += tau * (critics - target)."""
    torch._foreach_lerp_(list(target.parameters()), list(critics.parameters()), tau)  # type: ignore[attr-defined]
