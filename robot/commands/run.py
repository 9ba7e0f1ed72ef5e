"""`mpr robot run`: a policy on the arm for N episodes, marked by the operator, each on disk before the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from mpr.core.device import check_device
from mpr.core.errors import UserError
from rl.policies.registry import is_named
from robot.setting import EXPERT, ROBOT_STEP_LIMIT, STAY
from robot.station import StationConfig


@dataclass(frozen=True)
class RunConfig(StationConfig):
    """Run a policy on the arm: a trained one, or the simulated arm's expert."""

    policy: str = EXPERT  # expert (simulated arm), stay, or a run folder of `mpr bc`
    episodes: int = 10  # to keep; those that the operator wants redone are not
    step_limit: int = ROBOT_STEP_LIMIT  # steps after which time is up
    ddim_steps: int = 10  # of a trained policy's sampling
    device: str = "cpu"  # of a trained policy
    films: int = 20  # of so many episodes, the first ones, the page shows a film
    out: Path = Path("runs/robot")  # run folder

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("episodes", "step_limit", "ddim_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: 1 or more")
        if self.films < 0:
            raise UserError(f"--films {self.films}: 0 or more")
        check_device(self.device)
        if self.policy == EXPERT and self.arm != "simulated":
            raise UserError(f"--policy {EXPERT} goes with --arm simulated: give a run folder of `mpr bc`, or stay")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot run`. Raises UserError."""
    config, dry_run = parse_config(RunConfig, argv, "mpr robot run")
    if dry_run:
        inputs = {} if config.policy in (EXPERT, STAY) or is_named(config.policy) else {"policy": Path(config.policy)}
        return print_plan(config, inputs, {"episodes": config.episodes, "limits": config.limits}, config.out)
    from robot.commands.run_session import run_policy

    run_policy(config)
