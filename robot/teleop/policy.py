"""A person as a policy: a step's action is what the device asks for, and steps at which it asks for nothing are known.

Idle steps are performed like any other; whoever makes demonstrations of an episode drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl.data.demonstrations import FrameSize
from rl.policies.base_policy import CameraFrames
from robot.teleop.device import OPEN, Teleop, action_of_wish, heard


class TeleopPolicy:
    """A BasePolicy of 8-d actions, which a person makes; `device` is entered.

    `told` hears in one line, once, that the device cannot be heard, and that it can be heard again.
    """

    def __init__(self, device: Teleop, told: Callable[[str], None] = lambda text: None) -> None:
        self.device, self.told = device, told
        self.idle: list[bool] = []  # of each step since the reset: no motion asked for, and nothing of the gripper
        self._grip, self._trouble = OPEN, ""

    @property
    def cameras(self) -> Mapping[str, FrameSize]:
        """It sees for itself."""
        return {}

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        """An episode begins with the gripper open, and with the hand off the device."""
        self.device.rest()
        self.idle, self._grip = [], OPEN

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [8] that is asked for now, whatever is observed."""
        wish = heard(self.device.read(), self._grip)
        if wish.trouble != self._trouble:
            self.told(wish.trouble or "the device is heard again")
            self._trouble = wish.trouble
        self.idle.append(wish.idle and wish.grip == self._grip)
        self._grip = wish.grip
        return action_of_wish(wish).astype(np.float32)
