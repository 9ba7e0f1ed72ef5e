"""`mpr robot faults`: the campaign, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError
from robot.safety.limits import Limits
from robot.station import StationConfig

CAMPAIGN_IMAGE_PX = 32  # pixels


@dataclass(frozen=True)
class FaultsConfig:
    """Inject faults into sessions on the simulated arm, and tell what became of each."""

    size: int = CAMPAIGN_IMAGE_PX  # pixels: side of the cameras' images
    seed: int = 0  # of the first episode
    limits: Limits = field(default_factory=Limits)  # of the guard: --limits.step and the like; none: the twin's own box
    task: str = "microwave"  # that the simulated arm stands before
    only: str = ""  # cases whose name holds this
    processes: bool = True  # also those of the process and its disk: minutes
    learning: bool = True  # also those of a session that learns: three quarters of an hour of one core
    workers: int = 1  # processes that try cases; those on the wall's clock have the machine to themselves
    out: Path = Path("runs/robot_faults")  # run folder

    def __post_init__(self) -> None:
        _ = self.station  # refused now
        if self.workers < 1:
            raise UserError(f"--workers {self.workers}: at least 1")

    def resolved(self) -> Self:
        """With the limits of the simulated arm's own box, where none was asked for."""
        return replace(self, limits=self.station.limits)

    @property
    def station(self) -> StationConfig:
        """Raises UserError for settings of none."""
        return StationConfig(size=self.size, seed=self.seed, limits=self.limits, task=self.task).resolved()


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot faults`. Raises UserError where a limit was broken, an episode lost, or a fault not named."""
    config, dry_run = parse_config(FaultsConfig, argv, "mpr robot faults")
    from robot.faults.tries import chosen, inject_case

    asked = chosen(config)
    if dry_run:
        facts: dict[str, object] = {"faults of sessions": len(asked.sessions)}
        facts["faults of the process and its disk"] = len(asked.processes)
        facts["faults of sessions that learn"] = sum(map(len, asked.learning))
        return print_plan(config, {}, facts, config.out)
    inject_case(config, asked)
