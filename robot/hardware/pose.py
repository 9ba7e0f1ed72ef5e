"""Where the end effector is and how it is turned: metres and unit quaternions xyzw, in the frame of the arm's base.

`turn_base_*` is a rotation written in the base's axes and applied from the left: R(turned) = R(turn_base) · R(before).
What every command is measured by works on plain numbers: scipy's Rotation is for what is done once a command.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

Vector = NDArray[np.float64]
_UNIT = 1e-3  # by which a quaternion's length may be off
NO_TURN = 1e-12  # radians: a turn without an axis


@dataclass(frozen=True, eq=False)
class Pose:
    """Position [3] in metres and quaternion [4], xyzw, made exactly unit.

    Raises ValueError where one is not finite, or the quaternion not of length 1.
    """

    position: Vector
    quaternion: Vector

    def __post_init__(self) -> None:
        for name, size in (("position", 3), ("quaternion", 4)):
            value = np.array(getattr(self, name), np.float64)
            if value.shape != (size,) or not all(map(math.isfinite, value.tolist())):
                raise ValueError(f"{name} {value}: {size} finite numbers")
            if name == "quaternion":
                length = math.hypot(*value.tolist())
                if abs(length - 1) > _UNIT:
                    raise ValueError(f"quaternion {value} is of length {length:.3g}, not 1")
                value /= length
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def rotation(self) -> Rotation:
        """From the end effector's axes to the base's."""
        from scipy.spatial.transform import Rotation  # half a second, and no command's help needs it

        return Rotation.from_quat(self.quaternion)

    def moved(self, by: ArrayLike, turn_base: Rotation) -> Pose:
        """Shifted by metres along the base's axes, and turned about its own origin."""
        return Pose(self.position + np.asarray(by, np.float64), (turn_base * self.rotation).as_quat())


def turn_base_between(start: Pose, stop: Pose) -> Rotation:
    """The turn that brings `start` to `stop`, in the base's axes."""
    return stop.rotation * start.rotation.inv()


def angle_between(start: Pose, stop: Pose) -> float:
    """Of that turn, in radians, 0 to pi."""
    return 2 * _half_angle(start.quaternion, stop.quaternion)


def distance_between(start: Pose, stop: Pose) -> float:
    """Metres."""
    return math.dist(start.position.tolist(), stop.position.tolist())


def between(start: Pose, stop: Pose, share: float) -> Pose:
    """On the straight line and the shortest turn from `start` (share 0) to `stop` (share 1)."""
    position = start.position + share * (stop.position - start.position)
    half, across = arc(start, stop)
    return Pose(position, math.cos(share * half) * start.quaternion + math.sin(share * half) * across)


def arc(start: Pose, stop: Pose) -> tuple[float, Vector]:
    """The shortest turn as an arc of the sphere that unit quaternions lie on.

    Half its angle h (radians), and the unit vector u [4] square to `start`, such that the turn passes cos(x) · start +
    sin(x) · u for x in 0..h.
    """
    half = _half_angle(start.quaternion, stop.quaternion)
    if half < NO_TURN:
        return 0.0, np.zeros(4)
    cosine = float(start.quaternion @ stop.quaternion)
    across = math.copysign(1.0, cosine) * (stop.quaternion - cosine * start.quaternion)
    return half, across / math.hypot(*across.tolist())


def _half_angle(start: Vector, stop: Vector) -> float:
    """0 to pi/2. Not by an arc cosine, which is blind to small angles."""
    (x, y, z, w), (a, b, c, d) = start.tolist(), stop.tolist()
    along = (w * a - x * d + y * c - z * b, w * b - y * d + z * a - x * c, w * c - z * d + x * b - y * a)
    return math.atan2(math.hypot(*along), abs(x * a + y * b + z * c + w * d))
