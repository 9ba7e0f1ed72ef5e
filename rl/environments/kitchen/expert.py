"""A scripted expert: joint-space plans that reach for a handle, grip it and swing it, and the controller that follows.

A plan is one reference pose per step. The door is never moved but by the gripper; what the plan asks and what physics
gives can differ, so whoever runs a plan looks at what came of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from rl.environments.kitchen.arm import KitchenArm
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.setting import KITCHEN_RATE_HZ
from rl.environments.kitchen.tasks import ARM, HandleGrasp, Task
from tracking.simulator.gl import mujoco

OPEN, SHUT = 1.0, -1.0  # finger commands
REACH_SPEED = 0.5  # radians a second, mean of the fastest joint on its way to the handle
_STANDOFF = 0.15  # metres before the handle where the approach starts and a retreat ends
_FASTEST = np.array([0.05, 0.03, 0.05, 0.05, 0.08, 0.08, 0.08])  # radians a step that the motors can carry the arm
ACTION_TO_RADIANS = 0.16  # an action of 1 asks for 2 rad/s over 0.08 s
RESPONSE = np.array([0.5] * 4 + [0.6] * 3)  # share of the asked turn that the position actuators give in one step
_SLACK = 0.05  # radians behind the reference at which the reference waits
_PATIENCE = 12  # steps it waits


def _facing(grasp: HandleGrasp, turned: float = 0.0) -> NDArray[np.float64]:
    """Gripper-to-world rotation [3, 3] at a door turned so far (radians, counter-clockwise from above): looks along +y
    turned by yaw, fingers open level (the handles are upright)."""
    yaw, side = grasp.yaw + grasp.follow * turned, -1.0 if grasp.flipped else 1.0
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.array(
        [[0.0, side, 0.0], [0.0, 0.0, 1.0], [side, 0.0, 0.0]]
    )


def _ease(steps: int) -> NDArray[np.float64]:
    """Times 1..steps of a smooth start and stop, in (0, 1]."""
    s = np.arange(1, steps + 1) / steps
    return s * s * (3 - 2 * s)


class Plan:
    """Builds the reference, step by step, from the environment's present state.

    `shift` [3] metres moves the whole motion away from the handle; the gripper then closes on air. `speed` scales
    reaching. Every method appends and leaves the arm where the next one starts.
    """

    def __init__(self, environment: KitchenEnvironment, shift: NDArray | None = None, speed: float = 1.0) -> None:
        self.task: Task = environment.task
        if self.task.grasp is None:
            raise UserError(f"kitchen task '{self.task.name}' has no grasp: it has no scripted expert")
        self.grasp, self.arm = self.task.grasp, KitchenArm(environment.model)
        self.arm.data.qpos[:] = environment.data.qpos
        self.posture = np.array(self.grasp.posture)
        self.shift, self.speed = np.zeros(3) if shift is None else np.asarray(shift, float), speed
        self.q = environment.data.qpos[ARM].copy()
        self.travel, self.finger = environment.travel, OPEN
        self.joints: list[NDArray[np.float64]] = []
        self.fingers: list[float] = []

    def __len__(self) -> int:
        return len(self.joints)

    def _append(self, q: NDArray) -> None:
        self.q = q
        self.joints.append(q)
        self.fingers.append(self.finger)

    def _at(self, travel: float, distance: float, iterations: int = 30) -> NDArray[np.float64]:
        """Joints with the gripper `distance` metres before the handle of a door that stands at `travel`."""
        self.arm.data.qpos[self.task.qpos] = self.task.sign * travel
        mujoco.mj_kinematics(self.arm.model, self.arm.data)
        handle = self.arm.data.site_xpos[self.arm.model.site(self.task.handle).id] + self.shift
        facing = _facing(self.grasp, self.task.sign * travel)
        return self.arm.solve(handle - distance * facing[:, 2], facing, self.q, self.posture, iterations)[0]

    def _carry(self, steps: int, travel: float, distances: tuple[float, float]) -> Plan:
        """Along the handle's way to `travel`, at distances from the handle, in so many steps or, where the arm's motors
        could not keep up, more."""
        start = self.travel
        for s in _ease(steps):
            self.travel = start + s * (travel - start)
            before, q = self.q, self._at(self.travel, distances[0] + s * (distances[1] - distances[0]))
            pieces = max(1, int(np.ceil((np.abs(q - before) / _FASTEST).max())))
            for piece in range(1, pieces + 1):
                self._append(before + piece / pieces * (q - before))
        return self

    def reach(self) -> Plan:
        """To the standoff in joint space, then straight to the handle, fingers open."""
        start, self.finger = self.q, OPEN
        self.q = self.posture
        goal = self._at(self.travel, _STANDOFF, iterations=200)
        steps = int(np.ceil(np.abs(goal - start).max() / (REACH_SPEED * self.speed) * KITCHEN_RATE_HZ)) + 1
        for s in _ease(steps):
            self._append(start + s * (goal - start))
        return self._carry(int(np.ceil(8 / self.speed)), self.travel, (_STANDOFF, self.grasp.depth))

    def grip(self, steps: int = 6) -> Plan:
        """Close the fingers."""
        self.finger = SHUT
        return self.wait(steps)

    def swing(self, travel: float, steps: int) -> Plan:
        """Carry the handle to where the door stands at `travel`."""
        return self._carry(steps, travel, (self.grasp.depth, self.grasp.depth))

    def wait(self, steps: int) -> Plan:
        for _ in range(steps):
            self._append(self.q)
        return self

    def let_go(self) -> Plan:
        """Open the fingers and draw the hand straight back."""
        self.finger = OPEN
        return self.wait(4)._carry(int(np.ceil(10 / self.speed)), self.travel, (self.grasp.depth, _STANDOFF))


class Follower:
    """Turns a plan into actions: deadbeat on the joints, with an observer for what gravity and the door take away."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.at, self.waited = plan, 0, 0
        self.disturbance, self.before, self.asked = np.zeros(7), np.zeros(7), np.zeros(7)
        self.held: NDArray[np.float64] | None = None

    def stay(self, data: Any) -> None:
        """Hold the simulation's present joints from now on, against what gravity and the door do."""
        self.held = data.qpos[ARM].copy()

    @property
    def done(self) -> bool:
        return self.at >= len(self.plan) - 1

    def act(self, data: Any) -> NDArray[np.float64]:
        """The noise-free action [9] at the simulation's present joints."""
        q = data.qpos[ARM]
        if self.at or self.waited:
            missing = (q - self.before) - RESPONSE * ACTION_TO_RADIANS * self.asked
            self.disturbance = np.clip(self.disturbance + 0.4 * (missing - self.disturbance), -0.06, 0.06)
        lag = float(np.abs(self.plan.joints[self.at] - q).max())
        if lag < _SLACK or self.waited >= _PATIENCE:
            self.at, self.waited = min(self.at + 1, len(self.plan) - 1), 0
        else:
            self.waited += 1
        wanted = (self.plan.joints[self.at] if self.held is None else self.held) - q
        self.asked = np.clip((wanted - self.disturbance) / (RESPONSE * ACTION_TO_RADIANS), -1, 1)
        self.before = q.copy()
        finger = self.plan.fingers[self.at]
        return np.concatenate([self.asked, [finger, finger]])


def opening_plan(environment: KitchenEnvironment, rng: np.random.Generator) -> Plan:
    """The expert of a task: reach, grip, and open a little further than what counts as open."""
    task = environment.task
    plan = Plan(environment, speed=rng.uniform(0.85, 1.2)).reach().grip()
    return plan.swing(min(task.opened * rng.uniform(1.15, 1.3), task.limit), int(rng.integers(20, 46))).wait(10)
