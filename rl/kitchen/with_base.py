"""The kitchen as a residual policy meets it: one task, its frozen base policy inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.checkpoint import refuse_unfinished, weights_digest
from rl.base_policy import BasePolicy, ZeroPolicy
from rl.kitchen.environment import RATE_HZ, KitchenEnvironment
from rl.kitchen.recording import record
from rl.kitchen.tasks import find_task
from rl.residual.environment import ALPHA, ResidualEnvironment
from tracking.errors import UserError

STATE, ACTION = 62, 9  # widths of the kitchen's observation and action
ZERO = Path("zero")  # in a base policy's place: none


@dataclass(frozen=True)
class Setting:
    """Which episodes: everything that decides them but the seed."""

    task: str
    base: Path  # run folder of `mpr bc`, or ZERO
    alpha: float = ALPHA
    ddim_steps: int = 10
    ajar: bool = False
    fully: bool = False
    device: str = "cpu"


def kitchen_with_base(setting: Setting, view: str = "") -> ResidualEnvironment:
    """The environment. With a `view`, finished episodes carry a recording from it."""
    threshold = find_task(setting.task).opened if setting.fully else None
    environment = KitchenEnvironment(setting.task, ajar=setting.ajar, threshold=threshold)
    recorder = (lambda env: record(env, view)) if view else None
    return ResidualEnvironment(environment, load_base(setting), setting.alpha, rate_hz=RATE_HZ, record=recorder)


def base_digest(base: Path) -> str:
    """Tells one base policy from another at the same path; empty for none."""
    return "" if base == ZERO else weights_digest(base)


def load_base(setting: Setting) -> BasePolicy:
    """The frozen policy of a run of `mpr bc`. Raises BadCheckpoint for one of other states or actions."""
    if setting.base == ZERO:
        return ZeroPolicy(ACTION)
    refuse_unfinished(setting.base, "mpr bc")
    from rl.diffusion.checkpoint import load_policy
    from rl.diffusion.policy import DiffusionActor
    from rl.diffusion.schedule import Sampler

    policy, _ = load_policy(setting.base, setting.device, STATE, ACTION)
    if policy.shape.cameras:
        raise UserError(f"{setting.base} is a policy that sees cameras: here it takes one on states so far")
    return DiffusionActor(policy, Sampler("ddim", setting.ddim_steps))
