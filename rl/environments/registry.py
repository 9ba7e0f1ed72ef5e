"""Environments to practise in, by name: `--env KIND:NAME`. Imports none of them before it is used."""

from __future__ import annotations

from mpr.core.errors import UserError
from mpr.core.registry import Registry
from rl.environments.kind import EnvironmentKind

ENVIRONMENTS = Registry(
    "environment",
    "mpr.environments",
    {
        "kitchen": "rl.environments.kitchen.kind:KitchenKind",
        "twin": "robot.practice.kinds:TwinKind",
        "arm": "robot.practice.kinds:ArmKind",
        "gymnasium": "rl.environments.by_id:GymnasiumKind",
    },
)


def kind_of(env: str) -> EnvironmentKind:
    """The kind that stands before the colon. Raises UserError for one that nothing has, or that is none."""
    name = env.partition(":")[0]
    made = ENVIRONMENTS.load(name)()
    if not isinstance(made, EnvironmentKind):
        raise UserError(
            f"environment '{name}' is a {type(made).__name__}: an rl.environments.kind.EnvironmentKind is needed"
        )
    return made
