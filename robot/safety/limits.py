"""What stands between any policy and the arm: limits, as pure functions. They know no arm, no clock and no memory.

A command is a target that the impedance controller pulls the end effector to. It is limited against two poses, the
command in force (once the arm has stopped: where it stands) and the measured one, and against what the commands of the
last second have used up:

    |command - in force|      <= step        no jump, also where a new action chunk is spliced in
    |command - measured|      <= lead        no pull harder than stiffness times lead
    sum of steps in 1 s       <= second      no speed
    command in the workspace box, gripper within its widths, all of it finite

Distance and turn alike. `limited` returns the command nearest to the wish along the way from where all holds, or says
why there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from robot.hardware.arm import ArmState, Target
from robot.hardware.pose import Pose, Vector, angle_between, arc, between, distance_between

_SLACK = 1e-9  # metres, of rounding
SLACK_TURN = 1e-6  # radians: a budget that is used up is met by an arc cosine near 1
SECOND = 1 + 1e-9  # of time, and its rounding
FARTHEST = 3.0  # metres of the workspace box from the base, on each axis
_MOST = {  # of each limit, and its unit: what lies beyond was meant in another unit, and would limit nothing
    "step": (0.1, "m"),
    "turn": (1.5, "rad"),  # below a quarter, up to which `_share_in_turn` holds
    "lead": (0.2, "m"),
    "lead_turn": (1.5, "rad"),
    "second": (1.0, "m"),
    "second_turn": (3.0, "rad"),
    "widest": (0.1, "m"),
    "state_age": (1.0, "s"),
    "image_age": (1.0, "s"),
    "command_age": (1.0, "s"),
    "silence": (2.0, "s"),
    "lost": (10.0, "s"),
}


@dataclass(frozen=True)
class Limits:
    """Metres, radians, seconds; in the frame of the arm's base. Raises UserError for limits that are none."""

    low: tuple[float, float, float] = (0.13, -0.37, 0.02)  # workspace box; x and y as the paper's authors have them
    high: tuple[float, float, float] = (0.97, 0.37, 0.90)  # its other corner
    step: float = 0.05  # of a command from the last one
    turn: float = 0.25  # the same, radians
    lead: float = 0.09  # of a command from the measured pose: 0.05 m on each axis
    lead_turn: float = 0.25  # radians (paper: rotation clip)
    second: float = 0.35  # of all commands within any second
    second_turn: float = 1.5  # the same, radians
    narrowest: float = 0.0  # gripper widths
    widest: float = 0.08  # the other end of them
    state_age: float = 0.1  # of a measurement, beyond which nothing is sent
    image_age: float = 0.1  # of an image, likewise
    command_age: float = 0.3  # from the observation that a command was made of
    silence: float = 0.5  # without a command, after which the arm is stopped
    lost: float = 1.0  # with nothing sent, for whatever reasons, after which a person is asked

    def __post_init__(self) -> None:
        corners = (self.low, self.high)
        far = any(len(c) != 3 or not np.less_equal(np.abs(c), FARTHEST).all() for c in corners)
        if far or not np.less(self.low, self.high).all():
            raise UserError(f"workspace {self.low} to {self.high} m is no box within {FARTHEST:g} m of the base")
        for name, (most, unit) in _MOST.items():
            if not 0 < (value := getattr(self, name)) <= most:
                raise UserError(f"limit {name} {value:g} {unit}: above 0, {most:g} at most")
        if self.lost < self.silence:
            raise UserError(f"limit lost {self.lost:g} s is under silence {self.silence:g} s")
        if not 0 <= self.narrowest < self.widest:
            raise UserError(f"gripper widths {self.narrowest:g} to {self.widest:g} m")

    @property
    def oldest(self) -> float:
        """Seconds beyond which what was seen is too old to act on."""
        return min(self.state_age, self.image_age)

    def inside(self, pose: Pose) -> bool:
        """Whether its position lies in the workspace box."""
        return _length(self.clipped(pose.position) - pose.position) <= _SLACK

    def clipped(self, position: Vector) -> Vector:
        """The point of the workspace box that is nearest."""
        return np.minimum(np.maximum(position, self.low), self.high)


@dataclass(frozen=True)
class Step:
    """How far a command that was sent lay from the one before."""

    time: float  # seconds
    distance: float  # metres
    angle: float  # radians


class OutOfReach(ValueError):
    """No command within the limits leads from where the arm is to where it should be: one line says why."""


@dataclass(frozen=True)
class Limited:
    """A command that may be sent, and which limits it met."""

    target: Target
    step: float  # metres from the last command
    turn: float
    met: tuple[str, ...]


def limited(wish: Target, last: Pose, state: ArmState, used: tuple[float, float], limits: Limits) -> Limited:
    """The command for a wish: the wish itself where it meets no limit. Raises OutOfReach where there is none.

    `last` is the pose in force: commanded last, or where the arm was stopped. `used` is the distance and the angle that
    the commands of the last second add up to.
    """
    step = min(limits.step, max(0.0, limits.second - used[0]))
    turn = min(limits.turn, max(0.0, limits.second_turn - used[1]))
    moved = _moved(wish.pose.position, last.position, state.pose.position, step, limits)
    if moved is None:
        apart, where = distance_between(last, state.pose), state.pose.position.round(3)
        raise OutOfReach(f"the arm, at {where} m, is {apart:.3f} m from where it was sent, or outside its workspace")
    turned = _turned(wish.pose, last, state.pose, turn, limits)
    if turned is None:
        raise OutOfReach(f"the arm is turned {angle_between(last, state.pose):.2f} rad from where it was sent")

    width = min(max(wish.width, limits.narrowest), limits.widest)
    met = moved[1] + turned[1] + (("gripper",) if width != wish.width else ())
    pose = Pose(moved[0], turned[0]) if moved[1] or turned[1] else wish.pose
    return Limited(Target(pose, width), distance_between(last, pose), angle_between(last, pose), met)


def broken(target: Target, last: Pose, state: ArmState, used: tuple[float, float], limits: Limits) -> list[str]:
    """The limits that a command breaks: none, for what `limited` gives. The last check before the arm."""
    step, turn = distance_between(last, target.pose), angle_between(last, target.pose)
    held = {
        "workspace": limits.inside(target.pose),
        "step": step <= limits.step + _SLACK,
        "turn": turn <= limits.turn + SLACK_TURN,
        "lead": distance_between(state.pose, target.pose) <= limits.lead + _SLACK,
        "lead_turn": angle_between(state.pose, target.pose) <= limits.lead_turn + SLACK_TURN,
        "second": used[0] + step <= limits.second + _SLACK or step <= _SLACK,
        "second_turn": used[1] + turn <= limits.second_turn + SLACK_TURN or turn <= SLACK_TURN,
        "gripper": limits.narrowest <= target.width <= limits.widest,
    }
    return [name for name, holds in held.items() if not holds]


def within_second(steps: Sequence[Step], now: float) -> tuple[float, float]:
    """What the commands of the last second, its first moment included, add up to: metres and radians."""
    recent = [step for step in steps if step.time >= now - SECOND]
    return sum(step.distance for step in recent), sum(step.angle for step in recent)


def _moved(
    wish: Vector, last: Vector, measured: Vector, step: float, limits: Limits
) -> tuple[Vector, tuple[str, ...]] | None:
    """Towards a wish until it leaves the ball around the last command or that around the measured position, from the
    point where both hold and the box too, nearest to the last command; with the limits met."""
    balls = (("step" if step == limits.step else "second", last, step), ("lead", measured, limits.lead))
    start = limits.clipped(last + _excess(_length(measured - last), limits.lead) * (measured - last))
    if any(_length(start - centre) > radius + _SLACK for _, centre, radius in balls):
        return None
    stop = limits.clipped(wish)
    shares = {name: _share_in_ball(start, stop, centre, radius) for name, centre, radius in balls}
    met = (() if (stop == wish).all() else ("workspace",)) + tuple(name for name in shares if shares[name] < 1)
    return (stop if min(shares.values()) == 1 else start + min(shares.values()) * (stop - start)), met


def _turned(
    wish: Pose, last: Pose, measured: Pose, turn: float, limits: Limits
) -> tuple[Vector, tuple[str, ...]] | None:
    """The same for turns: the quaternion."""
    balls = (("turn" if turn == limits.turn else "second_turn", last, turn), ("lead_turn", measured, limits.lead_turn))
    start = between(last, measured, _excess(angle_between(last, measured), limits.lead_turn))
    if any(angle_between(start, centre) > radius + SLACK_TURN for _, centre, radius in balls):
        return None
    shares = {name: _share_in_turn(start, wish, centre, radius) for name, centre, radius in balls}
    met = tuple(name for name in shares if shares[name] < 1)
    return (between(start, wish, min(shares.values())) if met else wish).quaternion, met


def _length(vector: Vector) -> float:
    return math.hypot(*vector.tolist())


def _excess(length: float, most: float) -> float:
    """Share of a way that has to be gone until at most `most` of it is left."""
    return max(0.0, 1 - most / length) if length > 0 else 0.0


def _share_in_ball(start: Vector, stop: Vector, centre: Vector, radius: float) -> float:
    """How much of the way from `start`, in the ball, to `stop` lies in it."""
    if _length(stop - centre) <= radius:
        return 1.0
    way, off = stop - start, start - centre
    a, b, c = float(way @ way), float(way @ off), min(float(off @ off) - radius**2, 0.0)
    return min(1.0, max(0.0, (-b + math.sqrt(b * b - a * c)) / a)) if a > 0 else 1.0


def _share_in_turn(start: Pose, stop: Pose, centre: Pose, radius: float) -> float:
    """The same for turns. On the sphere of unit quaternions, the turn passes cos(x) start + sin(x) across, and a pose
    is within `radius` of the centre where |its product with it| >= cos(radius / 2). Below a quarter turn the shortest
    turn leaves that for good."""
    if angle_between(stop, centre) <= radius:
        return 1.0
    half, across = arc(start, stop)
    along, beside = float(start.quaternion @ centre.quaternion), float(across @ centre.quaternion)
    sign = math.copysign(1.0, along)  # q and -q are the same turn
    nearest, largest = math.atan2(sign * beside, sign * along), math.hypot(along, beside)
    leaves = nearest + math.acos(min(1.0, math.cos(radius / 2) / largest))
    return min(1.0, max(0.0, leaves / half)) if half > 0 else 1.0


def box_edges(limits: Limits, pieces: int = 24) -> NDArray[np.float64]:
    """The workspace's twelve edges as points [12, pieces, 3], metres, so that one half behind the camera shows."""
    corners = np.array(list(product(*zip(limits.low, limits.high, strict=True))))
    edges = [(a, b) for a, b in combinations(corners, 2) if np.sum(a != b) == 1]
    share = np.linspace(0, 1, pieces)[:, None]
    return np.array([a + share * (b - a) for a, b in edges])
