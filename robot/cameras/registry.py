"""Cameras beside a real arm: what --world and --wrist say. Imports no driver.

115222071234     a RealSense's serial number
film.mp4         a video file
KIND:WHAT        a camera of that kind: a function of WHAT, and `name` and `clock` by name
"""

from __future__ import annotations

from pathlib import Path

from mpr.core.registry import Registry
from robot.hardware.camera import Camera
from robot.hardware.clock import Clock

_CAMERAS = Registry(
    "kind of camera",
    "mpr.cameras",
    {"realsense": "robot.cameras.realsense:RealSenseCamera", "video": "robot.cameras.video:VideoCamera"},
)


def camera_kind(said: str) -> tuple[str, str]:
    """Kind and WHAT of what was said. Raises UserError for a kind that does not exist."""
    kind, colon, what = said.partition(":")
    if colon and kind in _CAMERAS.names():
        return kind, what
    if Path(said).suffix:
        return "video", said
    if colon:
        _CAMERAS.check(kind)
    return "realsense", said


def make_camera(said: str, name: str, clock: Clock) -> Camera:
    """The camera, not yet connected; `name` is what the session calls it."""
    kind, what = camera_kind(said)
    return _CAMERAS.load(kind)(what, name=name, clock=clock)
