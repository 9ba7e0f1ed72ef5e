"""SceneRecording: what a simulator saw, frame by frame, so that exact tracks obey the tracker Protocol.

It holds joint positions and a camera path and names the scene it was made in; it imports no simulator. Cameras use
OpenGL axes (x right, y up, looking along -z); quaternions are xyzw, camera to world; metres and radians.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UNREADABLE, BadClip
from mpr.core.json_files import check_json, parsed

MOST_PIXELS = 10_000  # of a camera's width and height


@dataclass(frozen=True)
class CameraPath:
    """A pinhole camera over T frames. Its image is the source video: `width` x `height` pixels."""

    positions: NDArray[np.float64]  # [T, 3] metres, world
    quaternions: NDArray[np.float64]  # [T, 4] xyzw, camera to world
    fovy: float  # radians, vertical
    width: int
    height: int
    mirrored: bool = False  # the image is flipped left-right after rendering

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return 0.5 * self.height / np.tan(0.5 * self.fovy)

    @property
    def centre(self) -> tuple[float, float]:
        """Principal point in pixels: the image's middle."""
        return (self.width - 1) / 2, (self.height - 1) / 2

    @property
    def still(self) -> bool:
        """Whether the camera stands where it stood first in every frame."""
        moved = (self.positions != self.positions[0]).any() or (self.quaternions != self.quaternions[0]).any()
        return not moved

    def standing(self, length: int) -> CameraPath:
        """The same camera for `length` frames, where it stood first."""
        first = self.positions[:1], self.quaternions[:1]
        return replace(self, positions=first[0].repeat(length, 0), quaternions=first[1].repeat(length, 0))

    def rotation(self, t: int) -> NDArray[np.float64]:
        """Camera-to-world rotation matrix [3, 3] at frame t."""
        from scipy.spatial.transform import Rotation  # half a second, in every command that knows clips

        return Rotation.from_quat(self.quaternions[t]).as_matrix()

    def project(self, points: NDArray, t: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points [N, 3] to source pixels [N, 2] and depth [N] along the optical axis (<= 0: behind)."""
        local = (points - self.positions[t]) @ self.rotation(t)
        depth = -local[:, 2]
        scale = self.focal / np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        x, y = local[:, 0] * scale, -local[:, 1] * scale
        cx, cy = self.centre
        return np.stack([cx + (-x if self.mirrored else x), cy + y], -1), depth

    def rays(self, pixels: NDArray, t: int) -> NDArray[np.float64]:
        """Unit directions [N, 3], world, from the camera through source pixels [N, 2] at frame t."""
        cx, cy = self.centre
        x, y = (pixels[:, 0] - cx) / self.focal, (pixels[:, 1] - cy) / self.focal
        local = np.stack([-x if self.mirrored else x, -y, -np.ones_like(x)], -1)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        return local @ self.rotation(t).T


class _About(TypedDict):
    """What a recording's JSON holds."""

    scene: str
    arguments: dict[str, Any]
    rate_hz: float
    fovy: float
    width: int
    height: int
    mirrored: bool
    object_bodies: list[str]
    part_bodies: list[str]
    extra: dict[str, Any]


@dataclass(frozen=True)
class SceneRecording:
    """Everything needed to see an episode or synthetic clip again. `scene` is a name of `tracking.simulator.scenes`."""

    scene: str
    arguments: Mapping[str, Any]  # keyword arguments of the scene's builder, JSON values only
    qpos: NDArray[np.float64]  # [T, nq]
    times: NDArray[np.float64]  # [T] seconds
    rate_hz: float
    camera: CameraPath
    object_bodies: tuple[str, ...]  # the whole appliance, body names (each with all its geoms, not its children)
    part_bodies: tuple[str, ...]  # only the moving part
    extra: Mapping[str, Any] = field(default_factory=dict)  # ground truth, JSON values only

    def __post_init__(self) -> None:
        t = len(self.times)
        if self.qpos.shape[0] != t or self.camera.positions.shape != (t, 3) or self.camera.quaternions.shape != (t, 4):
            raise BadClip(f"recording of {self.scene}: lengths differ: {t} times, {len(self.qpos)} qpos, camera path")
        camera = self.camera
        if not all(np.isfinite(path).all() for path in (self.qpos, self.times, camera.positions, camera.quaternions)):
            raise BadClip(f"recording of {self.scene}: qpos, times or camera path is not finite")
        if not (np.linalg.norm(camera.quaternions, axis=1) > 0).all() or not 0 < camera.fovy < np.pi:
            raise BadClip(f"recording of {self.scene}: its camera looks nowhere")
        if not (0 < camera.width <= MOST_PIXELS and 0 < camera.height <= MOST_PIXELS and self.rate_hz > 0):
            raise BadClip(f"recording of {self.scene}: {camera.width} x {camera.height} pixels at {self.rate_hz} Hz")

    def __len__(self) -> int:
        return len(self.times)

    def to_bytes(self) -> bytes:
        """One .npz; the same recording gives the same bytes."""
        c = self.camera
        about = {
            "scene": self.scene,
            "arguments": dict(self.arguments),
            "rate_hz": self.rate_hz,
            "fovy": c.fovy,
            "width": c.width,
            "height": c.height,
            "mirrored": c.mirrored,
            "object_bodies": list(self.object_bodies),
            "part_bodies": list(self.part_bodies),
            "extra": dict(self.extra),
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            about=np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8),
            qpos=self.qpos,
            times=self.times,
            positions=c.positions,
            quaternions=c.quaternions,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SceneRecording:
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as z:
                about = parsed(z["about"].tobytes())
                check_json(about, _About)
                camera = CameraPath(
                    z["positions"], z["quaternions"], about["fovy"], about["width"], about["height"], about["mirrored"]
                )
                return cls(
                    scene=about["scene"],
                    arguments=about["arguments"],
                    qpos=z["qpos"],
                    times=z["times"],
                    rate_hz=about["rate_hz"],
                    camera=camera,
                    object_bodies=tuple(about["object_bodies"]),
                    part_bodies=tuple(about["part_bodies"]),
                    extra=about["extra"],
                )
        except UNREADABLE as error:
            raise BadClip(f"not a whole scene recording ({type(error).__name__}: {error})") from error
