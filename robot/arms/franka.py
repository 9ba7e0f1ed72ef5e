"""What every backend of a Franka arm shares: where home is, where the hand sits, when a reading is news."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from robot.hardware.arm import ArmError
from robot.hardware.pose import Pose, Vector

FRANKA_HOME_RAD = np.array(
    [0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4]
)  # joints, radians: the hand points down
FRANKA_HOME_POSE = Pose(np.array([0.3069, 0, 0.4869]), np.array([1.0, 0, 0, 0]))  # of the end effector there
HAND = Pose(np.array([0, 0, 0.1034]), np.array([0, 0, -np.sin(np.pi / 8), np.cos(np.pi / 8)]))
# ^ the Franka Hand's end effector, between the finger tips, in the flange's frame (panda_link8)
HAND_WIDEST_M = 0.08  # metres between the fingers
SHUT = 0.01  # metres: a wish below is to close with force on whatever is there
_ENOUGH = 0.004  # metres by which a wished width has to change for the hand to be told
HOMED = 0.03  # radians by which a joint may be off, home


def applied(pose: Pose, tool: Pose) -> Pose:
    """The pose of a tool that is fixed to a frame at `pose`, `tool` being its pose in that frame."""
    position = pose.position + pose.rotation.as_matrix() @ tool.position
    return Pose(position, (pose.rotation * tool.rotation).as_quat())


def inverse(pose: Pose) -> Pose:
    """applied(applied(pose, tool), inverse(tool)) is pose."""
    back = pose.rotation.inv()
    return Pose(-back.as_matrix() @ pose.position, back.as_quat())


def normal(quaternion: ArrayLike) -> Vector:
    """Of length 1. Nought stays as it is: Pose refuses it."""
    quaternion = np.asarray(quaternion, np.float64)
    return quaternion / (np.linalg.norm(quaternion) or 1.0)


def wished(width: float, told: float, widest: float) -> float:
    """The width in metres that the hand is to be told: the one it was told last, unless the wish is another.

    0 is to close with force on whatever is there. Raises ArmError for what is no width.
    """
    if not np.isfinite(width):
        raise ArmError(f"a gripper width of {width} m: a finite number")
    wish = 0.0 if width < SHUT else min(float(width), widest)
    return told if abs(wish - told) <= _ENOUGH else wish


class StateStamp:
    """When a reading was made, on this machine's clock.

    A controller stamps its readings with a clock of its own, which is not ours and may not even run at our speed. So a
    reading is of the time at which it was asked for when it was first seen; while the controller's clock stands still
    or goes back, it is not news and keeps its time, and so grows stale.
    """

    def __init__(self) -> None:
        self._theirs, self._ours = -np.inf, -np.inf

    def of(self, theirs: float, asked: float) -> float:
        """`theirs` is the controller's time, `asked` ours before the reading was asked for; both in seconds."""
        if theirs > self._theirs:
            self._theirs, self._ours = theirs, asked
        return self._ours
