"""What goes wrong with arms and cameras, put between any of them and the rest of the house.

A fault is on from when it is named until it is taken away. A reflex is the arm's own: `SimulatedArm.reflex`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Literal

from robot.arm import Arm, ArmError, ArmFeatures, ArmState, Target
from robot.camera import Camera, CameraError, CameraFeatures, Picture

ArmFault = Literal["", "lost", "frozen", "late", "cannot stop", "cannot recover"]
CameraFault = Literal["", "gone", "drop", "freeze", "black", "duplicate stamp", "time backwards"]
KEPT = 1000  # states, of which one is shown late
BACK = 0.01  # seconds that time runs backwards, before the last picture's


class FaultyArm:
    """An Arm with a fault.

    lost: every call raises ArmError
    frozen: `state` is the last one before the fault, with its own time
    late: `state` is the newest of those asked for that is `late` seconds old
    cannot stop, cannot recover: that call raises ArmError, and does nothing
    """

    def __init__(self, arm: Arm, late: float = 0.15) -> None:
        self.arm, self.late = arm, late
        self.fault: ArmFault = ""
        self._states: deque[ArmState] = deque(maxlen=KEPT)

    @property
    def features(self) -> ArmFeatures:
        return self.arm.features

    def __enter__(self) -> FaultyArm:
        self._answers()
        self.arm.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.arm.__exit__(None, None, None)

    def state(self) -> ArmState:
        self._answers()
        if self.fault == "frozen" and self._states:
            return self._states[-1]
        state = self.arm.state()
        self._states.append(state)
        if self.fault == "late":
            old = [known for known in self._states if known.time <= state.time - self.late]
            return (old or list(self._states))[-1 if old else 0]
        return state

    def send(self, target: Target) -> Target:
        self._answers()
        return self.arm.send(target)

    def home(self) -> None:
        self._answers()
        self.arm.home()

    def stop(self) -> None:
        self._answers()
        if self.fault == "cannot stop":
            raise ArmError("the arm refuses to stop (a fault that was put in)")
        self.arm.stop()

    def recover(self) -> None:
        self._answers()
        if self.fault == "cannot recover":
            raise ArmError("the arm refuses to recover (a fault that was put in)")
        self.arm.recover()

    def _answers(self) -> None:
        if self.fault == "lost":
            raise ArmError("the connection to the arm is lost (a fault that was put in)")


class FaultyCamera:
    """A Camera with a fault, which begins after the last good picture.

    gone: `latest` raises CameraError
    drop: the last good picture, as it is
    freeze: its image, with the time and number of new ones
    black: new ones, black
    duplicate stamp: new ones with its time
    time backwards: new ones, older than it
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.fault: CameraFault = ""
        self._good: Picture | None = None

    @property
    def features(self) -> CameraFeatures:
        return self.camera.features

    def __enter__(self) -> FaultyCamera:
        self.camera.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.__exit__(None, None, None)

    def latest(self) -> Picture:
        if self.fault == "gone":
            raise CameraError(f"camera {self.features.name} is gone (a fault that was put in)")
        new = self.camera.latest()
        if not self.fault or self._good is None:
            self._good = new
        return self._with_fault(new, self._good)

    def _with_fault(self, new: Picture, good: Picture) -> Picture:
        if self.fault == "drop":
            return good
        if self.fault == "freeze":
            return replace(new, image=good.image)
        if self.fault == "black":
            return replace(new, image=new.image * 0)
        if self.fault == "duplicate stamp":
            return replace(new, time=good.time)
        if self.fault == "time backwards":
            return replace(new, time=good.time - BACK)
        return new
