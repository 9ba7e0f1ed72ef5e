"""A human-looking right or left hand with forearm and upper arm, of capsules; purely kinematic.

Palm frame: x along the fingers, z out of the back of the hand, y towards the thumb of a right hand (away from it for a
left hand), origin in the middle of the palm. Joint positions are written, never simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tracking.simulator.gl import mujoco
from tracking.synth.looks import Paint, colour

_FINGERS = (("index", 0.030, 0.95), ("middle", 0.010, 1.05), ("ring", -0.010, 0.98), ("little", -0.028, 0.78))
KNUCKLE = 0.045  # metres from the palm's middle to the knuckles
PHALANGES = (0.044, 0.027, 0.022)  # metres
WRIST = np.array([-0.05, 0.0, 0.0])
FOREARM, UPPER_ARM = 0.25, 0.6  # metres; the upper arm only has to leave the image
CAPSULE, ELLIPSOID = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_ELLIPSOID

# qpos of the hand: palm free joint (7), forearm ball (4), upper arm ball (4), 4 fingers x 3, thumb ball (4) + bend (1)
NQ = 7 + 4 + 4 + 12 + 5


@dataclass(frozen=True)
class HandGrasp:
    """Finger angles and where, and from which direction, the grasp takes hold (palm frame of a right hand)."""

    flexion: tuple[float, float, float]  # radians at the three joints of every finger
    thumb: tuple[float, float, float]  # direction of the thumb
    bend: float  # radians at the thumb's joint
    grip: tuple[float, float, float]  # metres, the point that touches
    approach: tuple[float, float, float]  # direction of the reach; y must be 0


GRASPS = {
    "power": HandGrasp((1.15, 1.45, 0.8), (0.75, 0.35, -0.75), 0.7, (0.043, 0, -0.027), (1, 0, 0)),
    "pinch": HandGrasp((0.75, 0.7, 0.4), (0.75, -0.1, -0.65), 0.2, (0.078, 0, -0.072), (0.8, 0, -0.6)),
    "hook": HandGrasp((0.3, 1.5, 0.9), (0.8, 0.6, -0.1), 0.3, (0.07, 0, -0.03), (0.8, 0, -0.6)),
    "push": HandGrasp((0.25, 0.15, 0.1), (0.8, 0.6, 0.0), 0.1, (0.1, 0, -0.028), (0.25, 0, -0.97)),
    "relaxed": HandGrasp((0.35, 0.45, 0.25), (0.85, 0.45, -0.3), 0.2, (0.09, 0, -0.03), (0.9, 0, -0.4)),
}


@dataclass(frozen=True)
class SynthHand:
    """What motion needs to know of a hand."""

    right: bool
    size: float  # 1: the lengths above

    def local(self, vector: tuple[float, float, float]) -> NDArray[np.float64]:
        """A right hand's palm vector as this hand's, [3]: mirrored for a left one."""
        return np.array(vector) * (1, 1 if self.right else -1, 1)

    def palm(self, point: NDArray, approach: NDArray, thumb: NDArray, grasp: HandGrasp) -> tuple[NDArray, Rotation]:
        """Palm position [3] and orientation that bring the grasp's touching point to `point`.

        approach, thumb: world directions [3] of the reach and (roughly) of the thumb's side.
        """
        d = approach / np.linalg.norm(approach)
        side = thumb * (1 if self.right else -1)
        side = side - (side @ d) * d
        side /= np.linalg.norm(side)
        a = np.array(grasp.approach) / np.linalg.norm(grasp.approach)
        y = np.array([0.0, 1, 0])
        rotation = np.stack([d, side, np.cross(d, side)], 1) @ np.stack([a, y, np.cross(a, y)], 1).T
        turn = Rotation.from_matrix(rotation)
        return point - turn.apply(self.local(grasp.grip) * self.size), turn


def add_hand(spec: Any, rng: Generator, paint: Paint) -> SynthHand:
    """Add hand and arm; returns what was drawn. Skin, or now and then a glove; sleeve or bare arm."""
    hand = SynthHand(right=bool(rng.uniform() < 0.65), size=float(rng.uniform(0.88, 1.12)))
    s, mirror = hand.size, 1 if hand.right else -1
    skin_colour = colour(rng, "skin")
    skin = paint(base=skin_colour, textured=0.0) if rng.uniform() < 0.85 else paint(textured=0.1)
    nail = paint(base=np.clip(skin_colour * 1.12, 0, 1), textured=0.0)
    sleeve = paint(textured=0.5) if rng.uniform() < 0.65 else skin
    palm = spec.worldbody.add_body(name="hand")
    palm.add_freejoint()
    palm.add_geom(type=ELLIPSOID, pos=[-0.005 * s, 0, 0], size=[0.053 * s, 0.042 * s, 0.016 * s], material=skin)
    for _, y, _ in _FINGERS:
        line = [-0.04 * s, 0.6 * y * s * mirror, 0, KNUCKLE * s, y * s * mirror, 0]
        palm.add_geom(type=CAPSULE, fromto=line, size=[0.0115 * s, 0, 0], material=skin)
    add_arm(palm, rng, s, skin, sleeve)
    for name, y, length in _FINGERS:
        at, body = np.array([KNUCKLE, y * mirror, 0.0]) * s, palm
        for k, phalanx in enumerate(PHALANGES):
            body = body.add_body(name=f"{name}{k}", pos=at)
            body.add_joint(name=f"{name}{k}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0])
            at = np.array([phalanx * length * s, 0, 0])
            r = (0.0092, 0.0084, 0.0076)[k] * s
            body.add_geom(type=CAPSULE, fromto=[0, 0, 0, *at], size=[r, 0, 0], material=skin)
        body.add_geom(type=ELLIPSOID, pos=[at[0], 0, 0.005 * s], size=[0.006 * s, 0.005 * s, 0.003 * s], material=nail)
    thumb = palm.add_body(name="thumb0", pos=[-0.022 * s, 0.026 * s * mirror, -0.006 * s])
    thumb.add_joint(name="thumb0", type=mujoco.mjtJoint.mjJNT_BALL)
    thumb.add_geom(type=CAPSULE, fromto=[0, 0, 0, 0.046 * s, 0, 0], size=[0.0135 * s, 0, 0], material=skin)
    tip = thumb.add_body(name="thumb1", pos=[0.046 * s, 0, 0])
    tip.add_joint(name="thumb1", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, mirror])
    tip.add_geom(type=CAPSULE, fromto=[0, 0, 0, 0.032 * s, 0, 0], size=[0.0105 * s, 0, 0], material=skin)
    end = tip.add_body(name="thumb2", pos=[0.032 * s, 0, 0])
    end.add_geom(type=CAPSULE, fromto=[0, 0, 0, 0.022 * s, 0, 0], size=[0.0092 * s, 0, 0], material=skin)
    return hand


def add_arm(palm: Any, rng: Generator, s: float, skin: str, sleeve: str) -> None:
    """Forearm and upper arm on ball joints; the sleeve starts anywhere between the wrist and the elbow."""
    forearm = palm.add_body(name="forearm", pos=WRIST * s)
    forearm.add_joint(name="forearm", type=mujoco.mjtJoint.mjJNT_BALL)
    for x0, x1, r in ((0.01, 0.1, 0.026), (0.09, 0.19, 0.033), (0.17, FOREARM, 0.038)):
        forearm.add_geom(type=CAPSULE, fromto=[-x0, 0, 0, -x1, 0, 0], size=[r * s, 0, 0], material=skin)
    start = float(rng.uniform(0.0, 0.22))
    if sleeve != skin:
        line = [-start - 0.03, 0, 0, -FOREARM, 0, 0]
        forearm.add_geom(type=CAPSULE, fromto=line, size=[float(rng.uniform(0.042, 0.055)) * s, 0, 0], material=sleeve)
    upper = forearm.add_body(name="upper_arm", pos=[-FOREARM, 0, 0])
    upper.add_joint(name="upper_arm", type=mujoco.mjtJoint.mjJNT_BALL)
    radius = float(rng.uniform(0.045, 0.06)) * s
    upper.add_geom(type=CAPSULE, fromto=[0, 0, 0, -UPPER_ARM, 0, 0], size=[radius, 0, 0], material=sleeve)


def turn_to(direction: NDArray) -> Rotation:
    """The smallest rotations that take -x to unit directions [T, 3]."""
    x = np.array([-1.0, 0, 0])
    axis = np.cross(np.broadcast_to(x, direction.shape), direction)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, direction[:, :1] * -1)
    axis = np.where(sine > 1e-9, axis / np.maximum(sine, 1e-9), (0, 0, 1.0))
    return Rotation.from_rotvec(axis * angle)


def unit(vectors: NDArray) -> NDArray[np.float64]:
    """Vectors [..., D] scaled to length 1; a zero vector stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def hand_qpos(
    hand: SynthHand, position: NDArray, rotation: Rotation, fingers: NDArray, thumb: NDArray, shoulder: NDArray
) -> NDArray[np.float64]:
    """Joint positions [T, NQ].

    position [T, 3] and rotation: the palm in the world; fingers [T, 4, 3] radians; thumb [T, 4]: its direction in a
    right hand's palm frame and its bend; shoulder [T, 3] metres, world.
    """
    wrist = position + rotation.apply(WRIST * hand.size)
    to_shoulder = unit(shoulder - wrist)
    elbow = wrist + FOREARM * unit(to_shoulder + (0, 0, -0.35) + 0.25 * rotation.apply([-1.0, 0, 0]))
    forearm = turn_to(rotation.inv().apply(unit(elbow - wrist)))
    upper = turn_to((rotation * forearm).inv().apply(unit(shoulder - elbow)))
    points = unit(thumb[:, :3]) * (1, 1 if hand.right else -1, 1)
    thumb_turn = turn_to(-points)  # the thumb lies along +x
    parts = [position, wxyz(rotation), wxyz(forearm), wxyz(upper), fingers.reshape(len(position), 12)]
    return np.concatenate([*parts, wxyz(thumb_turn), -thumb[:, 3:]], 1)


def wxyz(rotation: Rotation) -> NDArray[np.float64]:
    """MuJoCo's order of a quaternion [T, 4], scalar part not negative."""
    q = np.roll(rotation.as_quat(), 1, axis=-1)
    return np.where(q[:, :1] < 0, -q, q)
