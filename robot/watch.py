"""Whether what an action is made of is news: fresh, in order, and no picture that has stopped to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot.arm import ArmState
from robot.camera import Picture
from robot.pose import Pose, distance_between
from robot.safety import Limits

AHEAD = 0.01  # seconds: clocks of two devices agree no better
BLACK = 8  # of 255: no pixel of a lit room stays below
MOVED = 0.03  # metres of the arm, after which no camera that sees it shows the same picture


@dataclass(frozen=True, eq=False)
class Seen:
    """What an action is made of."""

    state: ArmState
    pictures: Mapping[str, Picture]
    time: float  # seconds of the clock: when it was put together


class Watch:
    """Compares what is seen with what was seen before."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._state = -np.inf  # time of the newest state
        self._pictures: dict[str, Picture] = {}  # the newest of each camera
        self._changed: dict[str, tuple[Picture, Pose]] = {}  # a picture, and where the arm was when it first showed

    def wrong(self, seen: Seen, now: float) -> tuple[str, str]:
        """A kind of fault, to be counted, and one line about it; empty where nothing is wrong."""
        before, self._state = self._state, max(self._state, seen.state.time)
        if seen.state.time < before:
            return "time backwards", f"the arm's state is {before - seen.state.time:.3f} s older than the one before"
        found = self._age("state", "the arm's state", now - seen.state.time, self.limits.state_age)
        for name, picture in seen.pictures.items():
            found = found or self._picture(name, picture, seen.state.pose, now)
        if not found and now - seen.time > self.limits.command_age:
            found = "stale command", f"a command made of what was seen {now - seen.time:.3f} s ago"
        return found or ("", "")

    def _age(self, kind: str, what: str, age: float, most: float) -> tuple[str, str] | None:
        if not age >= -AHEAD:  # NaN, too
            return "time ahead", f"{what} is {-age:.3f} s ahead of the clock"
        if not age <= most:
            return f"stale {kind}", f"{what} is {age:.3f} s old, {most:g} s at most"
        return None

    def _picture(self, name: str, picture: Picture, pose: Pose, now: float) -> tuple[str, str] | None:
        what = f"camera {name}"
        before, self._pictures[name] = self._pictures.get(name, picture), picture
        if picture.time < before.time:
            return "time backwards", f"{what}: a picture {before.time - picture.time:.3f} s older than the one before"
        if picture.number != before.number and picture.time == before.time:
            return "duplicate stamp", f"{what}: pictures {before.number} and {picture.number} have the same time"
        if aged := self._age("picture", f"the picture of {what}", now - picture.time, self.limits.picture_age):
            return aged
        if picture.image.max() < BLACK:
            return "black picture", f"{what} shows black"
        first, there = self._changed.setdefault(name, (picture, pose))
        if not np.array_equal(first.image, picture.image):
            self._changed[name] = picture, pose
        elif distance_between(there, pose) > MOVED:
            return "frozen picture", f"{what} shows the same, and the arm moved {distance_between(there, pose):.3f} m"
        return None
