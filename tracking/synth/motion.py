"""Kinematics of hand and door: palm poses, fingers and arm for every frame, from a Timing and a camera path.

The hand goes from anchor to anchor (out of view, before the handle, on the handle, inside the door); an anchor may
move with the door, and between two of them the hand blends smoothly. Contacts are exact by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpr.core.data.scene import CameraPath
from tracking.synth.appliance import Appliance
from tracking.synth.hand import GRASPS, HandGrasp, SynthHand, hand_qpos
from tracking.synth.timing import Timing, minimum_jerk

STYLES = {  # handle kind: grasps that suit it
    "bar_vertical": ("power", "power", "hook"),
    "bar_horizontal": ("power", "hook"),
    "knob": ("pinch",),
    "recess": ("hook", "push"),
    "edge": ("hook", "pinch"),
}


@dataclass(frozen=True)
class Anchor:
    """Where the hand would be at each frame if it were at this place."""

    position: NDArray[np.float64]  # [T, 3] palm, world
    rotation: Rotation  # [T]
    grasp: HandGrasp


@dataclass(frozen=True)
class Stay:
    """The hand is at `anchor` from start to stop (seconds)."""

    anchor: Anchor
    start: float
    stop: float


class Reach:
    """Makes the anchors of one clip."""

    def __init__(
        self, rng: Generator, a: Appliance, hand: SynthHand, door: NDArray, camera: CameraPath, miss: bool
    ) -> None:
        self.rng, self.a, self.hand, self.door, self.camera = rng, a, hand, door, camera
        matrices = Rotation.from_quat(camera.quaternions)
        self.eye = matrices
        mirror = 1 if hand.right else -1
        right = matrices.apply([1.0, 0, 0]) * (1, 1, 0)
        forward = np.cross((0, 0, 1.0), right)
        self.shoulder = camera.positions + 0.2 * mirror * right - 0.06 * forward - (0, 0, 0.27)
        self.beside = np.zeros(3)
        if miss:  # the whole motion happens off the door: in front of it and above, below or to its side
            self.beside = np.array([0.0, -rng.uniform(0.07, 0.12), 0.0])
            self.beside += rng.choice([-1, 1]) * rng.uniform(0.1, 0.2) * rng.choice([(1, 0, 0), (0, 0, 1)])
        along = rng.uniform(-0.03, 0.03) if a.handle.kind == "bar_vertical" else 0.0
        self.point = a.handle.position + along * a.handle.axis
        self.style = GRASPS[str(rng.choice(STYLES[a.handle.kind]))]
        self.loosen = float(rng.uniform(0.3, 1.0) if a.handle.kind == "bar_vertical" else rng.uniform(0.75, 1.0))

    def follow(self, local: NDArray, approach: NDArray, thumb: NDArray, grasp: HandGrasp, share: float) -> Anchor:
        """An anchor on a point of the door, turning with `share` of the door's turn.

        `local` [3] is the point in metres in the door's frame; `approach` and `thumb` [3] are the directions in the
        world of the reach and (roughly) of the thumb's side, with the door shut.
        """
        points = self.a.door_point(self.door, local) + self.beside
        palm, turn = self.hand.palm(np.zeros(3), approach, thumb, grasp)
        vector = self.a.door_rotation(self.door).as_rotvec() * share
        rotation = Rotation.from_rotvec(vector) * turn
        grip = turn.inv().apply(-palm)  # of the palm frame
        return Anchor(points - rotation.apply(grip), rotation, grasp)

    def on_handle(self) -> tuple[Anchor, Anchor]:
        """Just before the handle, hand open, and on it."""
        a, rng, mirror = self.a, self.rng, 1 if self.hand.right else -1
        handle = a.door_point(self.door[:1], self.point)[0]
        reach = handle - self.shoulder[len(self.door) // 3]
        inward = np.array([0.0, 1, 0]) + rng.uniform(0.1, 0.5) * reach / np.linalg.norm(reach)
        inward -= 0.8 * (inward @ a.handle.axis) * a.handle.axis
        inward[1] = max(inward[1], 0.6)
        if a.handle.kind == "bar_horizontal":
            thumb = np.array([-mirror if rng.uniform() < 0.8 else mirror, 0.0, 0.0])
        else:
            thumb = np.array([rng.normal(0, 0.25), 0.0, 1.0])
        if a.handle.kind in ("knob", "recess", "edge"):
            thumb = np.array([-0.6 * mirror, 0.0, 1.0]) + rng.normal(0, 0.25, 3)
        on = self.follow(self.point, inward, thumb, self.style, self.loosen)
        back = self.point - rng.uniform(0.05, 0.11) * inward / np.linalg.norm(inward)
        before = self.follow(back, inward, thumb, GRASPS["relaxed"], self.loosen)
        return before, on

    def at_edge(self, t: int) -> tuple[Anchor, Anchor]:
        """The hand beside the door's free edge, and pushing on.

        From inside where the arm gets there past the edge at frame t, else with the fingers hooked behind the edge.
        """
        a, rng, side = self.a, self.rng, self.a.side
        z = float(np.clip(self.point[2] + rng.uniform(-0.1, 0.1), -0.4 * a.door_size[2], 0.4 * a.door_size[2]))
        beside = np.array([a.edge + side * 0.07, -0.02, z])
        up = np.array([0.0, 0, 1])
        shoulder = a.door_rotation(self.door[t : t + 1]).inv().apply(self.shoulder[t] - a.origin)[0]
        if shoulder[1] > 0.05:
            face = np.array([a.edge - side * rng.uniform(0.02, 0.08), 0.0, z])
            out = np.array([-0.5 * side, -1.0, 0])
            return (
                self.follow(beside, out, up, GRASPS["relaxed"], 1.0),
                self.follow(face, out, up, GRASPS["push"], 1.0),
            )
        edge, inward = np.array([a.edge, -a.door_size[1], z]), np.array([-0.5 * side, 1.0, 0])
        beside[1] = -0.09
        return (
            self.follow(beside, inward, up, GRASPS["relaxed"], 0.7),
            self.follow(edge, inward, up, GRASPS["hook"], 0.7),
        )

    def away(self) -> Anchor:
        """Out of the image, below or beside it, moving with the head."""
        mirror = 1 if self.hand.right else -1
        tall = np.tan(self.camera.fovy / 2)
        ahead = self.rng.uniform(0.3, 0.45)
        side, down = self.rng.uniform(0.0, 1.5) * tall, self.rng.uniform(1.2, 1.9) * tall
        offset = ahead * np.array([mirror * side, -down, -1.0])
        position = self.camera.positions + self.eye.apply(offset)
        forward = self.eye.apply([0.0, 0.3, -1.0]).mean(0)
        up = np.array([-0.6 * mirror, 0.0, 1.0])
        _, turn = self.hand.palm(np.zeros(3), forward, up, GRASPS["relaxed"])
        return Anchor(position, turn * Rotation.identity(len(self.door)), GRASPS["relaxed"])


def itinerary(rng: Generator, timing: Timing, reach: Reach) -> list[Stay]:
    """The anchors a hand visits over a clip, in order."""
    before, on = reach.on_handle()
    approach = timing.phases[0]
    first = approach.start - (rng.uniform(0.0, 0.35) if rng.uniform() < 0.7 else 0.0)
    span = approach.stop - first
    near = approach.stop - rng.uniform(0.15, 0.35) * span
    stays = [Stay(reach.away(), first - 1, first), Stay(before, near, near)]
    held, since = on, approach.stop
    for phase in timing.phases[1:]:
        third = (phase.stop - phase.start) / 3
        if phase.name == "interruption":
            stays += [Stay(held, since, phase.start), Stay(before, phase.start + third * 0.7, phase.start + third)]
            away = Anchor(before.position + rng.normal(0, 0.06, 3) - (0, 0.06, 0), before.rotation, before.grasp)
            stays += [Stay(away, phase.start + 1.6 * third, phase.start + 1.9 * third)]
            since = phase.stop
        elif phase.name == "switch":
            edge, face = reach.at_edge(int(np.searchsorted(timing.times[:-1], phase.stop)))
            stays += [
                Stay(held, since, phase.start),
                Stay(before, phase.start + third * 0.6, phase.start + third * 0.6),
            ]
            stays += [Stay(edge, phase.start + 1.7 * third, phase.start + 1.7 * third)]
            held, since = face, phase.stop
        elif phase.name == "leave":
            stays += [Stay(held, since, phase.start)]
            if held is on:
                stays += [Stay(before, phase.start + third * 0.8, phase.start + third * 0.8)]
            stays += [Stay(reach.away(), phase.stop + rng.uniform(0, 0.3), phase.stop + 1)]
            since = np.inf
    return stays + ([Stay(held, since, timing.times[-1] + 1)] if since < np.inf else [])


def blend(stays: list[Stay], times: NDArray, value: Callable[[Anchor, int], NDArray]) -> NDArray[np.float64]:
    """A quantity along the itinerary [T, ...]: at an anchor its own, between two anchors mixed smoothly."""
    return np.stack([mix(value(a, t), value(b, t), s) for t, (a, b, s) in enumerate(weights(stays, times))])


def mix(a: NDArray, b: NDArray, s: float) -> NDArray[np.float64]:
    """The straight blend of a and b, both [...]: a where s is 0, b where it is 1."""
    return (1 - s) * a + s * b


def weights(stays: list[Stay], times: NDArray) -> list[tuple[Anchor, Anchor, float]]:
    """For each time the two anchors the hand is between and how far it is from the first to the second.

    `times` [T] are seconds; how far is 0 .. 1.
    """
    found = []
    for time in times:
        k = max((i for i, stay in enumerate(stays) if stay.start <= time), default=0)
        here, after = stays[k], stays[min(k + 1, len(stays) - 1)]
        span = after.start - here.stop
        s = float(minimum_jerk(np.array((time - here.stop) / span))) if span > 1e-6 and time > here.stop else 0.0
        found.append((here.anchor, after.anchor, s))
    return found


def hand_motion(
    rng: Generator, timing: Timing, a: Appliance, hand: SynthHand, camera: CameraPath, miss: bool = False
) -> NDArray[np.float64]:
    """Hand joint positions [T, NQ]. miss: the hand goes through the whole motion beside the handle."""
    reach = Reach(rng, a, hand, timing.door, camera, miss)
    stays = itinerary(rng, timing, reach)
    times = timing.times
    position = blend(stays, times, lambda x, t: x.position[t])
    turns = []
    for t, (p, q, s) in enumerate(weights(stays, times)):
        turns.append(
            (p.rotation[t] * Rotation.from_rotvec(s * (p.rotation[t].inv() * q.rotation[t]).as_rotvec())).as_quat()
        )
    curl = blend(stays, times, lambda x, t: np.array(x.grasp.flexion))
    spread = 1 + rng.normal(0, 0.08, (4, 3))
    fingers = curl[:, None, :] * spread
    thumb = blend(stays, times, lambda x, t: np.array([*x.grasp.thumb, x.grasp.bend]))
    return hand_qpos(hand, position, Rotation.from_quat(np.stack(turns)), fingers, thumb, reach.shoulder)
