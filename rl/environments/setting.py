"""A setting: everything that decides an environment's episodes but their seed. Imports no simulator.

What commands say of one is in `rl.environments.asked`; `DoorOptions` and `Rules` are stated here for both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mpr.core.config import Range
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from rl.policies.actor import RESIDUAL_SCALE

ENVIRONMENT = "kitchen:microwave"
ZERO = Path("zero")  # in a base policy's place: none
# what a setting's file says to `mpr demos`, and where it says so to practice and evaluation
SAID_TO_DEMOS = {"task": "env", "start": "env_options"}


@dataclass(frozen=True, kw_only=True)
class OpeningOptions:
    """How far a kitchen's door is to open, and in how many steps."""

    # kitchen: opening that counts as success, rad at microwave and hinge, m at slide; null: FrankaKitchen-v1's own
    goal_travel: float | None = None
    step_limit: int | None = None  # kitchen: steps of an episode at most, 12.5 a second; null: 150


@dataclass(frozen=True, kw_only=True)
class DoorOptions(OpeningOptions):
    """How a kitchen's door stands at the start, how far it is to open, and how far demonstrations open it."""

    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    full_open: bool = False  # short for the goal_travel that we call open: slide 0.25 m, FrankaKitchen-v1's is 0.07 m
    # opening at which demonstrations are cut off, short of the goal, without success: rad, slide m; null: at the goal
    shown_travel: float | None = None


OPENING_RANGES = {"goal_travel": Range(0, above=True), "step_limit": Range(1)}
DOOR_RANGES = {**OPENING_RANGES, "shown_travel": Range(0, above=True)}


@dataclass(frozen=True, kw_only=True)
class Rules(DoorOptions):
    """What practice on a base policy and its evaluation have in common."""

    ddim_steps: int = 10  # network evaluations for one chunk of the base policy


def names(of: type[OpeningOptions]) -> tuple[str, ...]:
    """The fields that are stated here, in order."""
    return tuple(one.name for one in fields(of))


def said_of_doors(options: DoorOptions) -> tuple[str, ...]:
    """The names of the door's options that were asked for, in order."""
    return tuple(name for name in names(DoorOptions) if getattr(options, name) != getattr(DoorOptions, name))


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
