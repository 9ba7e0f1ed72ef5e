"""What a command is told of a setting, and the setting that is made of it. Imports no simulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mpr.core.device import resolved_device
from rl.environments.kind import EnvironmentKind
from rl.environments.registry import kind_of
from rl.environments.setting import ENVIRONMENT, Rules, Setting, rules_of


@dataclass(frozen=True)
class SettingConfig(Rules):
    """What a command that plays in any environment is told of it: its config is one of these."""

    env: str = ENVIRONMENT  # kitchen:TASK, twin:TASK, arm, gymnasium:ID, or another package's
    env_options: str = ""  # of the environment, as "key=value key=value"; of an arm: those of `mpr robot run`
    base: Path = Path("runs/bc")  # run folder of `mpr bc`; zero: no base policy; beside an arm also stay, expert
    device: str = "cpu"  # cpu or cuda

    @property
    def kind(self) -> EnvironmentKind:
        return kind_of(self.env)

    @property
    def asked(self) -> Setting:
        """The setting as it was asked for: `check` needs no more, and this imports no torch."""
        return Setting(self.env, self.base, device=self.device, options=self.env_options, **rules_of(self))

    @property
    def setting(self) -> Setting:
        """The setting to open, on a device that is there. Raises NotReady for one that is not."""
        return replace(self.asked, device=resolved_device(self.device))
