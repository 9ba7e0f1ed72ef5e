"""How far a task's thing is to open, how far demonstrations open it, and how far beyond that an episode came.

    shut 0 ---- ajar ---- shown_travel ---- goal_travel ---- limit      radians, or metres for the slide cabinet

Three settings follow from it. Today's: FrankaKitchen-v1's own goal, demonstrations reach it. `goal_travel`: another
goal, and they reach that; `full_open` is short for the one that we call open. `shown_travel` beside either:
demonstrations, and so the base policy, end short of the goal, and what they lack only practice can find. There they
come to rest: actions are velocities, and a policy cloned from ways that were broken off goes on beyond them (0.46 of
the way from 0.45 to 0.8 rad at the microwave, results/calibration).
Imports no simulator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mpr.core.config import check_ranges
from mpr.core.errors import UserError
from rl.environments.kitchen.setting import KITCHEN_STEP_LIMIT
from rl.environments.kitchen.tasks import STOCK_RADIUS, Task, find_task
from rl.environments.setting import DOOR_RANGES, OPENING_RANGES, DoorOptions, OpeningOptions

REST_STEPS = 16  # for which the arm is held at the end of what is shown: as far as the base policy looks ahead


@dataclass(frozen=True)
class KitchenOpening:
    """What a setting asks of a task's joint. Travels are radians, or metres for the slide cabinet."""

    task: Task  # with the goal as its `opened` where one is asked for: expert and `dense` reward go by that
    threshold: float | None  # travel that counts as success; None: FrankaKitchen-v1's own success
    shown: float | None  # travel at which demonstrations are cut off; None: they reach the goal
    step_limit: int

    @property
    def goal(self) -> float:
        """Travel at which an episode succeeds."""
        return stock_goal(self.task) if self.threshold is None else self.threshold

    @property
    def demonstrated(self) -> KitchenOpening:
        """What the expert is asked for when it demonstrates: the goal, or what is shown of the way there."""
        if self.shown is None:
            return self
        return replace(self, task=replace(self.task, opened=self.shown), threshold=self.shown, shown=None)

    @property
    def words(self) -> str:
        """What demonstrations show, in a word or two: those of other words, and their policies, are refused.

        Where they end short of the goal it is not in the words: for another goal they are the same.
        """
        own, name, unit = find_task(self.task.name), self.task.name, self.task.unit
        if self.shown is not None:
            return f"{name}, shown to rest at {self.shown:g} {unit}"
        if self.threshold is None:
            return name
        return f"{name}, fully" if self.threshold == own.opened else f"{name} to {self.threshold:g} {unit}"


def stock_goal(task: Task) -> float:
    """Travel at which FrankaKitchen-v1 calls a task solved, its other joints being where they are to be."""
    return abs(task.goal[task.moving]) - STOCK_RADIUS


def asked_task(name: str, options: OpeningOptions) -> Task:
    """The task of that name, called open at the goal that is asked for.

    Raises UserError for a task that does not exist, and a goal or a step limit that cannot be.
    """
    check_ranges(options, OPENING_RANGES)
    task, goal = find_task(name), options.goal_travel
    if goal is not None and goal > task.limit:
        raise UserError(f"--goal_travel {goal:g}: {task.words} opens no further than {task.limit:g} {task.unit}")
    return task if goal is None else replace(task, opened=goal)


def kitchen_opening(name: str, options: DoorOptions) -> KitchenOpening:
    """What is asked of the task of that name.

    Raises UserError for travels that do not lie as they have to: door at the start, shown, goal, limit.
    """
    check_ranges(options, DOOR_RANGES)
    if options.full_open and options.goal_travel is not None:
        raise UserError("--full_open is short for a --goal_travel: leave one of them out")
    task = asked_task(name, options)
    threshold = task.opened if options.full_open else options.goal_travel
    found = KitchenOpening(task, threshold, options.shown_travel, options.step_limit or KITCHEN_STEP_LIMIT)
    shown, unit = found.shown, task.unit
    if shown is not None and shown >= found.goal:
        raise UserError(
            f"--shown_travel {shown:g}: demonstrations are to end short of the goal, which is {found.goal:g} {unit} "
            "(--goal_travel); leave it out for ones that reach it"
        )
    first = found.goal if shown is None else shown
    if options.ajar and first <= task.ajar:
        option = "--goal_travel" if shown is None else "--shown_travel"
        raise UserError(f"{option} {first:g}: with --ajar the door stands up to {task.ajar:g} {unit} open already")
    return found


def beyond_shown(furthest: float, shown: float, goal: float) -> float:
    """How much of the way from what was shown to the goal an episode came at its furthest: 0 to 1."""
    return min(max((furthest - shown) / (goal - shown), 0.0), 1.0)
