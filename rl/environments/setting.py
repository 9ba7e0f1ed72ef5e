"""A setting: everything that decides an environment's episodes but their seed. Imports no simulator.

What commands say of one is in `rl.environments.asked`; `DoorOptions` and `Rules` are stated here for both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mpr.reward.agreement import MOTION_THRESHOLD_PX
from rl.policies.actor import RESIDUAL_SCALE

ENVIRONMENT = "kitchen:microwave"
ZERO = Path("zero")  # in a base policy's place: none


@dataclass(frozen=True, kw_only=True)
class DoorOptions:
    """How a kitchen's door stands at the start, and how far it opens."""

    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    full_open: bool = False  # an episode ends where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m


@dataclass(frozen=True, kw_only=True)
class Rules(DoorOptions):
    """What practice on a base policy and its evaluation have in common."""

    ddim_steps: int = 10  # network evaluations for one chunk of the base policy


def names(of: type[DoorOptions]) -> tuple[str, ...]:
    """The fields that are stated here, in order."""
    return tuple(one.name for one in fields(of))


def rules_of(config: Rules) -> dict[str, Any]:
    """The rules that a config holds, for another one that shall have the same."""
    return {name: getattr(config, name) for name in names(Rules)}


@dataclass(frozen=True)
class Setting(Rules):
    """Which episodes: everything that decides them but the seed."""

    env: str = ENVIRONMENT  # KIND:NAME; kinds are those of rl.environments.registry
    base: Path = ZERO  # run folder of `mpr bc`, or a name that the kind knows
    residual_scale: float = RESIDUAL_SCALE
    device: str = "cpu"
    options: str = ""  # of the environment, as "key=value key=value"

    @property
    def kind(self) -> str:
        """What stands before the colon of `env`."""
        return self.env.partition(":")[0]

    @property
    def name(self) -> str:
        """What stands behind it: a task, an id."""
        return self.env.partition(":")[2]


@dataclass(frozen=True)
class RewardView:
    """How a reward that sees looks at an episode."""

    predictor: Path | None = None  # run folder of `mpr train`: for `motion`
    tracker: str = "exact"  # or lucas_kanade
    view: str = "front"  # camera
    motion_threshold_px: float = MOTION_THRESHOLD_PX  # pixels of 256: a point tracked to move less counts 0
    representation: Path | None = None  # run folder of `mpr pretrain`: for `vip`, `vip_difference`, `time_rewarder`
    goal_image: Path | None = None  # what the first two compare with; None: the environment's own
