"""`mpr robot export`: recorded episodes as a LeRobot or Minari data set, read back and compared before it is done.

What an export cannot keep, it says. What a simulator recorded of itself (recording.npz) is not exported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError

FORMATS = ("lerobot", "minari")


@dataclass(frozen=True)
class ExportConfig:
    """Write recorded episodes as a data set that others read, LeRobot v3.0 or Minari, and compare it with them."""

    episodes: Path = Path("runs/robot/episodes")  # folder of episode folders
    format: str = "lerobot"  # lerobot (images are encoded once more) or minari (images raw: large)
    name: str = "episodes"  # of the data set: OUT/NAME, or Minari's robot/NAME-v0 in OUT
    successes: bool = False  # only successes
    out: Path = Path("runs/export")  # run folder

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"no format '{self.format}'; there is {', '.join(FORMATS)}")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]+", self.name):
            raise UserError(f"--name '{self.name}': letters, digits, - and _, a letter first, two of them at least")

    @property
    def target(self) -> Path:
        """The data set's folder."""
        return self.out / (self.name if self.format == "lerobot" else f"robot/{self.name}-v0")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot export`. Raises UserError."""
    config, dry_run = parse_config(ExportConfig, argv, prog="mpr robot export")
    if dry_run:
        from robot.recording.recorder import episode_folders

        facts = {"episodes": len(episode_folders(config.episodes)), "to": config.target}
        print_plan(config, {"episodes": config.episodes}, facts, config.out)
        return
    from robot.commands.export_compared import export

    export(config)
