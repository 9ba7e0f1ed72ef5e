"""What stands between any policy and the arm: limits, as pure functions. They know no arm, no clock and no memory.

A command is a target that the impedance controller pulls the end effector to. It is limited against two poses, the last
command and the measured one, and against what the commands of the last second have used up:

    |command - last command|  <= step        no jump, also where a new action chunk is spliced in
    |command - measured|      <= lead        no pull harder than stiffness times lead
    sum of steps in 1 s       <= second      no speed
    command in the workspace box, gripper within its widths, all of it finite

Distance and turn alike. `limited` returns the command nearest to the wish along the way from where all holds, or says
why there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot.arm import ArmState, Target
from robot.pose import Pose, Vector, angle_between, between, distance_between
from tracking.errors import UserError

SLACK = 1e-9  # metres, of rounding
SLACK_TURN = 1e-6  # radians: an angle comes of an arc cosine
HALVINGS = 30


@dataclass(frozen=True)
class Limits:
    """Metres, radians, seconds; in the frame of the arm's base. Raises UserError for limits that are none."""

    low: tuple[float, float, float] = (0.13, -0.37, 0.02)  # workspace box; x and y as the paper's authors have them
    high: tuple[float, float, float] = (0.97, 0.37, 0.90)
    step: float = 0.05  # of a command from the last one
    turn: float = 0.25  # the same, radians (paper: rotation clip)
    lead: float = 0.09  # of a command from the measured pose: 0.05 m on each axis
    lead_turn: float = 0.4
    second: float = 0.35  # of all commands within any second
    second_turn: float = 1.5
    narrowest: float = 0.0  # gripper widths
    widest: float = 0.08
    state_age: float = 0.1  # of a measurement, beyond which nothing is sent
    picture_age: float = 0.1  # of a picture, likewise
    command_age: float = 0.3  # from the observation that a command was made of
    silence: float = 0.5  # without a command, after which the arm is stopped
    lost: float = 1.0  # without a fresh measurement or picture, after which a person is asked

    def __post_init__(self) -> None:
        if not all(np.isfinite([*self.low, *self.high])) or not all(np.subtract(self.high, self.low) > 0):
            raise UserError(f"workspace {self.low} to {self.high} m is no box")
        for name in ("step", "turn", "lead", "lead_turn", "second", "second_turn", "state_age", "picture_age"):
            if not 0 < getattr(self, name) < np.inf:
                raise UserError(f"limit {name} {getattr(self, name):g}: above 0")
        for name in ("command_age", "silence", "lost"):
            if not 0 < getattr(self, name) < np.inf:
                raise UserError(f"limit {name} {getattr(self, name):g} s: above 0")
        if max(self.turn, self.lead_turn) >= np.pi / 2:
            raise UserError("turns are limited to less than a quarter")
        if not 0 <= self.narrowest < self.widest:
            raise UserError(f"gripper widths {self.narrowest:g} to {self.widest:g} m")

    def inside(self, pose: Pose) -> bool:
        """Whether its position lies in the workspace box."""
        return bool(
            (np.add(self.low, -SLACK) <= pose.position).all() and (pose.position <= np.add(self.high, SLACK)).all()
        )


@dataclass(frozen=True)
class Step:
    """How far a command that was sent lay from the one before."""

    time: float  # seconds
    distance: float  # metres
    angle: float  # radians


@dataclass(frozen=True)
class Limited:
    """A command that may be sent, and which limits it met."""

    target: Target
    step: float  # metres from the last command
    turn: float
    met: tuple[str, ...]


def limited(wish: Target, last: Pose, state: ArmState, used: tuple[float, float], limits: Limits) -> Limited | str:
    """The command for a wish; or, in one line, why there is none.

    `last` is the pose that was commanded last, inside the workspace; `used` the distance and the angle that the
    commands of the last second add up to.
    """
    met = []
    position = np.clip(wish.pose.position, limits.low, limits.high)
    if (position != wish.pose.position).any():
        met.append("workspace")
    step, turn = (
        max(0.0, min(limits.step, limits.second - used[0])),
        max(0.0, min(limits.turn, limits.second_turn - used[1])),
    )

    at = _towards(last.position, state.pose.position, limits.lead)
    at = np.clip(at, limits.low, limits.high)
    balls = ((last.position, step), (state.pose.position, limits.lead))
    if any(np.linalg.norm(at - centre) > radius + SLACK for centre, radius in balls):
        apart, where = distance_between(last, state.pose), state.pose.position.round(3)
        return f"the arm is {apart:.3f} m from where it was sent, or outside its workspace: at {where} m"
    shares = [_share_in_ball(at, position, centre, radius) for centre, radius in balls]
    met += [name for name, share in zip(("step", "lead"), shares, strict=True) if share < 1]
    position = at + min(shares) * (position - at)

    facing = between(last, state.pose, _excess(angle_between(last, state.pose), limits.lead_turn))
    turns = ((last, turn), (state.pose, limits.lead_turn))
    if any(angle_between(facing, centre) > radius + SLACK_TURN for centre, radius in turns):
        return f"the arm is turned {angle_between(last, state.pose):.2f} rad from where it was sent"
    shares = [_share_in_turn(facing, wish.pose, centre, radius) for centre, radius in turns]
    met += [name for name, share in zip(("turn", "lead_turn"), shares, strict=True) if share < 1]
    pose = Pose(position, between(facing, wish.pose, min(shares)).quaternion)

    width = float(np.clip(wish.width, limits.narrowest, limits.widest))
    met += ["gripper"] if width != wish.width else []
    return Limited(Target(pose, width), distance_between(last, pose), angle_between(last, pose), tuple(met))


def broken(target: Target, last: Pose, state: ArmState, used: tuple[float, float], limits: Limits) -> list[str]:
    """The limits that a command breaks: none, for what `limited` gives. The last check before the arm."""
    step, turn = distance_between(last, target.pose), angle_between(last, target.pose)
    held = {
        "workspace": limits.inside(target.pose),
        "step": step <= limits.step + SLACK,
        "turn": turn <= limits.turn + SLACK_TURN,
        "lead": distance_between(state.pose, target.pose) <= limits.lead + SLACK,
        "lead_turn": angle_between(state.pose, target.pose) <= limits.lead_turn + SLACK_TURN,
        "second": used[0] + step <= limits.second + SLACK or step <= SLACK,
        "second_turn": used[1] + turn <= limits.second_turn + SLACK_TURN or turn <= SLACK_TURN,
        "gripper": limits.narrowest <= target.width <= limits.widest,
    }
    return [name for name, holds in held.items() if not holds]


def within_second(steps: Sequence[Step], now: float) -> tuple[float, float]:
    """What the commands of the last second add up to: metres and radians."""
    recent = [step for step in steps if step.time > now - 1]
    return sum(step.distance for step in recent), sum(step.angle for step in recent)


def _excess(length: float, most: float) -> float:
    """Share of a way that has to be gone until at most `most` of it is left."""
    return max(0.0, 1 - most / length) if length > 0 else 0.0


def _towards(start: Vector, stop: Vector, most: float) -> Vector:
    """From `start` towards `stop`, until at most `most` is left."""
    return start + _excess(float(np.linalg.norm(stop - start)), most) * (stop - start)


def _share_in_ball(start: Vector, stop: Vector, centre: Vector, radius: float) -> float:
    """How much of the way from `start`, in the ball, to `stop` lies in it."""
    way, off = stop - start, start - centre
    a, b, c = float(way @ way), float(way @ off), float(off @ off) - radius**2
    if a + 2 * b + c <= 0 or a == 0:  # the end is in it
        return 1.0
    return float(np.clip((-b + np.sqrt(max(b * b - a * min(c, 0.0), 0.0))) / a, 0, 1))


def _share_in_turn(start: Pose, stop: Pose, centre: Pose, angle: float) -> float:
    """The same for turns, by halving: how much of the shortest turn stays within `angle` of `centre`."""
    if angle_between(stop, centre) <= angle:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if angle_between(between(start, stop, middle), centre) <= angle else (low, middle)
    return low
