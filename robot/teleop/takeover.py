"""Who leads the arm, step by step: the policy, or a hand that took over and has not let go yet.

A hand leads from the first step at which it asks for something until it has asked for nothing for a while; then the
policy goes on, planning anew. Nothing jumps: both ways lead through the guard, and the gripper stays as it was
commanded until the hand asks for another width.
"""

from __future__ import annotations

from collections.abc import Callable

from robot.hardware.action import RobotAction
from robot.teleop.device import OPEN, Teleop, action_of_wish, heard

BACK_S = 1.0  # seconds without a wish after which the policy leads again


class Takeover:
    """A device that is entered, beside a policy. `told` hears in one line who leads, and of a device in trouble."""

    def __init__(self, device: Teleop, told: Callable[[str], None] = lambda text: None, back_s: float = BACK_S) -> None:
        self.device, self.told, self.back_s = device, told, back_s
        self.leads = False  # the hand
        self._grip, self._trouble = OPEN, ""
        self._own_grip: float | None = None  # once the hand asked for one
        self._last_wish_s = 0.0

    def begin(self) -> None:
        """An episode begins: the policy leads."""
        self.device.rest()
        self.leads, self._grip, self._own_grip = False, OPEN, None

    def action(self, now_s: float, grip: float) -> RobotAction | None:
        """What the hand asks for now, [8]; None while the policy leads. `grip`: the gripper's, as last commanded."""
        wish = heard(self.device.read(), self._grip)
        if wish.trouble != self._trouble:
            self.told(wish.trouble or "the device is heard again")
            self._trouble = wish.trouble
        if wish.grip != self._grip:
            self._grip = self._own_grip = wish.grip
            self._wished(now_s)
        elif not wish.idle:
            self._wished(now_s)
        elif self.leads and now_s - self._last_wish_s >= self.back_s:
            self.told("the policy leads again")
            self.leads, self._own_grip = False, None
        if not self.leads:
            return None
        action = action_of_wish(wish)
        action[7] = grip if self._own_grip is None else self._own_grip
        return action

    def _wished(self, now_s: float) -> None:
        if not self.leads:
            self.told("your hand leads")
        self.leads, self._last_wish_s = True, now_s
