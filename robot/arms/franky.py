"""A Franka arm (FR3 or Panda) through franky-control 2: Cartesian impedance tracking at 1 kHz in this process.

The controller follows the last target for ever, so somebody has to watch over silence: `robot.safety.guard` does.
"""

from __future__ import annotations

import importlib
import time
from contextlib import suppress
from typing import Any

import numpy as np

from robot.arms.franka import FRANKA_HOME_POSE, FRANKA_HOME_RAD, HOMED, normal
from robot.arms.franky_hand import FrankyHand
from robot.arms.franky_link import Link, Reading, arm_errors
from robot.arms.registry import ArmDriver, Reached
from robot.hardware.arm import ArmError, ArmFeatures, ArmState, Mode, Target
from robot.hardware.clock import Clock, WallClock
from robot.hardware.pose import Pose
from robot.hardware.within import within

_CLOSING = 5.0  # seconds for the controller to come to rest
_LONG = 60.0  # seconds for the way home, or to recover
POSTURE = 5.0  # Nm/rad that keep the elbow where it was, in the null space
NOT_RUNNING = "the impedance controller does not run"


class FrankyArm:
    """An `Arm`. Metres, radians, newtons, in the axes of the base.

    `error_clip` bounds the pull, stiffness times clip, whatever the target. `realtime=False` lets it run on a kernel
    without real-time patches: for simulators. An arm that is entered in a reflex, or with its button pressed, is
    connected but not controlled; `recover` starts the controller.
    """

    def __init__(
        self,
        hostname: str,
        *,
        realtime: bool = True,
        stiffness: float = 600.0,  # N/m
        rotational_stiffness: float = 30.0,  # Nm/rad
        error_clip: float = 0.05,
        rotational_error_clip: float = 0.3,
        torque_threshold: float = 40.0,  # Nm at a joint, beyond which the arm stops itself
        force_threshold: float = 40.0,
        home_speed: float = 0.1,  # share of the arm's own limits
        gripper_speed: float = 0.05,  # m/s
        gripper_force: float = 20.0,
        deadline: float = 5.0,  # seconds to connect
        clock: Clock | None = None,
    ) -> None:
        self.hostname, self.clock = hostname, clock or WallClock()
        self._realtime, self._home_speed, self._deadline = realtime, home_speed, deadline
        self._thresholds = {"default_torque_threshold": torque_threshold, "default_force_threshold": force_threshold}
        self._gripper = gripper_speed, gripper_force
        self._impedance = {
            "translational_stiffness": stiffness,
            "rotational_stiffness": rotational_stiffness,
            "translational_error_clip": np.full(3, error_clip),
            "rotational_error_clip": np.full(3, rotational_error_clip),
        }
        self._franky: Any = None
        self._link: Link | None = None
        self._hand: FrankyHand | None = None
        self._tracker: Any = None  # the only one: franky lets a second take over, and ignores the first in silence
        self._held = self._going_home = self._stopped = False

    @property
    def features(self) -> ArmFeatures:
        return ArmFeatures("franky", real=True, home=FRANKA_HOME_POSE)

    def __enter__(self) -> FrankyArm:
        self._franky = importlib.import_module("franky")
        try:
            reading = self._connect()
            if reading.mode.obeys and not reading.errors:
                self._start()
        except BaseException:
            self._disconnect()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ArmError):
            self._end()
        self._disconnect()

    def state(self) -> ArmState:
        reading = self._connected()[0].reading()
        mode, errors = reading.mode, reading.errors
        if mode.obeys and not errors and not self._going_home and not (self._tracker and reading.controlled):
            mode, errors = Mode.OTHER, (NOT_RUNNING,)
        return ArmState(reading.pose, reading.joints, self._connected()[1].width, reading.time, mode, errors)

    def send(self, target: Target) -> Target:
        hand = self._controlled()
        pose = Pose(target.pose.position, normal(target.pose.quaternion))
        self._held = False  # first: a stop that comes while the controller is told has something to stop
        self._pull(pose)
        width = hand.wish(target.width)
        if self._held:  # it came, and may have been overtaken by the target
            self._held = False
            self.stop()
            raise ArmError("stopped while it was told where to go")
        return Target(pose, width)

    def stop(self) -> None:
        """Hold: the target becomes the pose measured now, and stays that one however often it is said. Where the state
        is late and for a moment stays so, the target stays the last one given: an older pose would pull the arm back.

        The controller is not ended for it: that takes 0.3 s to come to rest, and as long to start anew, which an image
        that came late is not worth. A target taken anew at each call would let a loaded arm sink.
        """
        link, hand = self._connected()
        if self._going_home:
            self._stopped = True
            with arm_errors("the arm does not stop"):
                link.robot.stop()
            return
        hand.drop()
        if self._held or self._tracker is None or not link.reading().controlled:
            return  # nothing of ours moves it
        self._held = True  # first: for a `send` that is under way
        try:
            if (reading := link.recent()) is not None:
                self._pull(reading.pose)
        except BaseException:
            self._held = False
            raise

    def home(self) -> None:
        hand = self._controlled()
        link, _ = self._connected()
        self._going_home, self._stopped = True, False
        try:
            hand.open()
            self._controlled()  # still: a button pressed and released meanwhile leaves no error behind
            self._end()
            with arm_errors("on the way home"):
                self._go_home(link)
        except BaseException:  # a person's Ctrl-C, too
            with suppress(Exception):
                link.robot.stop()
                within(_CLOSING, link.robot.join_motion)  # raises what the next start would raise otherwise
            raise
        finally:
            self._going_home = False
        self._start()

    def recover(self) -> None:
        """Clear errors; connect anew where the link was lost; start the controller where the arm stands."""
        with suppress(ArmError):  # says once more what ended it
            self._end()
        try:
            self.state()
        except ArmError:  # a connection that was lost never heals
            self._disconnect()
            self._connect()
        link, _ = self._connected()
        reading = link.fresh()
        if reading.errors or reading.mode is Mode.REFLEX:
            with arm_errors("the arm does not recover"):
                if not within(_LONG, link.robot.recover_from_errors):
                    raise ArmError(f"the arm does not recover ({link.fresh()})")
            link.wait(lambda reading: reading.mode.obeys, "the arm does not recover")
        self._start()

    def _connect(self) -> Reading:
        self._link = Link(
            self._franky, self.hostname, self._realtime, self._thresholds, self._deadline, clock=self.clock
        )
        self._hand = FrankyHand(self._franky, self.hostname, *self._gripper, self._deadline)
        return self._link.reading()

    def _disconnect(self) -> None:
        for part in (self._hand, self._link):
            if part is not None:
                part.close()
        self._hand = self._link = self._tracker = None

    def _start(self) -> None:
        """Start the controller where the arm stands. In a reflex franky would start nothing, and say nothing."""
        link, _ = self._connected()
        reading = link.fresh()
        if reading.errors or not reading.mode.obeys:
            raise ArmError(f"{NOT_RUNNING}, and cannot now ({reading})")
        with arm_errors(f"{NOT_RUNNING}"):
            posture = self._franky.PostureTask(reading.joints, POSTURE)
            self._tracker = self._franky.CartesianImpedanceTracker(link.robot, posture_task=posture, **self._impedance)
        self._held = True
        try:
            link.wait(lambda reading: reading.controlled and reading.mode is Mode.MOVING, NOT_RUNNING)
        except ArmError:
            self._end()  # says why, where franky knows
            raise

    def _end(self) -> None:
        """End the controller, gently. Raises what ended it before, where that was an error."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            with arm_errors("the impedance controller ended"):
                within(_CLOSING, tracker.stop)

    def _go_home(self, link: Link) -> None:
        motion = self._franky.JointMotion(FRANKA_HOME_RAD, relative_dynamics_factor=self._home_speed)
        until = time.monotonic() + _LONG
        if not self._stopped:
            link.robot.move(motion, asynchronous=True)
        while link.robot.is_in_control:  # not in `join_motion`: that takes a person's Ctrl-C for an error of the arm's
            if self._stopped or time.monotonic() > until:
                raise ArmError("stopped" if self._stopped else f"not there after {_LONG:g} s")
            time.sleep(0.05)
        link.robot.join_motion()  # at once: raises what ended it
        off = float(np.abs(link.fresh().joints - FRANKA_HOME_RAD).max())
        if self._stopped or off > HOMED:
            raise ArmError(f"stopped, a joint {off:.2f} rad off")

    def _pull(self, pose: Pose) -> None:
        with arm_errors("the target is refused"):
            self._tracker.set_target(self._franky.Affine(pose.position, pose.quaternion))

    def _connected(self) -> tuple[Link, FrankyHand]:
        if self._link is None or self._hand is None:
            raise ArmError(f"the arm at {self.hostname} is not connected")
        return self._link, self._hand

    def _controlled(self) -> FrankyHand:
        """Where no controller runs, franky would take a target and do nothing."""
        link, hand = self._connected()
        reading = link.reading()
        if self._tracker is None or not reading.controlled:
            raise ArmError(f"{NOT_RUNNING} ({reading}): look at the arm, then let it recover")
        return hand


def _reached(at: Reached) -> FrankyArm:
    return FrankyArm(at.host, realtime=at.enforce_real_time, clock=at.clock)


FRANKY = ArmDriver(_reached, host="its FCI host name")
