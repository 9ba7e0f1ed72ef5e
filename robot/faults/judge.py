"""Beside the arm, behind everything else: keeps what it was really told, and says which limits that broke.

Shares no line with `robot.safety.limits`: a mistake there would not be seen by a judge that repeats it.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from robot.faults.through import Through
from robot.hardware.arm import Arm, ArmState, Target
from robot.hardware.clock import Clock
from robot.safety.limits import Limits

_ROUNDING = 1e-6
_KEPT = 8  # calls


class Judged(Through):
    """An Arm that passes everything on, and keeps what went beyond the limits in `broken`, one line each.

    `calls` holds the names of the last calls but for those of `state`. In lockstep a command is held against where the
    arm is when it goes out. On a wall's clock the arm has moved on since the guard measured it, by `jitter` seconds or
    so, which is nobody's mistake: there a command is held against the state that was asked for last, and a second is
    that much shorter.
    """

    def __init__(self, arm: Arm, limits: Limits, clock: Clock, jitter: float = 0.0) -> None:
        super().__init__(arm)
        self.arm, self.limits, self.clock, self.jitter = arm, limits, clock, jitter
        self.broken: list[str] = []
        self.calls: deque[str] = deque(maxlen=_KEPT)
        self.commands = self.recoveries = 0
        self._asked: ArmState | None = None
        self._force: Target | None = None  # what the arm is pulled to; none: it holds
        self._moves: list[tuple[float, float, float]] = []  # time, metres, radians

    def state(self) -> ArmState:
        self._asked = self.arm.state()
        return self._asked

    def send(self, target: Target) -> Target:
        self.calls.append("send")
        truth = self._asked if self.jitter and self._asked is not None else self.arm.state()
        self._judge(target, truth)
        self.commands += 1
        return self.arm.send(target)

    def home(self) -> None:
        self.calls.append("home")
        self._force = None
        self.arm.home()

    def stop(self) -> None:
        self.calls.append("stop")
        self._force = None
        self.arm.stop()

    def recover(self) -> None:
        self.calls.append("recover")
        self.recoveries += 1
        self._force = None
        self.arm.recover()

    def _judge(self, target: Target, truth: ArmState) -> None:
        limits, now = self.limits, self.clock.now()
        position, quaternion = target.pose.position, target.pose.quaternion
        if not np.isfinite([*position, *quaternion, target.width]).all():
            self.broken.append(f"{now:.2f} s: a command that is not finite")
            return
        if abs(math.sqrt(float(quaternion @ quaternion)) - 1) > 1e-3:
            self.broken.append(f"{now:.2f} s: a quaternion of another length than 1")
        before = self._force.pose if self._force is not None else truth.pose
        first = self._force is None
        start = np.clip(before.position, limits.low, limits.high) if first else before.position
        step, turn = float(np.sqrt(((position - start) ** 2).sum())), _angle(quaternion, before.quaternion)
        lead = float(np.sqrt(((position - truth.pose.position) ** 2).sum()))
        lead_turn = _angle(quaternion, truth.pose.quaternion)
        self._moves.append((now, step, turn))
        second = [move for move in self._moves if now - 1 + self.jitter < move[0] <= now]
        found = {
            "step": (step, limits.step),
            "turn": (turn, limits.turn),
            "lead": (lead, limits.lead),
            "lead_turn": (lead_turn, limits.lead_turn),
            "second": (sum(move[1] for move in second), limits.second),
            "second_turn": (sum(move[2] for move in second), limits.second_turn),
            "workspace": (float(np.maximum(limits.low - position, position - limits.high).max()), 0.0),
            "gripper": (max(limits.narrowest - target.width, target.width - limits.widest), 0.0),
        }
        for name, (value, most) in found.items():
            if value > most + _ROUNDING:
                self.broken.append(f"{now:.2f} s: {name} {value:.4f}, at most {most:.4f}")
        if not truth.mode.obeys or truth.errors:
            self.broken.append(f"{now:.2f} s: a command to an arm in mode '{truth.mode.value}' {truth.errors}")
        self._force = target


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * math.acos(min(1.0, abs(float(a @ b))))
