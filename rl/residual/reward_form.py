"""One scale for all rewards, and whether it leaves finishing worth its while.

    r_t = -1 + bonus * [success at step t] + signal_weight * signal_t

`signal` is what a reward model says of a step, 0 to 1. A weight may be asked for by what it does: demonstrations are
paid, on average, a share of the time that they take.

A learner with a temperature is paid for acting at random as well, for as long as an episode goes on. Where that, and
the signal, are worth more than a success, the best policy is one that never finishes (paper VII-E says so of any
positive reward). `worth_of_going_on` is that worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.reward.agreement import BONUS, OFFSET

LEAST_SIGNAL = 1.0  # of a demonstration, in all: below, a weight would make noise loud


@dataclass(frozen=True)
class RewardForm:
    """How a signal becomes rewards."""

    bonus: float = BONUS  # added at a success
    signal_weight: float = 1.0
    potential: bool = False  # whether the signal makes a potential, and is not paid itself (rl.residual.shaping)
    gamma: float = 0.99  # of the potential


@dataclass(frozen=True)
class Temperature:
    """What an actor is paid for acting at random, as the critics count it."""

    ent_coef: float  # entropy coefficient
    gamma: float
    n_steps: int  # rewards to one entropy term
    actions: int  # numbers of an action
    backup: bool = True  # whether critics count it at all

    @property
    def a_step(self) -> float:
        """The most that a step brings, by uniform residuals: ln 2 for each number in -1..1.

        With returns of n steps one entropy term, n steps ahead, stands for n of them.
        """
        share = 1 / self.n_steps
        if self.gamma < 1:
            share = self.gamma**self.n_steps * (1 - self.gamma) / (1 - self.gamma**self.n_steps)
        return share * self.ent_coef * self.actions * math.log(2) if self.backup else 0.0


def worth_of_going_on(step_reward: float, temperature: Temperature) -> float:
    """Discounted, of all steps after this one, where an episode never ends: a success brings its bonus instead.

    `step_reward` is what each of them brings, without entropy. Infinite where nothing is discounted.
    """
    gamma = temperature.gamma
    each = gamma * step_reward + temperature.a_step
    return each / (1 - gamma) if gamma < 1 else math.copysign(math.inf, each) if each else 0.0


def check_finishing(form: RewardForm, temperature: Temperature, signal: float = 0.0) -> float:
    """What going on is worth at `signal` a step.

    Raises UserError, with the numbers, where that is more than a success brings.
    """
    worth = worth_of_going_on(OFFSET + form.signal_weight * signal, temperature)
    if worth > form.bonus:
        paid = f"-1 + {form.signal_weight:.3g} * {signal:.2f}" if signal else "-1"
        raise UserError(
            f"finishing would be a loss: a success brings --bonus {form.bonus:g}, and never to finish {worth:.3g} "
            f"({paid} a step, up to {temperature.a_step:.2g} for entropy at temperature {temperature.ent_coef:g}, "
            f"gamma {temperature.gamma:g}): a larger --bonus, less signal, a lower --ent_coef or --backup_entropy false"
        )
    return worth


def weight_for(share: float, signals: Sequence[NDArray[np.float32]], reward: str) -> float:
    """The weight at which demonstrations, whose steps have these signals, each [T], are paid that share of their time.

    On average: mean of weight * sum = share * mean of T. Raises UserError naming the reward where the sums are below 1
    on average.
    """
    total = float(np.mean([signal.sum() for signal in signals]))
    steps = float(np.mean([len(signal) for signal in signals]))
    if total < LEAST_SIGNAL:
        raise UserError(
            f"--signal_share {share:g}: reward {reward} pays a demonstration {total:.2f} in all, below "
            f"{LEAST_SIGNAL:g}: too little to scale; give a --signal_weight, or another reward"
        )
    return share * steps / total


def best_pace(signals: Sequence[NDArray[np.float32]]) -> float:
    """The most signal a step, on average over its steps, that one of the demonstrations, each [T], was paid."""
    return max(float(signal.mean()) for signal in signals)
