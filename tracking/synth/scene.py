"""Assembles one synthetic scene: appliance, surroundings, hand, lights and a camera. Deterministic in its seed.

`build_appliance` is the builder that recordings of scene "synth" name.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.random import Generator

from mpr.core.errors import UserError
from tracking.simulator.gl import mujoco
from tracking.synth.appliance import BODY, BOX, CYLINDER, DOOR, ELLIPSOID, Appliance, add_appliance, box
from tracking.synth.hand import SynthHand, add_hand
from tracking.synth.looks import Paint, add_lights
from tracking.synth.names import SYNTH_TASKS


def stream(task: str, seed: int, purpose: str) -> Generator:
    """An independent random stream for one purpose of one scene."""
    return np.random.default_rng([zlib.crc32(f"{task}/{purpose}".encode()), seed])


def make(task: str, seed: int) -> tuple[Any, Appliance, SynthHand]:
    """The scene's MjSpec (not compiled) and what motion needs to know of it. Raises UserError for an unknown task."""
    if task not in SYNTH_TASKS:
        raise UserError(f"synthetic scene of task '{task}': there is {', '.join(SYNTH_TASKS)}")
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 256
    spec.visual.quality.shadowsize = 0  # no shadows are drawn: their map only makes a context slow to open
    spec.visual.quality.numslices, spec.visual.quality.numstacks, spec.visual.quality.numquads = 16, 10, 1
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 12.0
    spec.stat.extent, spec.stat.center = 1.0, [0, 0, 0]
    rng = stream(task, seed, "appliance")
    appliance = add_appliance(spec, task, rng, Paint(spec, rng, "appliance"))
    paint_rng = stream(task, seed, "surroundings")
    add_surroundings(spec, appliance, paint_rng, Paint(spec, paint_rng, "around"))
    hand_rng = stream(task, seed, "hand")
    hand = add_hand(spec, hand_rng, Paint(spec, hand_rng, "hand"))
    add_lights(spec, stream(task, seed, "light"))
    spec.worldbody.add_camera(name="head", pos=[0, -1.5, 0.3])
    return spec, appliance, hand


def build_appliance(task: str, seed: int) -> Any:
    """The compiled mujoco.MjModel of a task's scene."""
    return make(task, seed)[0].compile()


def object_bodies(model: Any) -> tuple[str, ...]:
    """Names of the bodies of the whole appliance."""
    names = [model.body(i).name for i in range(model.nbody)]
    return tuple(n for n in (BODY, DOOR, "door_still") if n in names)


def add_surroundings(spec: Any, a: Appliance, rng: Generator, paint: Paint) -> None:
    """Room, what the appliance stands on or hangs from, neighbours and clutter. All in the world body."""
    world = spec.worldbody
    back = a.depth + float(rng.choice([0.005, rng.uniform(0.05, 0.6)]))
    counter = rng.uniform() < (0.85 if a.task == "open_microwave" else 0.4)
    top = -a.height / 2 - (0.012 if a.task == "open_microwave" else float(rng.choice([0.002, 0.35])))
    floor = (top - 0.15 if counter else -a.height / 2 - 0.01) - float(rng.uniform(0.0, 1.3))
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    wall = paint(flat=True, textured=0.6)
    flat = {"type": plane, "size": [4.0, 4.0, 0.1]}
    world.add_geom(pos=[0, back, 0], quat=[0.7071068, 0.7071068, 0, 0], material=wall, **flat)
    world.add_geom(pos=[0, 0, floor], material=paint(flat=True, textured=0.7), **flat)
    world.add_geom(pos=[0, 0, 2.4], quat=[0, 1, 0, 0], material=paint(flat=True, palette="light", textured=0.2), **flat)
    for s in (-1, 1):
        x, side = s * (a.width / 2 + float(rng.uniform(0.9, 2.5))), wall if rng.uniform() < 0.5 else paint(flat=True)
        world.add_geom(pos=[x, 0, 0], quat=[0.7071068, 0, -s * 0.7071068, 0], material=side, **flat)
    front = -float(rng.uniform(-0.05, 0.3)) if a.task == "open_microwave" else float(rng.uniform(-0.02, 0.1))
    if counter:
        box(world, (-2.5, front, top - 0.04), (2.5, back, top), paint())
        box(world, (-2.4, front + 0.04, floor), (2.4, back, top - 0.04), paint())
    if rng.uniform() < 0.35:  # something above: a shelf, a wall cabinet or a hood
        low = a.height / 2 + float(rng.choice([0.004, rng.uniform(0.03, 0.5)]))
        reach = float(rng.uniform(0.0, 0.15))
        wide = a.width / 2 * float(rng.uniform(1, 3))
        box(world, (-wide, reach, low), (wide, back, low + float(rng.uniform(0.02, 0.6))), paint())
    for s in (-1, 1):
        if rng.uniform() < (0.3 if a.task == "open_microwave" else 0.5):
            add_neighbour(world, a, s, rng, paint)
    if counter:
        for _ in range(int(rng.integers(0, 5))):
            x = float(rng.choice([-1, 1])) * (a.width / 2 + a.door_size[0] * 0.1 + float(rng.uniform(0.06, 0.6)))
            add_clutter(world, x, float(rng.uniform(0.08, max(back - 0.08, 0.1))), top, rng, paint)
        if rng.uniform() < 0.4 and a.height < 0.5:
            add_clutter(world, float(rng.uniform(-0.4, 0.4)) * a.width, a.depth * 0.5, a.height / 2, rng, paint)


def add_neighbour(world: Any, a: Appliance, s: int, rng: Generator, paint: Paint) -> None:
    """A cabinet or another box beside the appliance, now and then with a front of its own."""
    gap = 0.004 if rng.uniform() < 0.6 else float(rng.uniform(0.02, 0.2))
    x0 = s * (a.width / 2 + gap)
    x1 = x0 + s * float(rng.uniform(0.2, 0.7))
    up, down = (a.height / 2 + float(rng.uniform(-0.08, 0.2)) for _ in range(2))
    y = 0.002 + float(rng.choice([0.0, rng.uniform(0, 0.12)]))
    if a.slides and s == a.side:
        y = max(y, 0.03)  # a panel may slide past here
    box(world, (x0, y, -down), (x1, y + 0.3, up), paint())
    if rng.uniform() < 0.6:
        box(world, (x0 + s * 0.01, y - 0.004, -down + 0.01), (x1 - s * 0.01, y, up - 0.01), paint())


def add_clutter(world: Any, x: float, y: float, z: float, rng: Generator, paint: Paint) -> None:
    """A jar, mug, box or bowl standing at x, y on height z."""
    r, tall = float(rng.uniform(0.025, 0.07)), float(rng.uniform(0.03, 0.15))
    kind = (BOX, CYLINDER, ELLIPSOID)[int(rng.integers(3))]
    size = [r, tall, 0] if kind == CYLINDER else [r, r * 0.8, tall]
    angle = float(rng.uniform(0, np.pi))
    quat = [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
    world.add_geom(type=kind, pos=[x, y, z + tall], size=size, quat=quat, material=paint())
