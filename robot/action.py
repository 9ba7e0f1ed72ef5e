"""The 8-d action, as the paper's authors have it (FACTS 1.2): what the numbers mean, and how a residual corrects them.

action = (dx, dy, dz, qx, qy, qz, qw, g) in -1..1
target position  = measured position + 0.05 m · (dx, dy, dz)
target rotation  = R(q / |q|) · measured rotation          base's axes, from the left; q = 0 turns nothing
gripper width    = 0.04 m + 0.04 m · g                     absolute

executed: position and gripper = base + alpha · residual
          rotation             = R(alpha · 0.1 · rotvec(residual)) · R(base), the residual from the left
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.arm import ArmState, Target
from robot.pose import turn_base_between

SIZE = 8
STEP = 0.05  # metres a unit
HALF_WIDTH = 0.04  # metres of gripper width a unit, and at 0
ROTATION_FACTOR = 0.1  # of a residual's turn
SMALL = 1e-6  # a quaternion shorter than this turns nothing

Action = NDArray[np.float64]  # [8]
NOTHING: Action = np.array([0, 0, 0, 0, 0, 0, 1, 0], np.float64)  # stays where it is; the gripper half open


def turn_base_of(action: Action) -> Rotation:
    """The turn that an action (or a residual) asks for."""
    quaternion = np.asarray(action, np.float64)[3:7]
    length = np.linalg.norm(quaternion)
    return Rotation.from_quat(quaternion / length) if length > SMALL else Rotation.identity()


def target_of(action: Action, state: ArmState) -> Target:
    """Where an action sends the arm that stands as measured. Raises ValueError for what is not 8 finite numbers."""
    action = np.asarray(action, np.float64)
    if action.shape != (SIZE,) or not np.isfinite(action).all():
        raise ValueError(f"an action is {SIZE} finite numbers, got shape {action.shape}: {action}")
    action = np.clip(action, -1, 1)
    pose = state.pose.moved(STEP * action[:3], turn_base_of(action))
    return Target(pose, HALF_WIDTH * (1 + float(action[7])))


def action_of(target: Target, state: ArmState) -> Action:
    """The action that sends the arm there: what was really sent, in a policy's terms. May leave -1..1."""
    quaternion = turn_base_between(state.pose, target.pose).as_quat(canonical=True)
    by = (target.pose.position - state.pose.position) / STEP
    return np.concatenate([by, quaternion, [target.width / HALF_WIDTH - 1]])


def composed(base: Action, residual: Action, alpha: float) -> Action:
    """A base action [8] corrected by a residual [8]."""
    turn_base = Rotation.from_rotvec(alpha * ROTATION_FACTOR * turn_base_of(residual).as_rotvec()) * turn_base_of(base)
    linear = np.clip(np.asarray(base, np.float64) + alpha * np.asarray(residual, np.float64), -1, 1)
    return np.concatenate([linear[:3], turn_base.as_quat(canonical=True), linear[7:]])


def residual_of(action: Action, base: Action, alpha: float) -> Action:
    """The residual that makes `action` of `base`: a demonstration's label. May leave -1..1 in position and gripper;
    a turn that no residual can make is the nearest one."""
    linear = (np.asarray(action, np.float64) - np.asarray(base, np.float64)) / alpha
    vector = (turn_base_of(action) * turn_base_of(base).inv()).as_rotvec() / (alpha * ROTATION_FACTOR)
    size = np.linalg.norm(vector)
    turn_base = Rotation.from_rotvec(vector * min(1.0, np.pi / size) if size > 0 else vector)
    return np.concatenate([linear[:3], turn_base.as_quat(canonical=True), linear[7:]])
