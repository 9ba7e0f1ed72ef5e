"""What `mpr bench rewards` is asked for: which rewards, in which situations, how often. Imports no simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.config import Range, check_ranges
from mpr.core.errors import UserError
from mpr.reward.registry import REWARDS
from mpr.reward.trackers import REWARD_TRACKERS
from rl.environments.kitchen.camera import VIEWS, check_view
from rl.environments.kitchen.config import CYCLES
from rl.environments.kitchen.tasks import KITCHEN_TASKS, check_expert
from rl.environments.starts import SELECTION

NULL_MODELS = ("any_motion", "wrong_direction", "mean_motion")  # of all, so far as there is what they are made of
PICTURED = "dense"  # stands beside every reward in the pictures (the paper's Fig. 3)


@dataclass(frozen=True)
class Situation:
    """Episodes of one kind, shown in one way."""

    kind: str  # of the scripted episodes that it is made of
    words: str  # what is to be seen


SITUATIONS = {
    "opening": Situation("opening", "the door is opened"),
    "closing": Situation("closing", "the door is closed"),
    "partial": Situation("partial", "the door is opened in part and let go"),
    "miss": Situation("miss", "the arm passes before the object and touches nothing"),
    "still": Situation("opening", "the arm does what it does in `opening`, and the door stays where it is"),
    "hesitation": Situation("opening", "as `opening`, with a pause of 1.6 s half-way through the door's travel"),
    "camera": Situation("opening", "as `opening`, the camera turned by 4° and moved 5 cm after its square was fixed"),
    "mirrored": Situation("opening", "as `opening`, left and right exchanged"),
    "other": Situation("opening", "another appliance is opened"),
    "occlusion": Situation("opening", "as `opening`, a third of the image's side covered in its middle"),
    "noise": Situation("opening", "as `opening`, every tracked place off by 0.5 px (standard deviation)"),
}
RANKED = ("closing", "still", "miss", "partial", "opening")  # rollouts whose outcomes differ
BENCH_PRESETS: dict[str, dict[str, Any]] = {
    "check": {"episodes": 2},
    "report": {"episodes": 12},
    "paper": {"episodes": 50},  # as many successful demonstrations as its Fig. 3 shows
}
SITUATION_S, REWARD_S, RECORDED_S = 3.0, 0.4, 1.5  # core-seconds: to show and track an episode, score it, record one
BENCH_FREE_KEYS = ("out", "finetune", "workers")  # may differ when a run is resumed


@dataclass(frozen=True)
class RewardBenchConfig:
    """What rewards are paid in eleven situations of the kitchen, beside null models; what they cost; and pictures."""

    rewards: list[str] = field(default_factory=list)  # by name; []: all that the kitchen can give
    predictor: Path | None = None  # run folder of `mpr train`; without one, rewards that need it are left out
    # run folders of `mpr pretrain`, one an objective; without one, rewards that need it are left out
    representations: list[Path] = field(default_factory=list)
    finetune: Path | None = None  # run folder of `mpr finetune` at the task: its learnt value is drawn
    task: str = "microwave"  # microwave, hinge or slide
    other: str = ""  # task of the other appliance; "": the next one
    tracker: str = "exact"  # of rewards that see: exact, lucas_kanade, cotracker3_offline or _online
    episodes: int = 12  # of each situation
    seed: int = SELECTION  # of the first episode; 500,000 and up are for choosing, 700,000 and up for reports, once
    view: str = "development"  # a camera's name, or `development` or `all`: episode by episode through those
    workers: int = 1  # processes that record and score; what a reward costs is measured one after another all the same
    out: Path = Path("runs/bench_rewards")  # run folder

    def __post_init__(self) -> None:
        for name in self.rewards:
            REWARDS.check(name)
        for task in (self.task, self.other_task):
            check_expert(task)
        if self.other_task == self.task:
            raise UserError(f"--other {self.other}: another appliance than --task {self.task} is needed")
        REWARD_TRACKERS.check(self.tracker)
        if self.view not in CYCLES and self.view not in VIEWS:
            check_view(self.view)
        check_ranges(self, {"episodes": Range(2), "seed": Range(0), "workers": Range(1)})

    @property
    def other_task(self) -> str:
        """The task whose appliance is the other one."""
        names = [*KITCHEN_TASKS.ours]
        return self.other or names[(names.index(self.task) + 1) % len(names) if self.task in names else 0]

    def task_of(self, situation: str) -> str:
        """Whose appliance is seen in a situation."""
        return self.other_task if situation == "other" else self.task

    def episode_folder(self, situation: str) -> Path:
        return self.out / "episodes" / f"{self.task_of(situation)}_{SITUATIONS[situation].kind}"

    @property
    def core_hours(self) -> float:
        """About how long it takes, for the number of rewards that are asked for."""
        rewards = len(set(self.rewards) | set(NULL_MODELS) | {PICTURED}) if self.rewards else len(REWARDS.names())
        own_nulls = 4 * len(self.representations)
        recorded = len({(self.task_of(name), s.kind) for name, s in SITUATIONS.items()})
        each = recorded * RECORDED_S + len(SITUATIONS) * (SITUATION_S + (rewards + own_nulls) * REWARD_S)
        return (self.episodes * each + 15 * rewards) / 3600
