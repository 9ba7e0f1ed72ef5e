"""Frames and masks of a recorded scene, rendered on demand straight into its crop (OpenGL).

The crop is cut by the camera's frustum, not out of a larger image, so every frame has its full 256 x 256 pixels.
One quality for data and evaluation: no multisampling, shadows or reflections (15-20 times faster in software).
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
from functools import cache
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE, Square
from mpr.core.errors import NoGL, UserError
from tracking.simulator.gl import INSTRUCTION, mujoco
from tracking.simulator.mujoco_scene import HIDDEN_GROUP, RecordedScene

# Each thing in its number as a colour, red the low byte: fewer than 2^16 are drawn.
_COLOUR_IS_NUMBER = [int(mujoco.mjtRndFlag.mjRND_SEGMENT), int(mujoco.mjtRndFlag.mjRND_IDCOLOR)]


class SceneRenderer:
    """Renders a recording's frames and object masks. A context manager; one that is not closed closes itself."""

    def __init__(self, scene: RecordedScene, crop: Square, size: int = CROP_SIZE) -> None:
        self.scene, self.crop, self.size = scene, crop, size
        model = scene.model
        if model.ncam == 0:
            raise UserError(f"scene '{scene.recording.scene}' has no camera to look through: add one to its model")
        if os.environ.get("MUJOCO_GL") == "disable":
            raise NoGL(INSTRUCTION)
        _triton_before_gl()
        # A shadow map that nothing reads and pixels beyond the image's would take 127 of a kitchen renderer's 430 MB.
        model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        try:
            self._renderer: Any = mujoco.Renderer(model, size, size)
        except Exception as error:  # each back end has its own exception types
            raise NoGL(f"{INSTRUCTION} ({os.environ.get('MUJOCO_GL')}: {error})") from error
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._drawn, self._there = mujoco.MjvOption(), mujoco.MjvOption()
        self._there.sitegroup[:] = 0  # a site is a mark, no thing: it hides nothing from a mask, as from a ray
        mujoco.mj_forward(model, scene.data)  # fills what rendering reads besides kinematics (lights, tendons)
        scene._at = -1
        _open.add(self)
        _close_at_exit()

    def __enter__(self) -> SceneRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._renderer.close()

    def _update(self, t: int, what: Any) -> None:
        """Pose the scene and look through camera 0 moved to the recorded pose, its frustum cut to the crop.

        `what` to show is an mjvOption.
        """
        scene, camera = self.scene, self.scene.recording.camera
        scene.pose(t)
        mujoco.mj_camlight(scene.model, scene.data)
        scene.data.cam_xpos[0] = camera.positions[t]
        scene.data.cam_xmat[0] = camera.rotation(t).ravel()
        scene.model.cam_fovy[0] = np.rad2deg(camera.fovy)
        groups = scene.model.geom_group.copy()
        scene.model.geom_group[self._outside()] = HIDDEN_GROUP
        self._renderer.update_scene(scene.data, camera=0, scene_option=what)
        scene.model.geom_group[:] = groups
        cx, cy = camera.centre
        for eye in self._renderer.scene.camera:
            metres = eye.frustum_near / camera.focal  # of one pixel on the near plane
            eye.frustum_center = (self._left + self.crop.size / 2 - cx) * metres
            eye.frustum_top = (cy - self.crop.top) * metres
            eye.frustum_bottom = (cy - self.crop.top - self.crop.size) * metres

    @property
    def _left(self) -> float:
        """The crop's left edge in what is rendered, which a mirrored camera's image is turned from."""
        camera, crop = self.scene.recording.camera, self.crop
        return crop.left if not camera.mirrored else camera.width - 1 - (crop.left + crop.size)

    def _outside(self) -> NDArray[np.bool_]:
        """Geoms [ngeom] wholly beside the crop or behind the camera: drawing them takes time and shows nothing."""
        model, data, camera = self.scene.model, self.scene.data, self.scene.recording.camera
        seen = (data.geom_xpos - data.cam_xpos[0]) @ data.cam_xmat[0].reshape(3, 3)
        corner = np.array([self._left, self.crop.top]) - camera.centre  # pixels
        beyond = [seen[:, 2]]  # metres from the geom's middle to where it would be seen, [ngeom] for each side
        for axis, sign in ((0, 1), (1, -1)):  # y goes up in the scene
            for side, edge in ((1, corner[axis]), (-1, corner[axis] + self.crop.size)):
                slope = edge / camera.focal
                beyond.append(side * (slope * -seen[:, 2] - sign * seen[:, axis]) / np.hypot(1, slope))
        return (np.max(beyond, 0) > model.geom_rbound) & (model.geom_rbound > 0)  # 0: a plane, which has no end

    def frame(self, t: int) -> NDArray[np.uint8]:
        """Frame t, uint8 RGB [size, size, 3]."""
        self._update(t, self._drawn)
        image = self._renderer.render()
        return image[:, ::-1].copy() if self.scene.recording.camera.mirrored else image

    def mask(self, t: int, part: bool = False) -> NDArray[np.bool_]:
        """The object's visible pixels at frame t, bool [size, size]."""
        self._update(t, self._there)
        scene, geoms = self._renderer.scene, self.scene.part_geoms if part else self.scene.object_geoms
        scene.flags[_COLOUR_IS_NUMBER] = 1
        colour = self._renderer.render()
        scene.flags[_COLOUR_IS_NUMBER] = 0
        drawn = [geom for geom in scene.geoms[: scene.ngeom] if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM]
        wanted = np.zeros(1 << 16, bool)  # by number: 0 is where nothing is
        wanted[[geom.segid + 1 for geom in drawn if geoms[geom.objid]]] = True
        mask = wanted[colour[..., 0] + (colour[..., 1].astype(np.uint16) << 8)]
        return mask[:, ::-1].copy() if self.scene.recording.camera.mirrored else mask


_open: WeakSet[SceneRenderer] = WeakSet()


@cache
def _close_at_exit() -> None:
    """To be called with a renderer open: what is registered after the back end's own end runs before it."""
    atexit.register(lambda: [renderer.close() for renderer in list(_open)])


def _triton_before_gl() -> None:
    """Load triton, where there is one, before the first OpenGL context.

    Software GL and triton (which torch's optimizers import) each bring an LLVM; triton's, loaded second, ends the
    process with a segmentation fault. In this order they live together.
    """
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton")


class RenderedFrames:
    """FrameSource of a recording: renders what is asked for, remembers nothing."""

    def __init__(self, renderer: SceneRenderer) -> None:
        self.renderer = renderer

    def __len__(self) -> int:
        return len(self.renderer.scene.recording)

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        return self.renderer.frame(range(len(self))[t])


class RenderedMasks:
    """MaskSource of a recording by segmentation rendering."""

    def __init__(self, renderer: SceneRenderer, part: bool = False) -> None:
        self.renderer, self.part = renderer, part

    def __len__(self) -> int:
        return len(self.renderer.scene.recording)

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        return self.renderer.mask(range(len(self))[t], self.part)


class RayMasks:
    """MaskSource of a recording by rays: the same masks where there is no OpenGL, some ten times slower."""

    def __init__(self, scene: RecordedScene, crop: Square, size: int = CROP_SIZE, part: bool = False) -> None:
        self.scene, self.part, self.size = scene, part, size
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2).astype(float)
        self.pixels = crop.to_source(grid, size)

    def __len__(self) -> int:
        return len(self.scene.recording)

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        return self.scene.object_pixels(self.pixels, range(len(self))[t], self.part).reshape(self.size, self.size)
