"""The kitchen's own picture of a task done, for a reward that compares pictures where nobody gives it one.

It is privileged, in that reward's favour: the door stands exactly as far open as is asked for, the camera is the one
that the episodes are seen by, and the arm holds the handle as the scripted expert would at its end. But it is of a
start that no episode plays.
"""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import Plan
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.tasks import ARM, Task
from rl.environments.kitchen.tracked import square
from rl.environments.starts import SEEDS_BY_ROLE

GOAL_START = max(starts.stop for starts in SEEDS_BY_ROLE.values())  # the first that no role has
_SWING = 30  # steps of the plan whose last pose the arm is in


@lru_cache(maxsize=32)  # compiling the kitchen takes seconds, and every run of an experiment asks
def kitchen_goal_image(task: Task, travel: float, view: str, start: int = GOAL_START) -> NDArray[np.uint8]:
    """The door at `travel` (radians, metres), uint8 RGB [256, 256, 3], in the square that its episodes are seen in.

    `start`: where the robot stands, one that no episode plays. Raises UserError for a view that does not exist, and
    NoGL.
    """
    with closing(KitchenEnvironment(task)) as environment, KitchenImages(task, (view,), CROP_SIZE) as images:
        environment.reset(seed=start)
        qpos = environment.data.qpos.copy()
        if task.grasp is not None:
            qpos[ARM] = Plan(environment).reach().grip().swing(travel, _SWING).q
        qpos[task.qpos] = task.sign * travel
        renderer = images.look(scene_recording(task, environment.base_offset, qpos[None], view))
        renderer.crop = square(task, view)
        return renderer.frame(0)
