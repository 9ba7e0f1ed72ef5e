"""A scripted policy that opens a hinged door by its handle: it knows where the door is, and the arm's state.

Four stages, each left when the hand is where it should be: before the handle, round it, fingers closed, then along the
arc that the handle draws about the hinge. How far the door has come it reads off the hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rl.data.demonstrations import FrameSize
from rl.policies.base_policy import CameraFrames
from robot.hardware.action import STEP_M
from robot.hardware.counting import FROM_MEASURED
from robot.hardware.pose import Pose, turn_base_between
from robot.simulated.door import TwinDoor

_STANDOFF = 0.12  # metres before the handle
_CLOSE = 0.025  # metres from the standoff at which the approach begins
_NEAR = 0.012  # metres from the handle at which the fingers close
DEPTH = 0.01  # metres beyond the handle that the fingers reach
ALIGNED = 0.12  # radians off, at most, before the approach begins
GRIP_STEPS = 10
_AHEAD = 0.3  # radians of the door's turn that the hand is pulled ahead of where it is
WANTED = 1.0  # radians that it pulls towards
GAIN = 2.0  # of what is missing: the arm does about a quarter of a step in a tenth of a second
TURN = 0.25  # radians an action, at most
OPEN, SHUT = 1.0, -1.0  # gripper
ASTRAY_M = 0.032  # by which the handle is taken to be nearer the hinge than it is
MOVE_NOISE = 0.3  # standard deviation of what is added to each number of a move


class DoorExpert:
    """A BasePolicy that opens a hinged door, ten times a second: the arm's state [8] to action [8].

    The state is position, quaternion xyzw, width. `door` tells where the door is when an episode begins. The same
    states, the same actions: it draws nothing.
    """

    targets = FROM_MEASURED  # what its actions count from

    def __init__(self, door: Callable[[], TwinDoor]) -> None:
        self._where = door

    @property
    def cameras(self) -> Mapping[str, FrameSize]:
        return {}

    def astray(self) -> AstrayExpert:
        """One of the same door that goes wrong."""
        return AstrayExpert(self._where)

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        self._door = self._where()
        self._facing = Rotation.from_matrix(self._door.facing)
        self.stage, self._gripped = "reach", 0

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [8] of this stage (reach, approach, grip, pull), for the arm's state [8]."""
        seen = np.asarray(observation, np.float64)
        hand = Pose(seen[:3], seen[3:7])
        handle, forward = self._door.handle, self._door.facing[:, 2]
        before = handle - _STANDOFF * forward
        self._go_on(hand, before)
        if self.stage == "reach":
            return self._towards(hand, before, OPEN)
        if self.stage in ("approach", "grip"):
            return self._towards(hand, handle + DEPTH * forward, OPEN if self.stage == "approach" else SHUT)
        turn = min(self._turned(hand) + _AHEAD, WANTED)
        along = Rotation.from_rotvec([0.0, 0.0, self._door.sign * turn])
        return self._towards(hand, self._door.hinge + along.apply(handle - self._door.hinge), SHUT)

    def _go_on(self, hand: Pose, before: NDArray[np.float64]) -> None:
        """To the next stage, where the hand is ready for it."""
        if self.stage == "reach" and self._at(hand, before, _CLOSE):
            self.stage = "approach"
        if self.stage == "approach" and self._at(hand, self._door.handle, _NEAR):
            self.stage = "grip"
        if self.stage == "grip":
            self._gripped += 1
            if self._gripped > GRIP_STEPS:
                self.stage = "pull"

    def _at(self, hand: Pose, position: NDArray[np.float64], metres: float) -> bool:
        off = (self._facing * hand.rotation.inv()).magnitude()
        return bool(np.linalg.norm(hand.position - position) < metres and off < ALIGNED)

    def _turned(self, hand: Pose) -> float:
        """How far the door stands open if the hand holds its handle, radians."""
        shut, now = (self._door.handle - self._door.hinge)[:2], (hand.position - self._door.hinge)[:2]
        return self._door.sign * float(np.arctan2(shut[0] * now[1] - shut[1] * now[0], shut @ now))

    def _towards(self, hand: Pose, position: NDArray[np.float64], grip: float) -> NDArray[np.float32]:
        """The action that heads for there, facing the handle: as far as an action reaches."""
        move = GAIN * (position - hand.position) / STEP_M
        move /= max(1.0, float(np.linalg.norm(move)))
        turn = GAIN * turn_base_between(hand, Pose(position, self._facing.as_quat())).as_rotvec()
        turn *= min(1.0, TURN / max(float(np.linalg.norm(turn)), 1e-9))
        return np.array([*move, *Rotation.from_rotvec(turn).as_quat(canonical=True), grip], np.float32)


class AstrayExpert(DoorExpert):
    """The expert with a door measured wrong, and an unsteady hand: a base policy that leaves something to learn.

    It takes the handle to be ASTRAY_M nearer the hinge than it is, always; its moves are off by noise that the
    episode's seed decides.
    """

    def __init__(self, door: Callable[[], TwinDoor], astray_m: float = ASTRAY_M, noise: float = MOVE_NOISE) -> None:
        super().__init__(door)
        self.astray_m, self.noise = astray_m, noise

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        super().reset(seed, look)
        towards = self._door.hinge - self._door.handle
        towards[2] = 0.0
        shifted = self._door.handle + self.astray_m * towards / np.linalg.norm(towards)
        self._door = replace(self._door, handle=shifted)
        self._rng = np.random.default_rng([seed, 1])

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The expert's action [8] for the arm's state [8], its move off by noise."""
        action = super().act(observation)
        action[:3] = np.clip(action[:3] + self._rng.normal(0.0, self.noise, 3), -1, 1)
        return action
