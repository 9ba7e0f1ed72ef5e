"""What `mpr evaluate` is asked for: every setting of a run, its default, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.core.device import check_device, resolved_device
from mpr.core.errors import UserError
from rl.environments.kind import EnvironmentKind, is_trained
from rl.environments.registry import kind_of
from rl.environments.setting import ENVIRONMENT, Setting
from rl.environments.starts import SELECTION

BASE = "base"  # the base policy's name in tables
FREE = ("out", "videos", "view", "workers")  # may differ when a run is resumed


@dataclass(frozen=True)
class EvaluateConfig:
    """Compare a frozen base policy, and residual policies on top of it, on the same seeds.

    Success is compared; returns where the environment tells of no success.
    """

    env: str = ENVIRONMENT  # kitchen:TASK, twin:TASK, arm, gymnasium:ID, or another package's
    env_options: str = ""  # of the environment, as "key=value key=value"; of an arm: those of `mpr robot run`
    base: Path = Path("runs/bc")  # run folder of `mpr bc`; zero: no base policy; beside an arm also stay, expert
    residuals: tuple[Path, ...] = ()  # run folders of `mpr finetune` on that base, as runs/one runs/two
    episodes: int = 100  # of each policy
    seed: int = SELECTION  # of the first episode: 500,000 and up to choose anything, 700,000 and up to report, once
    ddim_steps: int = 10  # network evaluations for one chunk of the base policy
    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    full_open: bool = False  # an episode ends where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m
    videos: int = 3  # episodes filmed, all policies side by side; 0: none
    view: str = "front"  # camera of the films
    workers: int = 1  # processes; any number gives the same outcomes
    threads: int = 1  # CPU threads of each; another number gives other last bits
    device: str = "cpu"  # cpu or cuda
    out: Path = Path("runs/evaluate")  # run folder

    def __post_init__(self) -> None:
        if min(self.episodes, self.threads, self.workers) < 1 or self.videos < 0:
            raise UserError("episodes, threads and workers are at least 1, videos at least 0")
        if self.seed < SELECTION:
            raise UserError(f"--seed {self.seed}: below {SELECTION:,} are seeds of demonstrations and practice")
        check_device(self.device)
        self.kind.check(self._setting(self.device))
        self.kind.check_view(self.view)
        names = [BASE, *(path.name for path in self.residuals)]
        if len(set(names)) < len(names):
            raise UserError(f"policies are told apart by the names of their folders, here {', '.join(names)}")

    @property
    def kind(self) -> EnvironmentKind:
        return kind_of(self.env)

    @property
    def setting(self) -> Setting:
        return self._setting(resolved_device(self.device))

    def _setting(self, device: str) -> Setting:
        same = {name: getattr(self, name) for name in ("env", "base", "ddim_steps", "ajar", "full_open")}
        return Setting(**same, device=device, options=self.env_options)

    @property
    def trained(self) -> tuple[Path, ...]:
        """Run folders of all policies that were trained."""
        return (*([self.base] if is_trained(self.base, self.kind) else []), *self.residuals)

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.episodes)
