"""Franka Kitchen as a kind of environment: `--env kitchen:microwave`, hinge or slide. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rl.environments.kind import EnvironmentKind
from rl.environments.kitchen.camera import check_view
from rl.environments.kitchen.opening import kitchen_opening
from rl.environments.kitchen.setting import ACTION, STATE
from rl.environments.kitchen.start_options import start_of
from rl.environments.kitchen.tasks import find_task
from rl.environments.setting import RewardView, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mpr.core.data.episode import Episode
    from mpr.reward.model import Track
    from rl.environments.practice import PracticeEnvironment


class KitchenKind(EnvironmentKind):
    """Adds and clips; `dense` sees what no camera does; recordings show every episode from any view."""

    seen: ClassVar[bool] = True
    sizes: ClassVar[tuple[int, int] | None] = (STATE + ACTION, ACTION)
    filmed: ClassVar[bool] = True

    def check(self, setting: Setting) -> None:
        kitchen_opening(setting.name, setting)
        start_of(setting)

    def check_view(self, view: str) -> None:
        check_view(view)

    def goal(self, setting: Setting) -> str:
        return kitchen_opening(setting.name, setting).words

    def step_limit(self, setting: Setting) -> int:
        return kitchen_opening(setting.name, setting).step_limit

    def ends_short(self, setting: Setting) -> bool:
        return setting.shown_travel is not None

    def open(self, setting: Setting, view: str = "") -> AbstractContextManager[PracticeEnvironment]:
        from rl.environments.kitchen.with_base import kitchen_with_base

        return kitchen_with_base(setting, view)

    def track(self, setting: Setting, reward_view: RewardView) -> Track:
        from rl.environments.kitchen.tracked import tracked_from

        task = kitchen_opening(setting.name, setting).task  # its square holds the door up to the goal that is asked for
        return tracked_from(task, reward_view.view, reward_view.tracker)

    def goal_image(self, setting: Setting, view: str) -> NDArray[np.uint8]:
        from rl.environments.kitchen.goal_image import kitchen_goal_image

        opening = kitchen_opening(setting.name, setting)
        return kitchen_goal_image(opening.task, opening.goal, view)

    def film(self, file: Path, episodes: Mapping[str, Episode], setting: Setting, view: str) -> None:
        from rl.environments.kitchen.films import film

        film(file, episodes, find_task(setting.name), view)
