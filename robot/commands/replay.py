"""`mpr robot replay`: a recorded episode to look at; or once more on the arm, slowed, limited, and homed first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError
from robot.hardware.counting import FROM_MEASURED
from robot.station import StationConfig

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode


@dataclass(frozen=True)
class ReplayConfig(StationConfig):
    """Show a recorded episode; with --on_arm, let the arm follow it again."""

    episode: Path = Path("runs/robot/episodes/episode_000000")  # folder of a recorded episode
    on_arm: bool = False  # follow its poses with the arm; else only the images
    speed: float = 0.3  # of the recorded one, 0.01 to 1: on the arm
    out: Path = Path("runs/robot_replay")  # run folder

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.01 <= self.speed <= 1:
            raise UserError(f"--speed {self.speed:g}: 0.01 to 1")

    def beside(self, episode: Episode) -> ReplayConfig:
        """In the scene of the recorded one, with limits on speed that go with it."""
        names = ("step", "turn", "second", "second_turn")
        limits = dataclasses.replace(self.limits, **{name: self.speed * getattr(self.limits, name) for name in names})
        counted = {"targets": FROM_MEASURED}  # it follows poses, whatever actions counted from
        return dataclasses.replace(
            self, **counted, limits=limits, seed=self.seed if episode.seed is None else episode.seed
        )


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot replay`. Raises UserError, and BadClip for an episode that is torn."""
    config, dry_run = parse_config(ReplayConfig, argv, "mpr robot replay")
    if dry_run:
        return print_plan(config, {"episode": config.episode}, {}, config.out)
    from robot.commands.replay_session import replay

    replay(config)
