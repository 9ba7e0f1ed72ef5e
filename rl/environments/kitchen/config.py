"""What `mpr episodes` and `mpr demos` are asked for: every setting, its default, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mpr.core.errors import UserError
from rl.environments.kitchen.camera import VIEWS, check_view, view_names
from rl.environments.kitchen.opening import asked_task, kitchen_opening
from rl.environments.kitchen.setting import NOISE
from rl.environments.kitchen.start_options import START_OPTIONS
from rl.environments.kitchen.tasks import check_expert, find_task
from rl.environments.setting import DoorOptions, OpeningOptions
from rl.environments.starts import SEEDS_BY_ROLE

EPISODE_KINDS: tuple[str, ...] = (
    "opening",
    "closing",
    "jiggling",
    "miss",
    "partial",
)  # of episodes; an attempt's noise is drawn by the place
CYCLES = {"all": view_names(), "development": view_names(held_out=False)}
DEMO_SEEDS_END = SEEDS_BY_ROLE["demonstration"].stop  # the ones above are for training, selection and evaluation
# what a setting's file says to practice alone, where it says the task
SAID_TO_PRACTICE: dict[str, str] = {"env": "task", "env_options": "task", "residual_scale": "task"}
OF_THE_EXPERT = (
    "seed",
    "noise",
    "ajar",
    "start",
    "goal_travel",
    "shown_travel",
    "step_limit",
)  # settings that a data set does not heed


def check_kind(name: str) -> None:
    """Raises UserError naming the kinds of episodes that exist."""
    if name not in EPISODE_KINDS:
        raise UserError(f"no kind of episode '{name}'; there is {', '.join(EPISODE_KINDS)}")


@dataclass(frozen=True)
class EpisodesConfig(OpeningOptions):
    """Record scripted Franka Kitchen episodes: joint positions and cameras; images are rendered when wanted."""

    task: str = "microwave"  # microwave, hinge or slide
    kind: str = "opening"  # opening, closing, jiggling, miss or partial
    episodes: int = 10  # how many to record
    seed: int = 500_000  # first seed; one that gives no episode of this kind is skipped and counted
    view: str = "development"  # a view's name, or `development` or `all`: episode by episode through those
    out: Path = Path("runs/episodes")  # folder: one episode folder each, and metrics.jsonl

    def __post_init__(self) -> None:
        check_expert(self.task)
        asked_task(self.task, self)
        check_kind(self.kind)
        if self.view not in CYCLES and self.view not in VIEWS:
            raise UserError(f"no kitchen view '{self.view}'; there is {', '.join([*CYCLES, *VIEWS])}")
        if not 1 <= self.episodes <= 1_000_000:
            raise UserError(f"--episodes {str(self.episodes)[:20]}: 1 to 1,000,000")
        if self.seed < 0:
            raise UserError(f"--seed {str(self.seed)[:20]}: at least 0")


@dataclass(frozen=True)
class KitchenDemosConfig(DoorOptions):
    """Demonstrations of a Franka Kitchen task: by a scripted expert from random starts, or read from Minari."""

    task: str = "microwave"  # microwave, hinge or slide
    num_demos: int = 20  # demonstrations to keep; attempts that fail are counted and not kept
    seed: int = 0  # first seed; demonstrations have 0 to 9,999
    noise: float = NOISE  # action units: standard deviation of the noise on executed arm actions; labels have none
    start: str | None = None  # how things stand at reset, by name: shut, ajar, or another package's
    views: tuple[str, ...] = ()  # cameras whose images are kept, as front left; none: only states
    size: int = 128  # pixels: side of the images
    source: str = ""  # a Minari data set (name or folder) to read instead of running the expert
    minari: bool = False  # also write a Minari data set: kitchen/TASK-v0 in OUT/minari
    out: Path = Path("runs/demos")  # folder: one folder a demonstration, metrics.jsonl, summary.json

    def __post_init__(self) -> None:
        (find_task if self.source else check_expert)(self.task)
        kitchen_opening(self.task, self)
        if self.start is not None:
            START_OPTIONS.check(self.start)
            if self.ajar:
                raise UserError(f"--ajar is short for --start ajar: leave it out beside --start {self.start}")
        for view in self.views:
            check_view(view)
        if self.num_demos < 1:
            raise UserError(f"--num_demos is at least 1, got {self.num_demos}")
        if not 0 <= self.seed <= DEMO_SEEDS_END - self.num_demos:
            raise UserError(
                f"{self.num_demos} demonstrations from seed {self.seed}: demonstrations have seeds "
                f"0 to {DEMO_SEEDS_END - 1:,}, the ones above are for training, selection and evaluation"
            )
        if not 0 <= self.noise <= 1:
            raise UserError(f"noise must lie in 0 to 1 (action units), got {self.noise}")
        if not 16 <= self.size <= 640:
            raise UserError(f"size must be 16 to 640 pixels, got {self.size}")
        for one in fields(self):
            if self.source and one.name in OF_THE_EXPERT and getattr(self, one.name) != one.default:
                raise UserError(f"--{one.name} is the expert's, a data set has its own: leave it out beside --source")
