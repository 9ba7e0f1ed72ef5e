"""Whether what an action is made of is news: fresh, in order, whole, and no image that has stopped to change.

Compared is with the last of each that was accepted: one wrong time does not make the right ones after it look wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from robot.hardware.arm import ArmState
from robot.hardware.camera import CameraImage
from robot.hardware.fault_kind import FaultKind
from robot.hardware.pose import Pose, distance_between
from robot.safety.limits import Limits

CLOCK_TOLERANCE_S = 0.01  # seconds: clocks of two devices agree no better
BLACK, LIT = 16, 0.01  # of 255, which this share of an image reaches in any lit room; the noise of a dark one does not
_MOVED = 0.03  # metres of the arm, after which no camera that sees it shows the same image
_FASTEST = 3.0  # metres per second: no arm of ours moves faster

Wrong = tuple[FaultKind, str]  # and one line about it


@dataclass(frozen=True, eq=False)
class Seen:
    """What an action is made of."""

    state: ArmState
    images: Mapping[str, CameraImage]
    time: float  # seconds of the clock: when it was put together


@dataclass(frozen=True, eq=False)
class _Shown:
    """An image that was new, and what the arm has done since."""

    camera_image: CameraImage
    pose: Pose  # of the arm when it first showed
    moved: float = math.inf  # when the arm was seen to have moved away from there


def bad_state(state: ArmState) -> Wrong | None:
    """A state that is none: not finite."""
    if np.isfinite(state.joints).all() and math.isfinite(state.width):
        return None
    return FaultKind.BAD_STATE, f"the arm's state is not finite: joints {state.joints}, width {state.width}"


def bad_image(name: str, camera_image: CameraImage, size: tuple[int, int] | None = None) -> Wrong | None:
    """An image that is none: not uint8 [H, W, 3]; or not of the size (H, W) that the camera gives."""
    image = camera_image.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        return FaultKind.BAD_IMAGE, f"camera {name}: {image.dtype} {image.shape} is no image"
    if size is not None and image.shape[:2] != size:
        return FaultKind.BAD_IMAGE, f"camera {name}: an image of {image.shape[:2]} pixels, it gives {size}"
    return None


class SafetyWatch:
    """Compares what is seen with what was seen before."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._state: ArmState | None = None
        self._names: set[str] = set()  # cameras
        self._images: dict[str, CameraImage] = {}  # the newest of each camera
        self._shown: dict[str, _Shown] = {}

    def wrong(self, seen: Seen, now: float) -> Wrong | None:
        """The first thing that is wrong with what is seen; none where nothing is."""
        found = self._wrong_state(seen.state, now)
        for name in sorted(self._names - seen.images.keys()):
            found = found or (FaultKind.NO_IMAGE, f"camera {name} gives no image")
        for name, camera_image in seen.images.items():
            self._names.add(name)
            found = found or self._wrong_image(name, camera_image, seen.state, now)
        return found or self._wrong_time(FaultKind.STALE_COMMAND, "what the command is made of", seen.time, now)

    def looked(self, now: float) -> None:
        """A person has looked, or the arm was brought elsewhere: it may stand anywhere. Where the clock was set back,
        older times say nothing any more."""
        self._state = None
        if not all(camera_image.time <= now + CLOCK_TOLERANCE_S for camera_image in self._images.values()):
            self._images, self._shown = {}, {}

    def _wrong_state(self, state: ArmState, now: float) -> Wrong | None:
        before = self._state
        if bad := bad_state(state):
            return bad
        if old := self._wrong_time(FaultKind.STALE_STATE, "the arm's state", state.time, now, before and before.time):
            return old
        if before is not None:
            later, moved = state.time - before.time, distance_between(before.pose, state.pose)
            if moved > _MOVED + _FASTEST * later:
                return FaultKind.ARM_JUMPED, f"the arm stands {moved:.3f} m from where it was {later:.3f} s before"
        self._state = state
        return None

    def _wrong_image(self, name: str, camera_image: CameraImage, state: ArmState, now: float) -> Wrong | None:
        what, image, before = f"camera {name}", camera_image.image, self._images.get(name)
        if before is not None and (camera_image.number == before.number) != (camera_image.time == before.time):
            numbers, times = f"{before.number}, {camera_image.number}", f"{before.time:.3f}, {camera_image.time:.3f}"
            return FaultKind.DUPLICATE_STAMP, f"{what}: two images, numbers {numbers}, taken at {times} s"
        then = before and before.time
        if old := self._wrong_time(FaultKind.STALE_IMAGE, f"the image of {what}", camera_image.time, now, then):
            return old
        if bad := bad_image(name, camera_image):
            return bad
        some = image[::4, ::4]
        if np.count_nonzero(some >= BLACK) < LIT * some.size:
            return FaultKind.BLACK_IMAGE, f"{what} shows black"
        self._images[name] = camera_image
        return self._frozen(name, camera_image, state)

    def _wrong_time(
        self, stale: FaultKind, what: str, time: float, now: float, before: float | None = None
    ) -> Wrong | None:
        ages = {
            FaultKind.STALE_STATE: self.limits.state_age,
            FaultKind.STALE_IMAGE: self.limits.image_age,
            FaultKind.STALE_COMMAND: self.limits.command_age,
        }
        age, most = now - time, ages[stale]
        if not math.isfinite(age):
            return FaultKind.BAD_TIME, f"{what} has no time"
        if before is not None and time < before:
            return FaultKind.TIME_BACKWARDS, f"{what} is {before - time:.3f} s older than the one before"
        if age < -CLOCK_TOLERANCE_S:
            return FaultKind.TIME_AHEAD, f"{what} is {-age:.3f} s ahead of the clock"
        if age > most:
            return stale, f"{what} is {age:.3f} s old, {most:g} s at most"
        return None

    def _frozen(self, name: str, camera_image: CameraImage, state: ArmState) -> Wrong | None:
        """An image that was taken after the arm moved, and still shows what it showed before."""
        shown = self._shown.setdefault(name, _Shown(camera_image, state.pose))
        if not _same(shown.camera_image.image, camera_image.image):
            self._shown[name] = _Shown(camera_image, state.pose)
            return None
        if camera_image.time > shown.moved:
            return FaultKind.FROZEN_IMAGE, f"camera {name} shows the same as before the arm moved"
        if distance_between(shown.pose, state.pose) > _MOVED:
            self._shown[name] = replace(shown, moved=min(shown.moved, state.time))
        return None


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one is other:
        return True
    return np.array_equal(one[::16, ::16], other[::16, ::16]) and np.array_equal(one, other)
