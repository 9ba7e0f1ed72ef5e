"""`mpr robot check`: before a policy moves anything: where is the arm, are the cameras on time, where may it go?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError
from robot.station import StationConfig


@dataclass(frozen=True)
class CheckConfig(StationConfig):
    """Check arm and cameras: rates, latencies, the quaternions' order at home, the workspace drawn into the image."""

    seconds: float = 3.0  # for which rates are measured
    move: bool = True  # home the arm, and send it 2 cm up to see how fast it answers; else it is only looked at
    world_view: Path | None = None  # calibration of the standing camera (JSON), for the workspace; simulated: known
    out: Path = Path("runs/robot_check")  # run folder

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 <= self.seconds <= 60:
            raise UserError(f"--seconds {self.seconds:g}: 0.5 to 60")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot check`. Raises UserError."""
    config, dry_run = parse_config(CheckConfig, argv, "mpr robot check")
    if dry_run:
        return print_plan(config, {}, {"limits": config.limits}, config.out)
    from robot.commands.check_arm import check

    check(config)
