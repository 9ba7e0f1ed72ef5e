"""`mpr experiment direction`: does the motion reward know which way the door goes, and not merely that it moves?

Scripted kitchen episodes of five kinds are recorded, tracked (exactly and with Lucas–Kanade) and scored by the
predictor and by every baseline. Directional agreement = Σ agreement / Σ share of object points that moved: an oracle
has 1, a random direction 0.32. Each stage's output is kept; a killed run resumes with the file it was at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import parse_config, print_plan
from mpr.core.errors import UserError
from mpr.reward.trackers import EXACT_OR_EMBEDDED
from rl.environments.kitchen.tasks import KITCHEN_TASKS

DIRECTION_KINDS = ("opening", "closing", "jiggling", "partial", "miss")
BASELINES = (
    "untrained",
    "random_direction",
    "constant_velocity",
    "mean_motion",
    "any_motion",
    "black_images",
    "other_images",
)
ORACLE = "true_motion"  # no baseline: the best there is, with these tracks
_ROWS = ("motion", ORACLE, *BASELINES, "progress_0", "progress_0.5", "progress_1")
_PRESETS: dict[str, dict[str, Any]] = {
    "check": {"episodes": 2, "kinds": ["opening", "closing"], "rows": ["motion", "random_direction", "black_images"]},
    "report": {"episodes": 56, "rows": ["motion", ORACLE, *BASELINES]},
    "paper": {"episodes": 56},
}
_EPISODE_S = 7.0  # core-seconds to record one and to track it both ways
ROW_S = 0.4  # to score one row of it, of one tracker


@dataclass(frozen=True)
class DirectionConfig:
    """Directional agreement of the motion reward and its baselines on scripted Franka Kitchen episodes."""

    out: Path = Path("runs/direction")  # run folder
    predictors: Path = Path("runs/predictors")  # holds one `mpr train` run a task: microwave, hinge, slide
    tasks: list[str] = field(default_factory=lambda: list(KITCHEN_TASKS.ours))  # microwave, hinge, slide
    kinds: list[str] = field(default_factory=lambda: list(DIRECTION_KINDS))  # opening, closing, jiggling, partial, miss
    trackers: list[str] = field(default_factory=lambda: list(EXACT_OR_EMBEDDED))  # exact, lucas_kanade
    # motion, the oracle, the baselines, motion at a fixed progress
    rows: list[str] = field(default_factory=lambda: list(_ROWS))
    episodes: int = 56  # of each task and kind, views in turn
    seed: int = 700_000  # of the first episode (reported evaluation: 700,000 and up)
    view: str = "all"  # a camera's name, or all of them in turn
    inputs: Path | None = None  # where episodes and tracks are kept, to share between runs (default: the run folder)
    workers: int = 2  # processes

    def __post_init__(self) -> None:
        known_of = {
            "tasks": KITCHEN_TASKS.names(),
            "kinds": DIRECTION_KINDS,
            "trackers": EXACT_OR_EMBEDDED,
            "rows": _ROWS,
        }
        for name, known in known_of.items():
            unknown = [v for v in getattr(self, name) if v not in known]
            if unknown:
                raise UserError(f"{name}: unknown '{unknown[0]}'; there is {', '.join(known)}")
        if self.episodes < 1 or self.workers < 1:
            raise UserError("episodes and workers must be at least 1")
        if self.episodes == 1 and "other_images" in self.rows:
            raise UserError("row other_images shows each episode the next one's frames: it needs --episodes 2 or more")

    def episode_folder(self, task: str, kind: str) -> Path:
        return self.kept / "episodes" / f"{task}_{kind}"

    def track_folder(self, task: str, kind: str, tracker: str) -> Path:
        return self.kept / "tracks" / tracker / f"{task}_{kind}"

    @property
    def kept(self) -> Path:
        return self.inputs or self.out

    def raw_file(self, task: str, kind: str, tracker: str) -> Path:
        return self.out / "raw" / f"{task}_{kind}_{tracker}.csv"


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment direction`: scores episodes of each task and kind, and makes the table."""
    config, dry_run = parse_config(DirectionConfig, argv, "mpr experiment direction", _PRESETS)
    inputs = {f"predictor of {task}": config.predictors / task for task in config.tasks}
    units = [(config, task, kind) for task in config.tasks for kind in config.kinds]
    if dry_run:
        episodes = config.episodes * len(units)
        hours = episodes * (_EPISODE_S + ROW_S * len(config.rows) * len(config.trackers)) / 3600
        facts = {"episodes": episodes, "tracked": 2 * episodes, "core-hours, about": f"{hours:.1f}"}
        return print_plan(config, inputs, facts, config.out)
    from rl.experiments.direction_stages import measure_direction

    measure_direction(config, units, inputs)
