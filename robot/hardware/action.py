"""The 8-d action, as the paper's authors have it: what the numbers mean, and how a residual corrects them.

The paper is arXiv 2602.11393; its authors' code is github.com/MVerghese/FrankaControl (Franka_Gym_Environment).

action = (dx, dy, dz, qx, qy, qz, qw, g) in -1..1
target position  = measured position + 0.05 m · (dx, dy, dz)
target rotation  = R(q / |q|) · measured rotation          base's axes, from the left; q = 0 turns nothing
gripper width    = 0.04 m + 0.04 m · g                     absolute

Targets may count from the last target instead of the measured pose (robot.hardware.counting): a spring and friction
then leave no part of what is asked undone, beat after beat; the guard's lead bounds how far the target runs ahead.

executed: position and gripper = base + residual_scale · residual
          rotation             = R(residual_scale · 0.1 · rotvec(residual)) · R(base), the residual from the left

What is not finite stays so, for the guard to refuse: it is neither clipped to something nor taken for no turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.hardware.arm import ArmState, Target
from robot.hardware.pose import turn_base_between

ACTION_SIZE = 8
STEP_M = 0.05  # metres a unit
HALF_WIDTH = 0.04  # metres of gripper width a unit, and at 0
ROTATION_FACTOR = 0.1  # of a residual's turn
HALF_TURN = np.pi * (1 - 1e-6)  # radians: the most that a quaternion says, and at half a turn itself not which way
SMALL = 1e-6  # a quaternion shorter than this turns nothing

RobotAction = NDArray[np.float64]  # [8]
NOTHING: RobotAction = np.array([0, 0, 0, 0, 0, 0, 1, 0], np.float64)  # stays where it is; the gripper half open


def turn_base_of(action: RobotAction) -> Rotation:
    """The turn that an action (or a residual) asks for. Raises ValueError for one that is not finite."""
    quaternion = np.asarray(action, np.float64)[3:7]
    largest = float(np.abs(quaternion).max())
    if not np.isfinite(largest):
        raise ValueError(f"no turn: quaternion {quaternion}")
    if largest > 1:  # the length of a huge one would overflow
        quaternion = quaternion / largest
    length = np.linalg.norm(quaternion)
    return Rotation.from_quat(quaternion / length) if length > SMALL else Rotation.identity()


def bounded(action: RobotAction) -> RobotAction:
    """A finite action within -1..1; its quaternion scaled, since clipped it would turn about another axis."""
    turn = action[3:7] / max(1.0, float(np.abs(action[3:7]).max()))
    return np.concatenate([np.clip(action[:3], -1, 1), turn, np.clip(action[7:], -1, 1)])


def target_of(action: RobotAction, state: ArmState) -> Target:
    """Where an action sends the arm that stands as measured. Raises ValueError for what is not 8 finite numbers."""
    try:
        action = np.asarray(action, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"an action is {ACTION_SIZE} finite numbers, got {type(action).__name__}: {error}") from error
    if action.shape != (ACTION_SIZE,) or not np.isfinite(action).all():
        raise ValueError(
            f"an action is {ACTION_SIZE} finite numbers, got shape {action.shape}: {action.ravel()[:ACTION_SIZE]}"
        )
    action = bounded(action)
    return Target(state.pose.moved(STEP_M * action[:3], turn_base_of(action)), HALF_WIDTH * (1 + float(action[7])))


def action_of(target: Target, state: ArmState) -> RobotAction:
    """The action that sends the arm there: what was really sent, in a policy's terms. May leave -1..1."""
    quaternion = turn_base_between(state.pose, target.pose).as_quat(canonical=True)
    by = (target.pose.position - state.pose.position) / STEP_M
    return np.concatenate([by, quaternion, [target.width / HALF_WIDTH - 1]])


def composed(base: RobotAction, residual: RobotAction, residual_scale: float) -> RobotAction:
    """A base action [8] corrected by a residual [8], of which no more than -1..1 counts.

    All NaN where either is not finite.
    """
    base, residual = np.asarray(base, np.float64), np.asarray(residual, np.float64)
    if not np.isfinite([base, residual]).all():
        return np.full(ACTION_SIZE, np.nan)
    turn = Rotation.from_rotvec(residual_scale * ROTATION_FACTOR * turn_base_of(residual).as_rotvec())
    linear = np.clip(base + residual_scale * bounded(residual), -1, 1)
    return np.concatenate([linear[:3], (turn * turn_base_of(base)).as_quat(canonical=True), linear[7:]])


def correction_between(
    base: RobotAction, wanted: RobotAction, residual_scale: float
) -> tuple[RobotAction, NDArray[np.bool_]]:
    """The residual [8] in -1..1 that makes `wanted` [8] of a base action [8] (`composed`), or comes nearest to it.

    Nearest by its position, turn and width. Also where it falls short, bool [8].
    """
    needed = (np.asarray(wanted, np.float64) - base) / residual_scale
    turn = (turn_base_of(wanted) * turn_base_of(base).inv()).as_rotvec() / (residual_scale * ROTATION_FACTOR)
    far = float(np.linalg.norm(turn)) / HALF_TURN
    quaternion = Rotation.from_rotvec(turn / max(1.0, far)).as_quat(canonical=True)
    short = np.abs(needed) > 1.0
    short[3:7] = far > 1.0
    return np.concatenate([np.clip(needed[:3], -1, 1), quaternion, np.clip(needed[7:], -1, 1)]), short
