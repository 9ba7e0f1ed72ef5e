"""What `mpr evaluate` is asked for: every setting of a run, its default, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.core.device import check_device
from mpr.core.errors import UserError
from rl.environments.asked import SettingConfig
from rl.environments.kind import is_trained
from rl.environments.play import BASE_NAME
from rl.environments.starts import SELECTION

EVALUATE_FREE_KEYS = ("out", "videos", "view", "workers")  # may differ when a run is resumed


@dataclass(frozen=True)
class EvaluateConfig(SettingConfig):
    """Compare a frozen base policy, and residual policies on top of it, on the same seeds.

    Success is compared; returns where the environment tells of no success.
    """

    residuals: tuple[Path, ...] = ()  # run folders of `mpr finetune` on that base, as runs/one runs/two
    episodes: int = 100  # of each policy
    seed: int = SELECTION  # of the first episode: 500,000 and up to choose anything, 700,000 and up to report, once
    videos: int = 3  # episodes filmed, all policies side by side; 0: none
    view: str = "front"  # camera of the films
    workers: int = 1  # processes; any number gives the same outcomes
    threads: int = 1  # CPU threads of each; another number gives other last bits
    out: Path = Path("runs/evaluate")  # run folder

    def __post_init__(self) -> None:
        if min(self.episodes, self.threads, self.workers) < 1 or self.videos < 0:
            raise UserError("episodes, threads and workers are at least 1, videos at least 0")
        if self.seed < SELECTION:
            raise UserError(f"--seed {self.seed}: below {SELECTION:,} are seeds of demonstrations and practice")
        check_device(self.device)
        self.kind.check(self.asked)
        self.kind.check_view(self.view)
        names = [BASE_NAME, *(path.name for path in self.residuals)]
        if len(set(names)) < len(names):
            raise UserError(f"policies are told apart by the names of their folders, here {', '.join(names)}")

    @property
    def trained(self) -> tuple[Path, ...]:
        """Run folders of all policies that were trained."""
        return (*([self.base] if is_trained(self.base, self.kind) else []), *self.residuals)

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.episodes)
