"""The kitchen and an arm in it, a millisecond at a time: impedance control, a reflex, and what cameras would see.

It obeys what it is set to and knows no orders, no clock and no images. Time is counted in whole steps, so that it
never drifts; on one machine and without other threads the same settings give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from rl.environments.kitchen.scene import move_base
from rl.environments.kitchen.tasks import ARM, END_EFFECTOR, FINGER_JOINTS
from robot.hardware.arm import ArmState, Mode, Target
from robot.hardware.pose import Pose
from robot.simulated.door import BASE_BODY, TwinDoor, door_of
from robot.simulated.impedance import Gains, hand_torques, joint_torques, pose_error
from robot.simulated.model import TIMESTEP, TORQUE, torque_model
from robot.simulated.tasks import TwinTask
from tracking.simulator.gl import mujoco

IMAGES_HZ = 30
TWIN_HAND_WIDEST_M = 0.08  # metres between the fingers
FINGER_SPEED = 0.05  # m/s of each finger: the width changes twice as fast
JOINT_ZERO = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.57, 0.7854])  # radians a Franka reads where the kitchen's model has 0
SPEED = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])  # rad/s at which a Panda stops itself
TOO_FAST = "joint_velocity_violation"  # libfranka's name


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The scene at the moment at which an image is taken."""

    qpos: NDArray[np.float64]
    base_offset: NDArray[np.float64]  # [2] metres
    hand_position: NDArray[np.float64]  # [3] metres, world
    hand_rotation: NDArray[np.float64]  # [3, 3] to world
    time: float
    number: int


@dataclass(frozen=True, eq=False)
class Measured:
    """What the arm reports, and what only a simulator knows."""

    state: ArmState
    cause: str  # of a reflex, one line; empty without one
    travel: float  # radians or metres that the thing stands open
    door: TwinDoor
    base: Pose  # of the arm's base, in the kitchen's frame
    skipped: float = 0.0  # seconds of the wall's that the simulation stood still for


class Physics:
    """`target`, `joints` and `finger` are what the arm is drawn to. `origin` is the clock's time of the first step."""

    def __init__(self, task: TwinTask, gains: Gains | None = None, fastest: NDArray[np.float64] = SPEED) -> None:
        self.task, self.gains, self.fastest = task, gains or Gains(), fastest
        self.home = np.array(task.home)  # radians, Franka's count
        self.model = torque_model()
        self.data = mujoco.MjData(self.model)
        self._site, self._base = self.model.site(END_EFFECTOR).id, self.model.body(BASE_BODY).id
        self._jacobian, self._mass = np.zeros((6, self.model.nv)), np.zeros((self.model.nv, self.model.nv))
        self.origin, self.steps = 0.0, 0
        self.joints: NDArray[np.float64] | None = None  # [7], Franka's count: a reference, instead of the target
        self.finger = TWIN_HAND_WIDEST_M / 2
        self.mode, self.errors, self.cause = Mode.IDLE, (), ""
        self.place()
        self.snapshot = self.look()

    @property
    def time(self) -> float:
        """Seconds of the clock."""
        return self.origin + self.steps * TIMESTEP

    def place(self, joints: ArrayLike | None = None, base_offset: ArrayLike = (0.0, 0.0)) -> None:
        """The kitchen shut, the arm at rest in `joints` [7] (radians; none: home), open, its base so many metres (x, y)
        from the stock place. Neither time nor a reflex is touched."""
        self._offset = np.array(base_offset, np.float64)
        move_base(self.model, self._offset.tolist())
        mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        stands = self.home if joints is None else np.asarray(joints)
        self.data.qpos[ARM], self.data.qpos[FINGER_JOINTS] = stands - JOINT_ZERO, TWIN_HAND_WIDEST_M / 2
        self.data.ctrl[FINGER_JOINTS] = self.finger = TWIN_HAND_WIDEST_M / 2
        mujoco.mj_forward(self.model, self.data)
        self.door = door_of(self.task.kitchen, self.model, self.data)
        self.stay()

    def stay(self) -> None:
        """Be drawn to where the arm is now."""
        self.joints = None
        self.draw(self.pose())

    def draw(self, pose: Pose) -> None:
        """Be drawn to a pose."""
        self._target, self._target_rotation = pose.position, pose.rotation.as_matrix()

    def pull(self, target: Target) -> None:
        self.joints = None
        self.draw(target.pose)
        self.finger = target.width / 2

    def latch(self, errors: tuple[str, ...], cause: str) -> None:
        """Stop, as a reflex does. Who clears it sets `mode` again."""
        self.mode, self.errors, self.cause = Mode.REFLEX, errors, cause
        self.stay()

    def measured(self) -> Measured:
        """As of now."""
        qpos = self.data.qpos
        state = ArmState(
            pose=self.pose(),
            joints=qpos[ARM] + JOINT_ZERO,
            width=float(qpos[FINGER_JOINTS].sum()),
            time=self.time,
            mode=self.mode,
            errors=self.errors,
        )
        return Measured(state, self.cause, float(self.task.kitchen.travel(qpos)), self.door, self._base_pose())

    def _base_pose(self) -> Pose:
        return Pose(self.data.xpos[self._base], self.data.xquat[self._base][[1, 2, 3, 0]])

    def pose(self) -> Pose:
        """Of the end effector, as of now: a step leaves the frames where they were before it."""
        mujoco.mj_kinematics(self.model, self.data)
        position, rotation = self._hand()
        return Pose(position, Rotation.from_matrix(rotation).as_quat())

    def step(self) -> None:
        """One millisecond."""
        m, d = self.model, self.data
        mujoco.mj_step1(m, d)
        d.ctrl[ARM] = np.clip(self._torques(), -TORQUE, TORQUE)
        most = FINGER_SPEED * TIMESTEP
        d.ctrl[FINGER_JOINTS] += np.clip(self.finger - d.ctrl[FINGER_JOINTS], -most, most)
        mujoco.mj_step2(m, d)
        self.steps += 1
        over = np.abs(d.qvel[ARM]) - self.fastest
        if self.mode is not Mode.REFLEX and over.max() > 0:
            joint = int(np.argmax(over))
            speeds = f"{abs(d.qvel[joint]):.2f} rad/s, its limit is {self.fastest[joint]:.2f}"
            self.latch((TOO_FAST,), f"joint {joint + 1} at {speeds}")
        if self.steps * IMAGES_HZ // round(1 / TIMESTEP) != self.snapshot.number:
            self.snapshot = self.look()

    def _torques(self) -> NDArray[np.float64]:
        m, d = self.model, self.data
        mujoco.mj_fullM(m, d, self._mass)
        q, qd, bias, mass = d.qpos[ARM], d.qvel[ARM], d.qfrc_bias[ARM], self._mass[ARM, ARM]
        if self.joints is not None:
            return joint_torques(self.joints - JOINT_ZERO, mass, q, qd, bias)
        mujoco.mj_jacSite(m, d, self._jacobian[:3], self._jacobian[3:], self._site)
        to_base = d.xmat[self._base].reshape(3, 3).T
        jacobian = np.concatenate([to_base @ self._jacobian[:3, ARM], to_base @ self._jacobian[3:, ARM]])
        error = pose_error(*self._hand(), self._target, self._target_rotation)
        return hand_torques(error, jacobian, mass, q, qd, self.home - JOINT_ZERO, bias, self.gains)

    def _hand(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Position [3] and rotation [3, 3] in the base's frame, as of the last kinematics."""
        d, to_world = self.data, self.data.xmat[self._base].reshape(3, 3)
        position = (d.site_xpos[self._site] - d.xpos[self._base]) @ to_world
        return position, to_world.T @ d.site_xmat[self._site].reshape(3, 3)

    def look(self) -> Snapshot:
        """The scene as it stands now."""
        d = self.data
        mujoco.mj_kinematics(self.model, d)
        number = self.steps * IMAGES_HZ // round(1 / TIMESTEP)
        hand = d.site_xpos[self._site].copy(), d.site_xmat[self._site].reshape(3, 3).copy()
        return Snapshot(d.qpos.copy(), self._offset.copy(), *hand, self.time, number)
