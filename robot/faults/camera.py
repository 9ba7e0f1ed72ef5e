"""What can go wrong with a camera, between it and whoever looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robot.faults.through import Through
from robot.faults.trigger import Trigger
from robot.hardware.camera import Camera, CameraError, CameraImage

UNMOVED = "same image, new times"
CAMERA_FAULTS = (
    "freeze",  # the same image, its time standing still
    UNMOVED,
    "drop",  # a few images lost
    "black",
    "grey",  # [H, W]
    "another size",
    "duplicate stamp",
    "time backwards",
    "time ahead",
    "unplugged",
)


class FaultyCamera(Through):
    """A Camera with one fault, on while its trigger is."""

    def __init__(self, camera: Camera, kind: str, trigger: Trigger) -> None:
        super().__init__(camera)
        self.camera, self.kind, self.trigger = camera, kind, trigger
        self._held: CameraImage | None = None

    def latest(self) -> CameraImage:
        now = self.camera.latest()
        if not self.trigger.on:
            self._held = now
            return now
        held = self._held or now
        if self.kind == "unplugged":
            raise CameraError(f"camera {self.features.name} is gone: is its cable in?")
        if self.kind in ("freeze", "drop"):
            return held
        if self.kind == UNMOVED:
            return replace(now, image=held.image)
        if self.kind == "black":
            return replace(now, image=np.zeros_like(now.image))
        if self.kind == "grey":
            return replace(now, image=now.image[..., 0])
        if self.kind == "another size":
            return replace(now, image=now.image[::2, ::2])
        if self.kind == "duplicate stamp":
            return replace(now, time=held.time)
        return replace(now, time=now.time + (-1.0 if self.kind == "time backwards" else 1.0))
