"""Tasks: which joint, how far, which bodies, which handle, how it is gripped and seen.

Ours are tested against the compiled model.

Two sizes of success: `threshold` is FrankaKitchen-v1's own (a joint within 0.3 of its goal), at which the environment
ends an episode; `opened` is what we call open when we record and score. They differ only for the slide cabinet, whose
stock threshold of 7 cm leaves it all but shut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.core.registry import Registry

ARM = slice(0, 7)  # qpos, and of the action: radians, joint velocities
FINGER_JOINTS = slice(7, 9)
STOCK_RADIUS = 0.3  # FrankaKitchen-v1's success: within this distance of the goal
END_EFFECTOR = "end_effector"  # site between the fingers


@dataclass(frozen=True)
class HandleGrasp:
    """How the arm holds a task's handle: found by a search over poses for reach, free joints and no contact."""

    posture: tuple[float, ...]  # joints [7] before the handle
    yaw: float  # radians by which the gripper looks off +y, counter-clockwise from above
    flipped: bool  # the hand turned half about its axis
    depth: float = 0.01  # metres from the gripper's site to the handle when it grips
    follow: float = 0.0  # share of the door's turn that the gripper turns along


@dataclass(frozen=True)
class CameraAngles:
    """Where a camera stands around a task's centre."""

    azimuth: float  # degrees from straight before the kitchen (-y); positive: further right (+x)
    elevation: float  # degrees above the centre
    distance: float  # metres


@dataclass(frozen=True)
class TaskViews:
    """The cameras of a task. `mirrored` is flipped left-right; the held-out ones are for reported evaluation only."""

    front: CameraAngles = CameraAngles(0, 10, 1.75)
    left: CameraAngles = CameraAngles(-18, 18, 1.75)
    right: CameraAngles = CameraAngles(26, 20, 1.8)
    high: CameraAngles = CameraAngles(4, 42, 1.75)
    low: CameraAngles = CameraAngles(-12, -4, 1.7)
    mirrored: CameraAngles = CameraAngles(-14, 30, 1.75)
    held_out_1: CameraAngles = CameraAngles(14, 2, 1.85)
    held_out_2: CameraAngles = CameraAngles(-30, 36, 1.75)


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
    centre: tuple[float, float, float]  # metres, world: middle of what one looks at
    views: TaskViews = TaskViews()
    grasp: HandleGrasp | None = None  # of the scripted expert; none: no scripted episodes

    @property
    def qpos(self) -> int:
        """qpos address of the joint that opens."""
        return self.joints[self.moving]

    def travel(self, qpos: NDArray) -> NDArray[np.float64]:
        """How far open, [...] from qpos [..., nq]: 0 is shut, growing as it opens."""
        return self.sign * qpos[..., self.qpos]

    def solved(self, qpos: NDArray) -> bool:
        """FrankaKitchen-v1's success in the state `qpos` [nq]."""
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
    centre=(-0.75, 0.45, 1.80),
    # It stands in a corner: its views keep clear of the wall to its left.
    views=TaskViews(
        front=CameraAngles(0, 12, 1.75),
        left=CameraAngles(-16, 20, 1.8),
        right=CameraAngles(26, 30, 1.8),
        high=CameraAngles(8, 48, 1.75),
        low=CameraAngles(-8, -1, 1.6),
        mirrored=CameraAngles(-12, 34, 1.8),
        held_out_1=CameraAngles(14, 6, 1.85),
        held_out_2=CameraAngles(-18, 50, 1.8),
    ),
    grasp=HandleGrasp((-1.013, -1.596, 2.146, -1.533, -1.016, 0.92, -0.452), 0.26, True),
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
    centre=(-0.50, 0.60, 2.58),
    views=TaskViews(
        front=CameraAngles(-8, 8, 1.75),
        left=CameraAngles(-27, 14, 1.7),
        right=CameraAngles(24, 16, 1.8),
        high=CameraAngles(5, 42, 1.75),
        low=CameraAngles(-24, -12, 1.7),
        mirrored=CameraAngles(-20, 28, 1.75),
        held_out_1=CameraAngles(14, -3, 1.85),
        held_out_2=CameraAngles(-56, 32, 1.75),
    ),
    grasp=HandleGrasp((-0.751, -0.659, 1.219, -1.588, -0.243, 1.269, 0.847), 0.15, False, -0.008),
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
    centre=(0.25, 0.65, 2.58),
    views=TaskViews(
        front=CameraAngles(8, 8, 1.75),
        left=CameraAngles(-18, 18, 1.75),
        right=CameraAngles(44, 14, 1.75),
        high=CameraAngles(-4, 42, 1.75),
        low=CameraAngles(26, -12, 1.7),
        mirrored=CameraAngles(28, 28, 1.75),
        held_out_1=CameraAngles(18, -3, 1.85),
        held_out_2=CameraAngles(56, 32, 1.75),
    ),
    grasp=HandleGrasp((-0.61, -0.849, 0.759, -1.929, -0.625, 0.905, 1.103), -0.49, False),
)
KITCHEN_TASKS = Registry(
    "kitchen task",
    "mpr.kitchen_tasks",
    {name: f"{__name__}:{name.upper()}" for name in ("microwave", "hinge", "slide")},
)


def stock_travel(task: Task) -> float:
    """How far open FrankaKitchen-v1 calls it solved, where the object's other joints are as they are to be."""
    return abs(task.goal[task.moving]) - STOCK_RADIUS


def goal(task: str, full_open: bool) -> str:
    """What success means, in a word or two: FrankaKitchen-v1's, or, with `full_open`, as far as we call open."""
    return f"{task}, fully" if full_open else task


def check_expert(name: str) -> None:
    """Raises UserError for a task that does not exist or that no scripted expert does."""
    if find_task(name).grasp is None:
        raise UserError(f"kitchen task '{name}' has no grasp: it has no scripted expert")


def find_task(name: str) -> Task:
    """The task of that name. Raises UserError naming those that exist, and for what is no task."""
    found = KITCHEN_TASKS.load(name)
    if not isinstance(found, Task) or found.name != name:
        raise UserError(f"kitchen task '{name}' is {found!r}, no Task of rl.environments.kitchen.tasks of that name")
    return found
