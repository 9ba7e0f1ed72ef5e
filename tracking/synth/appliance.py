"""Procedural appliances as MuJoCo bodies: microwaves, hinged cabinets and sliding cabinets, each seed another one.

World frame: x right as seen from the front, y into the appliance, z up, origin at the middle of the front. A handle
sits away from the hinge; a sliding panel slides away from the edge its handle is on. No dynamics, no hand, no camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tracking.simulator.gl import mujoco
from tracking.synth.looks import Paint
from tracking.synth.names import SYNTH_TASKS

BODY, DOOR = "appliance", "door"  # names of the still and of the moving body

BOX, CYLINDER, SPHERE = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_SPHERE)
CAPSULE, ELLIPSOID = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_ELLIPSOID

Corner = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Handle:
    """Where a hand takes the door, in the door's frame at rest."""

    kind: str  # bar_vertical, bar_horizontal, knob, recess, edge
    position: NDArray[np.float64]  # [3] metres
    axis: NDArray[np.float64]  # [3] unit vector along what the fingers wrap around


@dataclass(frozen=True)
class Appliance:
    """Geometry of one appliance, all that motion and camera need to know."""

    task: str
    width: float  # metres, x
    depth: float  # metres, y
    height: float  # metres, z
    slides: bool
    side: int  # +1: hinge at the left, or slides to the right; -1: mirrored
    origin: NDArray[np.float64]  # [3] door frame in the world; a hinged door's is on its hinge
    door_size: NDArray[np.float64]  # [3] width, thickness, height
    handle: Handle
    has_window: bool

    def door_rotation(self, q: NDArray) -> Rotation:
        """Door to world for joint positions q [T]."""
        vector = np.zeros((len(q), 3))
        vector[:, 2] = 0.0 if self.slides else -self.side * q
        return Rotation.from_rotvec(vector)

    def door_point(self, q: NDArray, local: NDArray) -> NDArray[np.float64]:
        """World position [T, 3] of a point [3] of the door's frame for joint positions q [T]."""
        moved = self.door_rotation(q).apply(local) + self.origin
        if self.slides:
            moved[:, 0] += self.side * q
        return moved

    @property
    def edge(self) -> float:
        """x of the door's free edge (a sliding panel: of the edge with the handle) in the door's frame."""
        return -self.side * self.door_size[0] / 2 if self.slides else self.side * self.door_size[0]

    def corners(self, q: float) -> NDArray[np.float64]:
        """World corners [16, 3] of the body and of the door at joint position q."""
        w, d, h = self.width, self.depth, self.height
        body = np.array([(x, y, z) for x in (-w / 2, w / 2) for y in (0, d) for z in (-h / 2, h / 2)])
        dw, dt, dh = self.door_size
        xs = (-dw / 2, dw / 2) if self.slides else (0.0, self.side * dw)
        door = [(x, y, z) for x in xs for y in (-dt, 0) for z in (-dh / 2, dh / 2)]
        return np.concatenate([body, [self.door_point(np.array([q]), np.array(p))[0] for p in door]])


def box(body: Any, low: Corner, high: Corner, material: str) -> None:
    """A box between two corners (in any order) of the body's frame."""
    a, b = np.minimum(low, high), np.maximum(low, high)
    body.add_geom(type=BOX, pos=(a + b) / 2, size=np.maximum((b - a) / 2, 5e-4), material=material)


def add_shell(body: Any, w: float, d: float, h: float, wall: float, outside: str, inside: str) -> None:
    """A hollow box with an open front between x = -w/2..w/2, y = 0..d, z = -h/2..h/2, lined with another material."""
    for s in (-1, 1):
        box(body, (s * w / 2, 0, -h / 2), (s * (w / 2 - wall), d, h / 2), outside)
        box(body, (-w / 2 + wall, 0, s * h / 2), (w / 2 - wall, d, s * (h / 2 - wall)), outside)
        box(body, (s * (w / 2 - wall), 0.004, -h / 2 + wall), (s * (w / 2 - wall - 0.002), d, h / 2 - wall), inside)
        box(body, (-w / 2 + wall, 0.004, s * (h / 2 - wall)), (w / 2 - wall, d, s * (h / 2 - wall - 0.002)), inside)
    box(body, (-w / 2 + wall, d - wall, -h / 2 + wall), (w / 2 - wall, d - 0.001, h / 2 - wall), inside)


def add_handle(body: Any, kind: str, at: NDArray, rng: Generator, material: str, room: float) -> Handle:
    """Add a handle to a door's body at `at`, [3] metres on the door's face in the door's frame.

    `room`: metres of door along the handle's axis.
    """
    vertical = kind != "bar_horizontal"
    axis = np.array([0.0, 0, 1]) if vertical else np.array([1.0, 0, 0])
    stand = float(rng.uniform(0.032, 0.055))
    grip = at - [0, stand, 0]
    if kind.startswith("bar"):
        half = float(rng.uniform(0.25, 0.95)) * room / 2 if rng.uniform() < 0.7 else min(0.07, room / 2)
        r = float(rng.uniform(0.004, 0.011))
        if rng.uniform() < 0.6:
            body.add_geom(
                type=CAPSULE, fromto=[*(grip - half * axis), *(grip + half * axis)], size=[r, 0, 0], material=material
            )
        else:
            flat = np.array([r * rng.uniform(0.8, 1.8), r, r * rng.uniform(0.8, 1.8)])
            box(body, grip - half * axis - flat, grip + half * axis + flat, material)
        for s in (-1, 1):
            foot = at + s * half * axis * float(rng.uniform(0.75, 1))
            body.add_geom(
                type=CYLINDER, fromto=[*foot, *(foot - [0, stand, 0])], size=[r * 0.8, 0, 0], material=material
            )
    elif kind == "knob":
        r = float(rng.uniform(0.011, 0.02))
        grip = at - [0, 0.024, 0]
        body.add_geom(type=CYLINDER, fromto=[*at, *grip], size=[r * 0.5, 0, 0], material=material)
        if rng.uniform() < 0.5:
            body.add_geom(type=SPHERE, pos=grip, size=[r, 0, 0], material=material)
        else:
            body.add_geom(
                type=CYLINDER, fromto=[*grip, *(grip - [0, 0.012, 0])], size=[r * 1.1, 0, 0], material=material
            )
    elif kind == "recess":
        half = np.array([0.012, 0, min(0.06, room / 3)])
        box(body, at - half, at + half - [0, 0.0015, 0], material)
        grip = at - [0, 0.012, 0]
    else:
        grip = at - [0, 0.004, 0]
    return Handle(kind, np.asarray(grip, float), axis)


def add_front(
    body: Any, x0: float, x1: float, thick: float, h: float, rng: Generator, paint: Paint, face: str, style: str
) -> None:
    """A door leaf over x0..x1, y = -thick..0, z = -h/2..h/2 with a front: flat, framed, inset or glass."""
    low, high = min(x0, x1), max(x0, x1)
    box(body, (low, -thick, -h / 2), (high, 0, h / 2), face)
    rail = float(rng.uniform(0.12, 0.25)) * min(high - low, h)
    proud = 0.006
    if style == "framed":
        for s in (-1, 1):
            box(body, (low, -thick - proud, s * h / 2), (high, -thick, s * (h / 2 - rail)), face)
        box(body, (low, -thick - proud, -h / 2), (low + rail, -thick, h / 2), face)
        box(body, (high - rail, -thick - proud, -h / 2), (high, -thick, h / 2), face)
    elif style in ("inset", "glass"):
        panel = paint(palette="dark" if style == "glass" else "any", textured=0.3)
        up = float(rng.uniform(-0.1, 0.1)) * rail
        box(body, (low + rail, -thick - 0.002, -h / 2 + rail + up), (high - rail, -thick, h / 2 - rail + up), panel)


def handle_kind(rng: Generator, chances: dict[str, float]) -> str:
    """Draw a kind of handle, given the chance of each; these add up to 1."""
    return str(rng.choice(list(chances), p=list(chances.values())))


def add_contents(body: Any, rng: Generator, paint: Paint, w: float, d: float, h: float, shelves: int) -> None:
    """Shelves and a few things standing on them, inside -w/2..w/2, 0..d, -h/2..h/2."""
    floors = [-h / 2 + 0.003]
    for k in range(shelves):
        z = -h / 2 + h * (k + 1) / (shelves + 1)
        box(body, (-w / 2, 0.03, z - 0.006), (w / 2, d - 0.005, z + 0.006), paint(palette="any", textured=0.3))
        floors.append(z + 0.006)
    for z in floors:
        room = h / (shelves + 1) - 0.02
        for _ in range(int(rng.integers(0, 4))):
            r = float(min(rng.uniform(0.02, 0.06), w / 5, d / 5))
            tall = float(rng.uniform(0.25, 0.8)) * room / 2
            x, y = rng.uniform(-w / 2 + r, w / 2 - r), rng.uniform(0.05 + r, max(d - r - 0.02, 0.06 + r))
            kind = BOX if rng.uniform() < 0.35 else CYLINDER
            size = [r * 0.8, r * 0.8, tall] if kind == BOX else [r, tall, 0]
            body.add_geom(type=kind, pos=[x, y, z + tall], size=size, material=paint(textured=0.3))


def add_microwave(spec: Any, rng: Generator, paint: Paint) -> Appliance:
    """A microwave: body with cavity and plate, control panel, one door hinged left or right."""
    w, d, h = rng.uniform(0.38, 0.68), rng.uniform(0.28, 0.5), rng.uniform(0.22, 0.42)
    side = 1 if rng.uniform() < 0.5 else -1
    panel = float(rng.uniform(0.14, 0.34)) * w if rng.uniform() < 0.75 else 0.0
    thick = float(rng.uniform(0.025, 0.05))
    body = spec.worldbody.add_body(name=BODY)
    outside = paint(palette=str(rng.choice(["light", "dark", "metal", "any"])), textured=0.3)
    face = (
        outside
        if rng.uniform() < 0.5
        else paint(palette=str(rng.choice(["light", "dark", "metal", "any"])), textured=0.3)
    )
    cavity = w - panel - 0.02
    shift = side * -(w - cavity) / 2
    add_shell(body, w, d, h, 0.02, outside, paint(palette=str(rng.choice(["light", "metal", "dark"])), textured=0.2))
    if panel:
        x0, x1 = side * w / 2, side * (w / 2 - panel)
        control = (
            face if rng.uniform() < 0.6 else paint(palette=str(rng.choice(["light", "dark", "metal"])), textured=0.2)
        )
        box(body, (x0, -thick, -h / 2), (x1, -0.0005, h / 2), control)
        box(body, (x0 - side * 0.023, 0, -h / 2 + 0.023), (x1, d - 0.03, h / 2 - 0.023), paint(palette="light"))
        add_controls(body, rng, paint, (x0 + x1) / 2, panel, thick, h)
    plate = min(cavity, d) * float(rng.uniform(0.3, 0.42))
    body.add_geom(
        type=CYLINDER,
        pos=[shift, d * 0.5, -h / 2 + 0.035],
        size=[plate, 0.006, 0],
        material=paint(palette="pale", textured=0.2),
    )
    if rng.uniform() < 0.5:
        add_food(body, rng, paint, shift, d, h)
    if rng.uniform() < 0.7:
        for x in (-0.42, 0.42):
            box(
                body,
                (x * w - 0.02, 0.03, -h / 2 - 0.012),
                (x * w + 0.02, d - 0.03, -h / 2),
                paint(palette="dark", textured=0),
            )
    width = w - panel - 0.004
    origin = np.array([-side * w / 2, 0.0, 0.0])
    door = spec.worldbody.add_body(name=DOOR, pos=origin)
    door.add_joint(name=DOOR, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, -side])
    window = rng.uniform() < 0.75
    style = "glass" if window else str(rng.choice(["flat", "inset"]))
    dh = h * float(rng.uniform(0.94, 1.0))
    add_front(door, 0, side * width, thick, dh, rng, paint, face, style)
    kind = handle_kind(rng, {"bar_vertical": 0.62, "recess": 0.14, "edge": 0.14, "knob": 0.1})
    metal = paint(palette=str(rng.choice(["metal", "dark", "light", "any"])), textured=0.1)
    at = np.array(
        [side * (width - rng.uniform(0.015, 0.06)), -thick, rng.uniform(-0.1, 0.1) * h * (kind != "bar_vertical")]
    )
    handle = add_handle(door, kind, at, rng, metal, dh)
    return Appliance("open_microwave", w, d, h, False, side, origin, np.array([width, thick, dh]), handle, bool(window))


def add_controls(body: Any, rng: Generator, paint: Paint, x: float, w: float, thick: float, h: float) -> None:
    """Display, buttons or knobs on a control panel centred at x."""
    y, half = -thick, w * 0.36
    top = h / 2 - 0.02
    if rng.uniform() < 0.8:
        lit = rng.uniform() < 0.5
        glow = paint(palette="vivid" if lit else "dark", textured=0, glow=0.5 * lit)
        box(body, (x - half, y - 0.002, top - h * 0.16), (x + half, y, top), glow)
    ink = paint(palette="any", textured=0)
    low, high = -h / 2 + 0.03, top - h * 0.22
    if rng.uniform() < 0.65:
        rows, columns = int(rng.integers(2, 5)), int(rng.integers(2, 4))
        for r in range(rows):
            for c in range(columns):
                cx = x + half * ((2 * c + 1) / columns - 1)
                cz = low + (high - low) * (r + 0.5) / rows
                sx, sz = half / columns * 0.7, (high - low) / rows * 0.3
                box(body, (cx - sx, y - 0.003, cz - sz), (cx + sx, y, cz + sz), ink)
    else:
        for cz in np.linspace(low, high, int(rng.integers(1, 4)) + 2)[1:-1]:
            r = min(half * 0.7, 0.028)
            body.add_geom(type=CYLINDER, fromto=[x, y, cz, x, y - 0.02, cz], size=[r, 0, 0], material=ink)


def add_food(body: Any, rng: Generator, paint: Paint, x: float, d: float, h: float) -> None:
    """A bowl or a box on the plate."""
    r = float(rng.uniform(0.04, 0.08))
    tall = min(r * 0.6, h * 0.2)
    size = [r, r, tall]
    kind = ELLIPSOID if rng.uniform() < 0.6 else BOX
    body.add_geom(type=kind, pos=[x, d * 0.5, -h / 2 + 0.042 + tall], size=size, material=paint(textured=0.4))


def cabinet_body(spec: Any, rng: Generator, paint: Paint, w: float, d: float, h: float) -> tuple[Any, str]:
    """A cabinet's box with contents, and the material of its fronts."""
    body = spec.worldbody.add_body(name=BODY)
    face = paint()
    outside = face if rng.uniform() < 0.6 else paint()
    inside = outside if rng.uniform() < 0.3 else paint(palette=str(rng.choice(["light", "wood", "dark", "pale"])))
    wall = float(rng.uniform(0.015, 0.025))
    add_shell(body, w, d, h, wall, outside, inside)
    add_contents(body, rng, paint, w - 2 * wall - 0.01, d - wall, h - 2 * wall - 0.006, int(rng.integers(0, 3)))
    return body, face


def add_hinge_cabinet(spec: Any, rng: Generator, paint: Paint) -> Appliance:
    """A cabinet with one or two hinged doors; handles of two doors sit where they meet; one of them moves."""
    two = rng.uniform() < 0.68
    w = rng.uniform(0.5, 0.95) if two else rng.uniform(0.3, 0.6)
    d, h = rng.uniform(0.22, 0.5), rng.uniform(0.35, 0.85)
    side = 1 if rng.uniform() < 0.5 else -1
    _, face = cabinet_body(spec, rng, paint, w, d, h)
    width = (w / 2 if two else w) - float(rng.uniform(0.001, 0.007))
    thick, dh = float(rng.uniform(0.016, 0.03)), h * float(rng.uniform(0.95, 1.0))
    style = str(rng.choice(["flat", "framed", "inset", "glass"], p=[0.45, 0.27, 0.18, 0.1]))
    kind = handle_kind(rng, {"bar_vertical": 0.55, "bar_horizontal": 0.1, "knob": 0.17, "recess": 0.08, "edge": 0.1})
    metal = paint(palette=str(rng.choice(["metal", "dark", "light", "any"])), textured=0.1)
    inset, level = rng.uniform(0.02, 0.055), float(rng.choice([-0.33, 0.0, 0.33]) + rng.uniform(-0.08, 0.08)) * dh
    state = rng.bit_generator.state
    leaves = [(side, DOOR)] + ([(-side, BODY)] if two else [])
    handle = None
    for s, name in leaves:  # both leaves draw the same numbers: same look
        rng.bit_generator.state = state
        origin = np.array([-s * w / 2, 0.0, 0.0])
        leaf = spec.worldbody.add_body(name=DOOR if name == DOOR else "door_still", pos=origin)
        if name == DOOR:
            leaf.add_joint(name=DOOR, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, -side])
        add_front(leaf, 0, s * width, thick, dh, rng, paint, face, style)
        at = np.array([s * (width - inset), -thick - 0.004 * (style == "framed"), level])
        if kind == "bar_horizontal":
            at[0] = s * (width - max(inset, 0.09))
        room = 2 * min(dh / 2 - abs(level), dh / 2) if kind != "bar_horizontal" else 0.14
        made = add_handle(leaf, kind, at, rng, metal, room)
        handle = made if name == DOOR else handle
    assert handle is not None
    origin = np.array([-side * w / 2, 0.0, 0.0])
    return Appliance(
        "open_hinge_cabinet", w, d, h, False, side, origin, np.array([width, thick, dh]), handle, style == "glass"
    )


def add_slide_cabinet(spec: Any, rng: Generator, paint: Paint) -> Appliance:
    """A cabinet with a panel that slides over or behind its neighbour, or past the body; its handle trails."""
    single = rng.uniform() < 0.3
    w, d, h = rng.uniform(0.45, 0.95), rng.uniform(0.22, 0.5), rng.uniform(0.28, 0.7)
    side = 1 if rng.uniform() < 0.5 else -1  # slides to the right or to the left
    body, face = cabinet_body(spec, rng, paint, w, d, h)
    width = (w if single else w * rng.uniform(0.5, 0.6)) - 0.004
    thick, dh = float(rng.uniform(0.014, 0.028)), h * float(rng.uniform(0.94, 1.0))
    behind = not single and rng.uniform() < 0.25
    style = str(rng.choice(["flat", "framed", "inset", "glass"], p=[0.5, 0.2, 0.18, 0.12]))
    origin = np.array([0.0 if single else -side * (w - width) / 2, 0.0, 0.0])
    if not single:
        y = -(thick + 0.004) if behind else 0.0
        still = spec.worldbody.add_body(name="door_still", pos=[side * (w - width) / 2, y, 0])
        other = face if rng.uniform() < 0.75 else paint()
        add_front(still, -width / 2, width / 2, thick, dh, rng, paint, other, "flat" if not behind else style)
        if not behind:
            origin = origin - (0, thick + 0.012, 0)
    elif rng.uniform() < 0.6:  # the rail a barn door hangs on
        y = -float(rng.uniform(0.01, 0.03))
        box(
            body,
            (-w / 2 * (1.0 + (side < 0)), y, dh / 2 - 0.01),
            (w / 2 * (1.0 + (side > 0)), 0, dh / 2 + 0.02),
            paint(palette="metal"),
        )
    door = spec.worldbody.add_body(name=DOOR, pos=origin)
    door.add_joint(name=DOOR, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[side, 0, 0])
    add_front(door, -width / 2, width / 2, thick, dh, rng, paint, face, style)
    chances = {"bar_vertical": 0.6, "knob": 0.12, "recess": 0.18, "edge": 0.1}
    kind = handle_kind(rng, chances) if not behind else "recess"
    inset = rng.uniform(0.02, 0.06)
    level = float(rng.uniform(-0.2, 0.2)) * dh
    at = np.array([-side * (width / 2 - inset), -thick - 0.004 * (style == "framed"), level])
    metal = paint(palette=str(rng.choice(["metal", "dark", "light", "any"])), textured=0.1)
    handle = add_handle(door, kind, at, rng, metal, dh - 2 * abs(level))
    size = np.array([width, thick, dh])
    return Appliance("open_slide_cabinet", w, d, h, True, side, origin, size, handle, style == "glass")


def add_appliance(spec: Any, task: str, rng: Generator, paint: Paint) -> Appliance:
    """Add the task's appliance to a MjSpec."""
    makers = (add_microwave, add_hinge_cabinet, add_slide_cabinet)
    return makers[SYNTH_TASKS.index(task)](spec, rng, paint)
