"""Colours, textures and lights of synthetic scenes, drawn from a seeded generator. Nothing here has a shape.

Textures are small images made with numpy, so a scene compiles fast and needs no files.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tracking.simulator.gl import mujoco

TEXTURE = 64  # pixels a side
SKIN = np.array([(0.98, 0.84, 0.74), (0.91, 0.71, 0.58), (0.78, 0.56, 0.42), (0.58, 0.39, 0.27), (0.36, 0.24, 0.17)])


def colour(rng: Generator, palette: str = "any") -> NDArray[np.float64]:
    """An RGB colour [3] in 0..1. Palettes: light, dark, metal, wood, vivid, pale, any, skin."""
    if palette == "any":
        palette = str(
            rng.choice(["light", "dark", "metal", "wood", "vivid", "pale"], p=[0.22, 0.16, 0.12, 0.14, 0.22, 0.14])
        )
    if palette == "skin":
        at = rng.uniform(0, len(SKIN) - 1)
        low = min(int(at), len(SKIN) - 2)
        return np.clip(SKIN[low] + (at - low) * (SKIN[low + 1] - SKIN[low]) + rng.normal(0, 0.015, 3), 0, 1)
    ranges = {  # hue, saturation, value
        "light": ((0.05, 0.2), (0.0, 0.12), (0.78, 0.98)),
        "dark": ((0.0, 1.0), (0.0, 0.35), (0.08, 0.3)),
        "metal": ((0.5, 0.65), (0.0, 0.08), (0.45, 0.8)),
        "wood": ((0.05, 0.11), (0.3, 0.65), (0.3, 0.8)),
        "vivid": ((0.0, 1.0), (0.35, 0.9), (0.3, 0.9)),
        "pale": ((0.0, 1.0), (0.1, 0.35), (0.55, 0.95)),
    }
    hsv = [float(rng.uniform(*r)) for r in ranges[palette]]
    return np.array(colorsys.hsv_to_rgb(*hsv))


def texture_image(rng: Generator, base: NDArray, kind: str) -> NDArray[np.uint8]:
    """A texture [64, 64, 3] around a base colour: noise, wood, brushed, tiles, speckle or shade."""
    y, x = np.mgrid[0:TEXTURE, 0:TEXTURE] / TEXTURE
    if kind == "wood":
        bend = rng.uniform(0.02, 0.1) * np.sin(2 * np.pi * (rng.uniform(0.3, 1.5) * y + rng.uniform()))
        value = 0.12 * np.sin(2 * np.pi * rng.integers(4, 12) * (x + bend)) + rng.normal(0, 0.03, x.shape)
    elif kind == "brushed":
        value = np.repeat(rng.normal(0, 0.05, (TEXTURE, 1)), TEXTURE, 1)
    elif kind == "tiles":
        n = int(rng.integers(2, 7))
        cell = rng.normal(0, 0.06, (n, n))[(y * n).astype(int), (x * n).astype(int)]
        value = np.where(((x * n) % 1 < 0.08) | ((y * n) % 1 < 0.08), rng.uniform(-0.3, 0.2), cell)
    elif kind == "speckle":
        value = rng.choice([-0.25, 0.0, 0.0, 0.2], x.shape) * rng.uniform(0.3, 1)
    elif kind == "shade":
        direction = rng.uniform(0, 2 * np.pi)
        value = rng.uniform(0.08, 0.25) * ((x - 0.5) * np.cos(direction) + (y - 0.5) * np.sin(direction))
    else:
        coarse = rng.normal(0, 0.07, (8, 8))
        value = np.kron(coarse, np.ones((TEXTURE // 8, TEXTURE // 8))) + rng.normal(0, 0.03, x.shape)
    return (np.clip(base + value[..., None], 0, 1) * 255).astype(np.uint8)


class Paint:
    """Makes materials in a MjSpec; every call returns a new material's name. `prefix` keeps two apart in one spec."""

    KINDS = ("noise", "wood", "brushed", "tiles", "speckle", "shade")

    def __init__(self, spec: Any, rng: Generator, prefix: str) -> None:
        self.spec, self.rng, self.prefix, self._count = spec, rng, prefix, 0

    def __call__(
        self,
        base: NDArray | None = None,
        palette: str = "any",
        textured: float = 0.45,
        flat: bool = False,
        glow: float = 0,
    ) -> str:
        """A material of a base colour (or a palette's), textured with this probability; `flat`: for a plane."""
        rng = self.rng
        name = f"{self.prefix}{self._count}"
        self._count += 1
        material = self.spec.add_material(name=name)
        base = colour(rng, palette) if base is None else base
        material.rgba = [1, 1, 1, 1]
        material.specular, material.shininess = float(rng.uniform(0, 0.6)), float(rng.uniform(0.1, 0.9))
        material.emission = glow
        if rng.uniform() >= textured:
            material.rgba = [*base, 1]
            return name
        image = texture_image(rng, base, str(rng.choice(self.KINDS)))
        texture = self.spec.add_texture(name=name, nchannel=3, width=TEXTURE, height=TEXTURE)
        texture.type = mujoco.mjtTexture.mjTEXTURE_2D if flat else mujoco.mjtTexture.mjTEXTURE_CUBE
        if not flat:  # one image on all six faces
            texture.height = 6 * TEXTURE
            image = np.concatenate([image] * 6)
        else:
            material.texrepeat, material.texuniform = [float(v) for v in rng.uniform(0.5, 3, 2)], True
        texture.data = image.tobytes()
        material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name
        return name


def add_lights(spec: Any, rng: Generator) -> None:
    """A head light and one to three lamps; no scene is so dark that a door cannot be told from its body."""
    spec.visual.headlight.ambient = [float(rng.uniform(0.22, 0.42))] * 3
    spec.visual.headlight.diffuse = [float(rng.uniform(0.1, 0.35))] * 3
    spec.visual.headlight.specular = [float(rng.uniform(0, 0.2))] * 3
    for _ in range(rng.integers(1, 4)):
        position = rng.uniform((-2, -2.5, 0.5), (2, -0.3, 2.5))
        light = spec.worldbody.add_light(pos=position, dir=-position / np.linalg.norm(position), castshadow=False)
        light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
        tint = 1 + rng.normal(0, 0.06, 3)
        light.diffuse = np.clip(rng.uniform(0.15, 0.5) * tint, 0, 1)
        light.specular = [float(rng.uniform(0, 0.3))] * 3
