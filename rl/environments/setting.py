"""A setting: everything that decides an environment's episodes but their seed. Imports no simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.reward.agreement import MOTION_THRESHOLD_PX
from rl.policies.actor import RESIDUAL_SCALE

ENVIRONMENT = "kitchen:microwave"
ZERO = Path("zero")  # in a base policy's place: none


@dataclass(frozen=True)
class Setting:
    """Which episodes: everything that decides them but the seed."""

    env: str = ENVIRONMENT  # KIND:NAME; kinds are those of rl.environments.registry
    base: Path = ZERO  # run folder of `mpr bc`, or a name that the kind knows
    residual_scale: float = RESIDUAL_SCALE
    ddim_steps: int = 10
    ajar: bool = False
    full_open: bool = False
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
