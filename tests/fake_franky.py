"""A stand-in for the package `franky`: as much of 2.0.0 as is used, with its signatures and its traps."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np

NO_ERRORS = SimpleNamespace(joint_reflex=False, self_collision_avoidance_violation=False)
JOINT_REFLEX = SimpleNamespace(joint_reflex=True, self_collision_avoidance_violation=False)


class NetworkException(Exception): ...


class ControlException(Exception): ...


class CommandException(Exception): ...


class World:
    """The arm behind the stand-in; what a test sets and reads."""

    def __init__(self) -> None:
        self.mode, self.flags, self.last_flags = "Idle", NO_ERRORS, NO_ERRORS
        self.lost = self.frozen = self.deaf = False
        self.position, self.quaternion = np.array([0.4, 0.0, 0.5]), np.array([2.0, 0.0, 0.0, 0.0])
        self.joints, self.width, self.targets, self.said = np.zeros(7), 0.04, [], []
        self.tells = threading.Event()  # cleared: whoever reads the state waits for it
        self.tells.set()
        self.obstacle = np.inf  # metres between the fingers, beyond which they meet something
        self.motion: object = None  # in control
        self.failures: list[Exception] = []  # the one that is stored, and raised once for who joins
        self.slow_way = self.slow_hand = False
        self.begun = time.monotonic()
        self.clock, self.frozen_at = 1000.0, 0.0

    def reflex(self, flags: SimpleNamespace = NO_ERRORS) -> None:
        self.mode, self.flags, self.last_flags, self.motion = "Reflex", flags, JOINT_REFLEX, None
        self.failures = [
            ControlException('libfranka: Move command aborted: motion aborted by reflex!\n["joint_reflex"]')
        ]

    def lose(self) -> None:
        self.lost, self.motion = True, None


class Errors:
    joint_reflex = self_collision_avoidance_violation = property()


class Affine:
    def __init__(self, translation, quaternion):
        assert translation.dtype == quaternion.dtype == np.float64
        self.translation, self.quaternion = translation, quaternion


class JointMotion:
    def __init__(self, target, relative_dynamics_factor=1.0):
        assert target.dtype == np.float64
        self.target = target


class PostureTask:
    def __init__(self, target, stiffness): ...


def robot_of(world: World) -> type:
    """An arm that is connected to that world."""

    class Robot:
        def __init__(self, fci_hostname, default_torque_threshold=20.0, default_force_threshold=30.0,
                     realtime_config="Enforce"):  # fmt: skip
            if world.lost:
                raise NetworkException("libfranka: Connection timeout. Please check your network connection.")
            world.said.append(("connected", realtime_config))
            self.dead, world.failures = False, []

        def __del__(self):
            world.said.append(("let go",))

        @property
        def is_in_control(self):
            if isinstance(world.motion, JointMotion) and not world.slow_way:
                world.joints, world.motion, world.mode = world.motion.target, None, "Idle"
            return world.motion is not None and not self.dead

        @property
        def state(self):
            world.tells.wait(10)
            if world.lost or self.dead:
                self.dead = True  # for ever
                raise RuntimeError("Net Exception")
            if not world.frozen:
                world.clock += 0.001
            return SimpleNamespace(
                robot_mode=SimpleNamespace(name=world.mode), current_errors=world.flags,
                last_motion_errors=world.last_flags, q=world.joints, time=SimpleNamespace(to_sec=lambda: world.clock),
                O_T_EE=SimpleNamespace(translation=world.position, quaternion=world.quaternion),
            )  # fmt: skip

        def move(self, motion, asynchronous=False):
            assert asynchronous
            if world.failures:
                raise world.failures.pop()
            if world.motion is not None:
                raise TypeError("another motion runs")  # InvalidMotionTypeException
            if world.mode != "Idle":  # nothing is started, and nothing said
                world.failures = [CommandException("libfranka: Move command rejected")]
                return
            world.motion, world.mode, world.begun = motion, "Move", time.monotonic()

        def join_motion(self, timeout=None):
            if world.failures:
                raise world.failures.pop()
            assert world.motion is None, "franky would take a Ctrl-C here, and raise something else"
            return True

        def stop(self):
            world.said.append(("stopped",))
            if world.motion is not None:
                world.motion, world.mode = None, "Idle"
                world.failures = [ControlException("libfranka: Move command preempted!")]

        def recover_from_errors(self):
            world.said.append(("recovered",))
            world.flags, world.mode = NO_ERRORS, "Idle"
            return True

    return Robot


def tracker_of(world: World) -> type:
    """The impedance controller, one a robot."""

    class CartesianImpedanceTracker:
        def __init__(self, robot, *, translational_stiffness=None, rotational_stiffness=None,
                     translational_error_clip=None, rotational_error_clip=None, posture_task=None):  # fmt: skip
            assert len(translational_error_clip) == len(rotational_error_clip) == 3
            self.robot = robot
            world.said.append(("tracker",))
            if not world.deaf:
                robot.move(self, asynchronous=True)

        def set_target(self, pose, twist=None, acceleration=None):
            assert world.motion in (self, None)
            if abs(np.linalg.norm(pose.quaternion) - 1) > 1e-6:
                raise ValueError("target must have an orthonormal rotation block")
            world.targets.append(pose)  # accepted in silence, also where nothing runs

        def stop(self, stop_motion=None):
            if world.motion is self:
                world.motion, world.mode = None, "Idle"
            self.robot.join_motion()

    return CartesianImpedanceTracker


def hand_of(world: World) -> tuple[type, type]:
    """The gripper, and what its commands give."""

    class Future:
        def __init__(self):
            self.done, self.error = not world.slow_hand, None

        def wait(self, timeout=None):
            until = time.monotonic() + (60 if timeout is None else timeout)
            while world.slow_hand and time.monotonic() < until:
                time.sleep(0.005)
            self.done = self.done or not world.slow_hand
            return self.done

        def get(self):
            assert self.done, "would have blocked"
            world.said.append(("hand free",))
            raise CommandException("libfranka gripper: Command failed!")  # it met something

    class Gripper:
        max_width = 0.08

        def __init__(self, fci_hostname):
            self.threads = {threading.current_thread()}
            self.running = None

        def __del__(self):
            if self.running is not None and not self.running.done:
                world.said.append(("crashed",))  # franky's thread uses the gripper that is gone

        @property
        def width(self):
            if world.lost:
                raise NetworkException("libfranka: UDP receive: Timeout")
            return world.width

        def move_async(self, width, speed):
            return self._give("move", width)

        def grasp_async(self, width, speed, force, epsilon_inner=0.005, epsilon_outer=0.005):
            assert epsilon_outer == 1.0
            return self._give("grasp", width)

        def _give(self, what, width):
            assert self.running is None or self.running.done, "franky would block here"
            assert threading.current_thread().name == "hand"
            world.said.append((what, width))
            world.width, self.running = min(width, world.obstacle), Future()
            return self.running

    return Gripper, Future


def module(world: World) -> SimpleNamespace:
    """What `import franky` would give, all of it in one world."""
    gripper, future = hand_of(world)
    return SimpleNamespace(
        Affine=Affine, CartesianImpedanceTracker=tracker_of(world), CommandException=CommandException,
        Errors=Errors, Gripper=gripper, JointMotion=JointMotion, PostureTask=PostureTask, Robot=robot_of(world),
        Future=future, RealtimeConfig=SimpleNamespace(Enforce="Enforce", Ignore="Ignore"),
    )  # fmt: skip
