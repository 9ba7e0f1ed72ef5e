"""What can go wrong with a policy: what it asks for, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl.policies.base_policy import BasePolicy, CameraFrames
from robot.faults.trigger import Trigger

ASKED = {  # instead of the policy's action; the sign of `turn` changes every step
    "not a number": lambda action, turn: np.full(8, np.nan),
    "one not a number": lambda action, turn: np.where(np.arange(8) == 5, np.nan, action),
    "infinite": lambda action, turn: np.full(8, np.inf),
    "huge": lambda action, turn: 1e9 * np.ones(8),
    "to and fro": lambda action, turn: turn * np.ones(8),
    "full speed": lambda action, turn: np.array([1, 1, 1, 0, 0, 1, 1, 1], float),
    "down": lambda action, turn: np.array([0, 0, -1, 0, 0, 0, 1, -1], float),
    "turn of zeros": lambda action, turn: np.array([*action[:3], 0, 0, 0, 0, action[7]]),
    "upside down": lambda action, turn: np.array([0, 0, 0, 1, 0, 0, 0, 0], float),
}
SLOW = "slow"
POLICY_FAULTS = (*ASKED, SLOW)
_PAUSE = 0.7  # seconds that a slow one takes


class FaultyPolicy:
    """A BasePolicy with one fault, on while its trigger is."""

    def __init__(self, policy: BasePolicy, kind: str, trigger: Trigger) -> None:
        self.policy, self.kind, self.trigger = policy, kind, trigger
        self._turn = 1.0

    @property
    def cameras(self) -> Mapping[str, Any]:
        return self.policy.cameras

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        self.policy.reset(seed, look)

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The policy's action [8] for the state [8]; while the fault is on, late or another one in its place."""
        action = self.policy.act(observation)
        if not self.trigger.on:
            return action
        if self.kind == SLOW:
            clock = self.trigger.clock
            clock.sleep_until(clock.now() + _PAUSE)
            return action
        self._turn = -self._turn
        return ASKED[self.kind](np.asarray(action, np.float64), self._turn).astype(np.float32)
