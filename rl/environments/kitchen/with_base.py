"""The kitchen as a residual policy meets it: one task, its frozen base policy inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from mpr.core.checkpoints import refuse_unfinished
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.images import images_for
from rl.environments.kitchen.opening import kitchen_opening
from rl.environments.kitchen.recording import record_kitchen
from rl.environments.kitchen.setting import ACTION, KITCHEN_RATE_HZ, STATE
from rl.environments.kitchen.start_options import start_of
from rl.environments.residual import ResidualEnvironment
from rl.environments.setting import Setting
from rl.policies.base_policy import BasePolicy
from rl.policies.registry import Around, is_named, named_policy


@contextmanager
def kitchen_with_base(setting: Setting, view: str = "") -> Iterator[ResidualEnvironment]:
    """The environment, closed at the end. With a `view`, finished episodes carry a recording from it.

    Raises what `base_in` raises.
    """
    o = kitchen_opening(setting.name, setting)
    asked = {"threshold": o.threshold, "shown": o.shown, "step_limit": o.step_limit, "start": start_of(setting)}
    recorder = (lambda env: record_kitchen(env, view)) if view else None
    with (
        closing(KitchenEnvironment(o.task, **asked)) as kitchen,
        base_in(kitchen, setting) as base,
    ):
        yield ResidualEnvironment(kitchen, base, setting.residual_scale, rate_hz=KITCHEN_RATE_HZ, record=recorder)


@contextmanager
def base_in(kitchen: KitchenEnvironment, setting: Setting) -> Iterator[BasePolicy]:
    """The frozen base policy that a setting names: a registered one, or that of a run of `mpr bc`.

    One with cameras is shown the kitchen's present state, rendered as its demonstrations were, on the steps that it
    plans from. Raises BadCheckpoint for one of another task, or of other states or actions, UserError for other cameras
    than the kitchen's, MissingWeights for an encoder's that are not there, and NoGL.
    """
    if is_named(setting.base):
        yield named_policy(setting.base, Around(STATE, ACTION))
        return
    refuse_unfinished(setting.base, "mpr bc")
    from rl.policies.diffusion.checkpoint import load_actor
    from rl.policies.diffusion.schedule import Sampler

    known = {"state": STATE, "action": ACTION, "wanted": kitchen_opening(setting.name, setting).words}
    sampler = Sampler("ddim", setting.ddim_steps)
    actor = load_actor(setting.base, sampler, lambda step: images.now(kitchen), setting.device, **known)
    with images_for(actor.cameras, kitchen.task) as images:
        yield actor
