"""Surface points and their visibility by rays in a recorded MuJoCo scene. Needs no OpenGL.

A pixel's ray hits a geom; the hit, in the geom's own frame, is a surface point that can be found again in any other
frame of the recording. It is visible where the camera's ray towards it hits nothing nearer.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE, FrameSource, FrameWindow, PointsSeen, Square, Tracks
from mpr.core.data.crop import square_around
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UNREADABLE, BadClip, UserError, in_brief
from tracking.simulator.gl import mujoco
from tracking.simulator.scenes import SCENES

VISIBLE_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)  # the geom groups that are drawn; the others only collide
HIDDEN_GROUP = 5  # one that is not drawn
UNSET_RGBA = (0.5, 0.5, 0.5, 1.0)  # MuJoCo's colour of a geom that was given none: its material's is drawn
OPENED_SHARE = "opened_share"  # of a recording's extra: how far its object may open, over what the keyframe says
MOST_OPENED = 100.0  # of that: more is no opening but a damaged file
SURFACE_TOLERANCE = 0.003  # metres: a hit this close to the point is the point


@lru_cache(maxsize=4)
def _build(scene: str, arguments: str) -> Any:
    return SCENES.load(scene)(**json.loads(arguments))


def build_model(recording: SceneRecording) -> Any:
    """The recording's mujoco.MjModel, from the builder registered under its scene name (cached).

    Raises BadClip where the recording does not fit what that builds.
    """
    try:
        model = _build(recording.scene, json.dumps(dict(recording.arguments), sort_keys=True))
    except UNREADABLE as error:
        raise BadClip(f"recording of scene '{recording.scene}': it cannot be built ({in_brief(error)})") from error
    if recording.qpos.shape[1:] != (model.nq,):
        raise BadClip(f"recording of scene '{recording.scene}': {recording.qpos.shape[1:]} joints, it has {model.nq}")
    return model


def to_look_at(model: Any) -> Any:
    """A copy of a model in which every ray ends on the geom that is drawn there. Not for physics: nothing collides.

    `mj_multiRay` passes over bodies and geoms whose bounding volumes a ray seems to miss. Those volumes hold only
    what collides, and their outlines seen from the camera are taken from their corners, so it misses what `mj_ray`
    hits (MuJoCo 3.10 to 4.0). A body without such volumes is passed over by no ray; collisions, which would read
    them, are switched off. And both kinds of rays hit what only its own colour makes clear, and miss what only its
    material would make so; the colour is what is drawn.
    """
    model = copy.copy(model)
    model.body_bvhadr[:] = -1
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    alpha, material = model.geom_rgba[:, 3].copy(), model.geom_matid
    plain = (material >= 0) & (model.geom_rgba == UNSET_RGBA).all(1)
    alpha[plain] = model.mat_rgba[material[plain], 3]
    model.geom_group[alpha == 0] = HIDDEN_GROUP
    drawn = np.unique(material[(material >= 0) & (alpha > 0)])
    model.mat_rgba[drawn[model.mat_rgba[drawn, 3] == 0], 3] = 1.0
    return model


class RecordedScene:
    """A recording posed in its model (built by name unless given): ray casts and re-projections in source pixels.

    `model` is a copy of its own, only to be looked at: see `to_look_at`.
    """

    def __init__(self, recording: SceneRecording, model: Any = None) -> None:
        self.recording = recording
        self.model = to_look_at(build_model(recording) if model is None else model)
        self.data = mujoco.MjData(self.model)
        self._at = -1
        body_of_geom = self.model.geom_bodyid
        self.object_geoms = np.isin(body_of_geom, self._bodies(recording.object_bodies))  # [ngeom]
        self.part_geoms = np.isin(body_of_geom, self._bodies(recording.part_bodies))

    def _bodies(self, names: tuple[str, ...]) -> list[int]:
        ids = [mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, n) for n in names]
        if -1 in ids:
            raise UserError(f"scene '{self.recording.scene}' has no body '{names[ids.index(-1)]}'")
        return ids

    def pose(self, t: int) -> None:
        """Put the model in frame t."""
        if t != self._at:
            self.data.qpos[:] = self.recording.qpos[t]
            mujoco.mj_kinematics(self.model, self.data)
            self._at = t

    def cast(self, pixels: NDArray, t: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """First geom hit (-1: none) [N] and its distance in metres [N] behind source pixels [N, 2] at frame t.

        As `mj_ray`'s: a plane is hit only from its front, and from within a geom the way out is.
        """
        self.pose(t)
        n = len(pixels)
        geom, distance = np.full(n, -1, np.int32), np.full(n, -1.0)
        if n:
            directions = np.ascontiguousarray(self.recording.camera.rays(pixels, t)).ravel()
            origin = np.ascontiguousarray(self.recording.camera.positions[t])
            limit = mujoco.mjMAXVAL
            mujoco.mj_multiRay(
                self.model, self.data, origin, directions, VISIBLE_GROUPS, 1, -1, geom, distance, None, n, limit
            )
        return geom, distance

    def object_pixels(self, pixels: NDArray, t: int, part: bool = False) -> NDArray[np.bool_]:
        """Whether each source pixel [N, 2] shows the object (or its moving part)."""
        geom, _ = self.cast(pixels, t)
        return (geom >= 0) & (self.part_geoms if part else self.object_geoms)[geom]

    def anchor(self, pixels: NDArray, t: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Surface points behind source pixels at frame t: geom [N] (-1: none) and position in its frame [N, 3]."""
        geom, distance = self.cast(pixels, t)
        world = self.recording.camera.positions[t] + self.recording.camera.rays(pixels, t) * distance[:, None]
        local = np.einsum("nji,nj->ni", self.data.geom_xmat[geom].reshape(-1, 3, 3), world - self.data.geom_xpos[geom])
        return geom, local

    def follow(self, geom: NDArray, local: NDArray, t: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where anchored points are at frame t: source pixels [N, 2] and whether the camera sees them [N]."""
        self.pose(t)
        world = np.einsum("nij,nj->ni", self.data.geom_xmat[geom].reshape(-1, 3, 3), local) + self.data.geom_xpos[geom]
        camera = self.recording.camera
        pixels, depth = camera.project(world, t)
        inside = (depth > 0) & (pixels > -0.5).all(1) & (pixels < (camera.width - 0.5, camera.height - 0.5)).all(1)
        visible = inside & (geom >= 0)
        _, distance = self.cast(pixels[visible], t)
        expected = np.linalg.norm(world[visible] - camera.positions[t], axis=1)
        visible[visible] = np.abs(distance - expected) < SURFACE_TOLERANCE
        return pixels, visible

    def crop(self, samples: int = 12, stride: int = 8) -> Square:
        """The fixed square: around the object's pixels, looked at in some frames, plus margin.

        Where the model says how far the object opens (`opening`), and the camera stands still, the frames are not this
        recording's: the object is looked at from shut to open, as if nothing stood before it. So all episodes of a task
        and view have one square, fixed before the first step, and 0.5 pixels are as much motion in each.
        """
        shown = self.opening(samples)
        shown = self if shown is None else shown
        camera = self.recording.camera
        grid = np.stack(np.meshgrid(np.arange(0, camera.width, stride), np.arange(0, camera.height, stride)), -1)
        grid = grid.reshape(-1, 2).astype(float)
        seen = np.zeros(len(grid), bool)
        for t in np.unique(np.linspace(0, len(shown.recording) - 1, samples).round().astype(int)):
            seen |= shown.object_pixels(grid, int(t))
        if not seen.any():
            raise UserError(f"recording of scene '{self.recording.scene}': the camera never sees the object")
        low, high = grid[seen].min(0), grid[seen].max(0)
        return square_around(low, high, (camera.width, camera.height))

    def opening(self, length: int) -> RecordedScene | None:
        """Only the object, opening over `length` frames before this recording's camera; None where that moves, or
        where nobody said how far the object opens.

        A model says so with a keyframe that is named after the body that opens: there it is open, and shut in qpos0.
        A recording whose `extra` holds OPENED_SHARE goes so much further.
        """
        camera, parts = self.recording.camera, self.recording.part_bodies
        keys = [k for k in range(self.model.nkey) if self.model.key(k).name in parts]
        if not keys or not camera.still:
            return None
        share = np.linspace(0, self._opened_share(), length)[:, None]
        qpos = (1 - share) * self.model.qpos0 + share * self.model.key_qpos[keys[0]]
        opening = replace(self.recording, qpos=qpos, times=np.arange(length), camera=camera.standing(length))
        alone = RecordedScene(opening, self.model)
        alone.model.geom_group[~alone.object_geoms] = HIDDEN_GROUP
        return alone

    def _opened_share(self) -> float:
        share = self.recording.extra.get(OPENED_SHARE, 1.0)
        if not (isinstance(share, int | float) and 0 < share < MOST_OPENED):
            raise BadClip(f"recording of scene '{self.recording.scene}': {OPENED_SHARE} is {str(share)[:40]}")
        return float(share)


class ExactTracker:
    """Exact tracks by rays, through the PointTracker Protocol. Privileged: it knows the scene, not the pixels.

    `frames` must show the recording from its first frame, or be a FrameWindow onto that; its pixels are never read.
    Queries and tracks are in crop pixels. Masks are drawn, points are cast: within a pixel of a silhouette a point that
    a mask calls the object's may be one of what passes before it, and moves with that (1 to 3 points of 10,000).
    """

    name = "exact, privileged"

    def __init__(self, scene: RecordedScene, crop: Square) -> None:
        self.scene, self.crop = scene, crop

    def track(self, frames: FrameSource, queries: NDArray[np.float32]) -> Tracks:
        """Follow queries [N, 3] = (t, x, y), in pixels of the crop, exactly: points [T, N, 2], visible [T, N].

        A query whose ray hits nothing is visible in no frame.
        """
        return Tracks.of(self.frame_by_frame(frames, queries))

    def frame_by_frame(self, frames: FrameSource, queries: NDArray[np.float32]) -> Iterator[PointsSeen]:
        """What `track` returns, frame after frame: points [N, 2], visible [N]."""
        start = frames.start if isinstance(frames, FrameWindow) else 0
        n = len(queries)
        geom, local = np.full(n, -1, np.int32), np.zeros((n, 3))
        source = self.crop.to_source(queries[:, 1:].astype(float))
        asked = queries[:, 0].astype(int)
        for t in np.unique(asked):
            here = asked == t
            geom[here], local[here] = self.scene.anchor(source[here], start + int(t))
        for t in range(len(frames)):
            pixels, visible = self.scene.follow(geom, local, start + t)
            points = self.crop.to_crop(pixels).astype(np.float32)
            visible &= (points > -0.5).all(-1) & (points < CROP_SIZE - 0.5).all(-1)
            points[geom < 0] = 0.0  # a ray into the void has no surface point
            points[asked == t] = queries[asked == t, 1:]
            yield points, visible
