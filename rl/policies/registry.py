"""Base policies by name: functions of what they act in. A name that is none here is a run folder of `mpr bc`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpr.core.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rl.policies.base_policy import BasePolicy

BASE_POLICIES = Registry("base policy", "mpr.base_policies", {"zero": "rl.policies.base_policy:zero"})


@dataclass(frozen=True, eq=False)
class Around:
    """What a base policy acts in."""

    state: int  # numbers in an observation
    action: int  # numbers in an action
    middle: NDArray[Any] | float = 0.0  # [A] of what the environment takes


def is_named(base: Path | str) -> bool:
    """Whether a base policy is one by name, and not one that was trained, in a folder."""
    return str(base) in BASE_POLICIES.names()


def named_policy(base: Path | str, around: Around) -> BasePolicy:
    """The base policy of that name. Raises UserError for a name that nothing has."""
    return BASE_POLICIES.load(str(base))(around)
