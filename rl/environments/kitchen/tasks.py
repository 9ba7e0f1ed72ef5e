"""The three tasks: which joint, how far, which bodies, which handle. Our own table, tested against the compiled model.

Two sizes of success: `threshold` is FrankaKitchen-v1's own (a joint within 0.3 of its goal), at which the environment
ends an episode; `opened` is what we call open when we record and score. They differ for the slide cabinet alone, whose
stock threshold of 7 cm leaves it all but shut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.errors import UserError

ARM = slice(0, 7)  # qpos, and of the action: radians, joint velocities
FINGERS = slice(7, 9)
STOCK_RADIUS = 0.3  # FrankaKitchen-v1's success: within this distance of the goal
END_EFFECTOR = "end_effector"  # site between the fingers


@dataclass(frozen=True)
class Task:
    """One thing to open. Joint values are radians, or metres for the slide cabinet; shut is 0."""

    name: str
    stock_name: str  # FrankaKitchen-v1's word for it
    words: str  # ours
    clips: str  # the same task of `mpr synth`
    unit: str  # of the joint
    joint: str
    joints: tuple[int, ...]  # qpos addresses of all joints of the object
    goal: tuple[float, ...]  # FrankaKitchen-v1's goal for `joints`
    moving: int  # which of `joints` opens
    sign: float  # of the joint value when it opens
    opened: float  # magnitude of joint travel that we call open
    limit: float  # magnitude of joint travel at which it stops
    ajar: float  # the most it stands open at reset when asked to stand ajar
    still: float  # travel under which it has not moved
    handle: str  # site
    object_bodies: tuple[str, ...]  # the whole appliance
    part_bodies: tuple[str, ...]  # what moves

    @property
    def qpos(self) -> int:
        """qpos address of the joint that opens."""
        return self.joints[self.moving]

    def travel(self, qpos: NDArray) -> NDArray[np.float64]:
        """How far open, [...] from qpos [..., nq]: 0 is shut, growing as it opens."""
        return self.sign * qpos[..., self.qpos]

    def solved(self, qpos: NDArray) -> bool:
        """FrankaKitchen-v1's success."""
        return bool(np.linalg.norm(qpos[list(self.joints)] - self.goal) < STOCK_RADIUS)


MICROWAVE = Task(
    name="microwave",
    stock_name="microwave",
    words="a microwave",
    clips="open_microwave",
    unit="rad",
    joint="microwave",
    joints=(22,),
    goal=(-0.75,),
    moving=0,
    sign=-1.0,
    opened=0.45,
    limit=2.094,
    ajar=0.35,
    still=0.02,
    handle="microhandle_site",
    object_bodies=("microroot", "microdoorroot"),
    part_bodies=("microdoorroot",),
)
HINGE = Task(
    name="hinge",
    stock_name="hinge cabinet",
    words="a hinged cabinet",
    clips="open_hinge_cabinet",
    unit="rad",
    joint="right_hinge_cabinet",
    joints=(20, 21),
    goal=(0.0, 1.45),
    moving=1,
    sign=1.0,
    opened=1.15,
    limit=1.57,
    ajar=0.35,
    still=0.02,
    handle="hinge_site2",
    object_bodies=("hingecab", "hingeleftdoor", "hingerightdoor"),
    part_bodies=("hingeleftdoor", "hingerightdoor"),
)
SLIDE = Task(
    name="slide",
    stock_name="slide cabinet",
    words="a sliding cabinet",
    clips="open_slide_cabinet",
    unit="m",
    joint="slide_cabinet",
    joints=(19,),
    goal=(0.37,),
    moving=0,
    sign=1.0,
    opened=0.25,
    limit=0.44,
    ajar=0.05,
    still=0.005,
    handle="slide_site",
    object_bodies=("slide", "slidelink"),
    part_bodies=("slidelink",),
)
TASKS = {task.name: task for task in (MICROWAVE, HINGE, SLIDE)}


def goal(task: str, fully: bool) -> str:
    """What success means, in a word or two: FrankaKitchen-v1's, or, `fully`, as far as we call open."""
    return f"{task}, fully" if fully else task


def find_task(name: str) -> Task:
    """The task of that name. Raises UserError naming those that exist."""
    if name not in TASKS:
        raise UserError(f"no kitchen task '{name}'; there is {', '.join(TASKS)}")
    return TASKS[name]
