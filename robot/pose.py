"""Where the end effector is and how it is turned: metres and unit quaternions xyzw, in the frame of the arm's base.

`turn_base_*` is a rotation written in the base's axes and applied from the left: R(turned) = R(turn_base) · R(before).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Vector = NDArray[np.float64]
UNIT = 1e-3  # by which a quaternion's length may be off


@dataclass(frozen=True, eq=False)
class Pose:
    """Position [3] in metres and quaternion [4], xyzw. Raises ValueError where one is not finite, or the quaternion not
    of length 1."""

    position: Vector
    quaternion: Vector

    def __post_init__(self) -> None:
        for name, size in (("position", 3), ("quaternion", 4)):
            value = np.array(getattr(self, name), np.float64)
            if value.shape != (size,) or not np.isfinite(value).all():
                raise ValueError(f"{name} {value}: {size} finite numbers")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if abs(np.linalg.norm(self.quaternion) - 1) > UNIT:
            raise ValueError(f"quaternion {self.quaternion} is of length {np.linalg.norm(self.quaternion):.3g}, not 1")

    @property
    def rotation(self) -> Rotation:
        """From the end effector's axes to the base's."""
        return Rotation.from_quat(self.quaternion)

    def moved(self, by: ArrayLike, turn_base: Rotation) -> Pose:
        """Shifted by metres along the base's axes, and turned about its own origin."""
        return Pose(self.position + np.asarray(by, np.float64), (turn_base * self.rotation).as_quat())


def turn_base_between(start: Pose, stop: Pose) -> Rotation:
    """The turn that brings `start` to `stop`, in the base's axes."""
    return stop.rotation * start.rotation.inv()


def angle_between(start: Pose, stop: Pose) -> float:
    """Of that turn, in radians, 0 to pi."""
    return float(turn_base_between(start, stop).magnitude())


def distance_between(start: Pose, stop: Pose) -> float:
    """Metres."""
    return float(np.linalg.norm(stop.position - start.position))


def between(start: Pose, stop: Pose, share: float) -> Pose:
    """On the straight line and the shortest turn from `start` (share 0) to `stop` (share 1)."""
    turn_base = Rotation.from_rotvec(share * turn_base_between(start, stop).as_rotvec())
    return start.moved(share * (stop.position - start.position), turn_base)
