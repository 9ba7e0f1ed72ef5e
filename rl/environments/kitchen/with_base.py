"""The kitchen as a residual policy meets it: one task, its frozen base policy inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpr.checkpoint import refuse_unfinished, weights_digest
from rl.base_policy import BasePolicy, ZeroPolicy
from rl.kitchen.environment import RATE_HZ, KitchenEnvironment
from rl.kitchen.pictures import pictures_for
from rl.kitchen.recording import record
from rl.kitchen.tasks import find_task, goal
from rl.residual.environment import ALPHA, ResidualEnvironment

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

    @property
    def goal(self) -> str:
        return goal(self.task, self.fully)


@contextmanager
def kitchen_with_base(setting: Setting, view: str = "") -> Iterator[ResidualEnvironment]:
    """The environment, closed at the end. With a `view`, finished episodes carry a recording from it.

    Raises what `base_in` raises.
    """
    threshold = find_task(setting.task).opened if setting.fully else None
    recorder = (lambda env: record(env, view)) if view else None
    with (
        closing(KitchenEnvironment(setting.task, ajar=setting.ajar, threshold=threshold)) as kitchen,
        base_in(kitchen, setting) as base,
    ):
        yield ResidualEnvironment(kitchen, base, setting.alpha, rate_hz=RATE_HZ, record=recorder)


def base_digest(base: Path) -> str:
    """Tells one base policy from another at the same path; empty for none."""
    return "" if base == ZERO else weights_digest(base)


@contextmanager
def base_in(kitchen: KitchenEnvironment, setting: Setting) -> Iterator[BasePolicy]:
    """The frozen policy of a run of `mpr bc`. One with cameras is shown the kitchen's present state, rendered as its
    demonstrations were, on the steps that it plans from.

    Raises BadCheckpoint for one of another task, or of other states or actions, UserError for other cameras than the
    kitchen's, MissingWeights for an encoder's that are not there, and NoGL.
    """
    if setting.base == ZERO:
        yield ZeroPolicy(ACTION)
        return
    refuse_unfinished(setting.base, "mpr bc")
    from rl.diffusion.checkpoint import load_actor
    from rl.diffusion.schedule import Sampler

    known = {"state": STATE, "action": ACTION, "wanted": setting.goal}
    sampler = Sampler("ddim", setting.ddim_steps)
    actor = load_actor(setting.base, sampler, lambda step: pictures.now(kitchen), setting.device, **known)
    with pictures_for(actor.cameras, kitchen.task) as pictures:
        yield actor
