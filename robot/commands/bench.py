"""`mpr bench robot`: how well ten commands a second are kept on this machine, in real time.

A simulated arm and two cameras in a process of their own, a diffusion policy that plans in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError
from robot.setting import ROBOT_STEP_LIMIT
from robot.station import StationConfig


@dataclass(frozen=True)
class RobotBench(StationConfig):
    """Run the 10 Hz loop by the wall clock, tell how late it was, how old its images were, what was missed."""

    real_time: bool = True  # simulated arm: in a process of its own on the wall clock; nothing else is measured
    seconds: float = 600.0  # of control
    policy: str = ""  # run folder of `mpr bc`; none, only for the simulated arm: a small one with random weights
    step_limit: int = ROBOT_STEP_LIMIT  # steps of an episode
    out: Path = Path("runs/bench_robot")  # run folder

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.seconds <= 86_400:
            raise UserError(f"--seconds {self.seconds:g}: 1 to 86400")
        if self.step_limit < 1:
            raise UserError(f"--step_limit {self.step_limit}: 1 or more")
        if self.arm != "simulated" and not self.policy:
            raise UserError(f"mpr bench robot --arm {self.arm}: needs --policy, random weights would move the arm")
        if self.arm == "simulated" and not self.real_time:
            raise UserError("mpr bench robot: --real_time false would measure nothing: simulated time waits")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench robot`. Raises UserError."""
    config, dry_run = parse_config(RobotBench, argv, "mpr bench robot")
    if dry_run:
        return print_plan(config, {}, {"steps": int(config.seconds * config.rate_hz)}, config.out)
    from robot.commands.bench_loop import measure

    measure(config)
