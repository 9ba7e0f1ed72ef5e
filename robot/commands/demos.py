"""`mpr robot demos`: guides an operator through demonstrations, and makes of them what `mpr bc` learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError
from robot.setting import EXPERT, ROBOT_STEP_LIMIT
from robot.station import StationConfig
from robot.teleop.registry import DEVICES


@dataclass(frozen=True)
class DemosConfig(StationConfig):
    """Collect demonstrations: lead the arm by hand, mark each success; failures are kept apart."""

    teleop: str = ""  # gamepad, spacemouse, keyboard; expert: the simulated arm's own. None: what the arm calls for
    num_demos: int = 10  # demonstrations that succeed
    step_limit: int = 2 * ROBOT_STEP_LIMIT  # steps after which time is up
    out: Path = Path("runs/robot_demos")  # run folder; OUT/demonstrations is what `mpr bc --demos` takes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_demos < 1 or self.step_limit < 1:
            raise UserError(f"--num_demos {self.num_demos} --step_limit {self.step_limit}: 1 or more")
        if self.leader == EXPERT:
            if self.arm != "simulated":
                raise UserError(f"--teleop {EXPERT} goes with --arm simulated; there is {', '.join(DEVICES.names())}")
        else:
            DEVICES.check(self.leader)

    def resolved(self) -> Self:
        """Likewise: whoever leads it sits there, and moves at a person's pace."""
        if self.leader == EXPERT:
            return super().resolved()
        return dataclasses.replace(super().resolved(), operator="keyboard", real_time=True)

    @property
    def leader(self) -> str:
        return self.teleop or (EXPERT if self.arm == "simulated" else "gamepad")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot demos`. Raises UserError."""
    config, dry_run = parse_config(DemosConfig, argv, "mpr robot demos")
    if dry_run:
        return print_plan(config, {}, {"led by": config.leader, "limits": config.limits}, config.out)
    from robot.commands.demos_session import collect_robot_demos

    collect_robot_demos(config)
