"""The colour images of an Intel RealSense (D435) through pyrealsense2, with the time at which they were taken.

What a time stamp means depends on its domain:

global time  the camera's own clock, mapped to this machine's wall clock by the library: when it was exposed
system time  this machine's wall clock when the frame came in over USB
hardware     the camera's own clock, which cannot be compared: the frame counts as taken a period before it came in

A stamp of the wall clock is turned into an age as soon as the frame is here, and that into the session clock's time, so
that a wall clock which is set meanwhile does no harm. Nothing here has met a camera yet.
"""

from __future__ import annotations

import importlib
import time
from contextlib import suppress
from typing import Any

import numpy as np

from robot.cameras.grabber import Grabber
from robot.hardware.camera import CameraError, CameraFeatures, CameraImage
from robot.hardware.clock import Clock, WallClock
from robot.hardware.within import within

WAIT_MS = 500  # for a frame
_STARTING = 20.0  # seconds: the library itself gives up after 15


class RealSenseCamera(Grabber):
    """A `Camera`: 640 x 480 RGB at 30 Hz, unless told otherwise. `serial` as printed on the camera."""

    def __init__(
        self,
        serial: str,
        name: str = "",
        height: int = 480,
        width: int = 640,
        rate_hz: int = 30,
        clock: Clock | None = None,
    ) -> None:
        self.serial, self.clock = serial, clock or WallClock()
        self._features = CameraFeatures(name or f"realsense {serial}", height, width, rate_hz)
        self._rs: Any = None
        self._pipeline: Any = None  # while it runs
        self._number = -1

    @property
    def features(self) -> CameraFeatures:
        return self._features

    def _open(self) -> None:
        rs = self._rs = importlib.import_module("pyrealsense2")
        self._context = rs.context()
        there = self._serials()
        if self.serial not in there:  # started all the same, the library would wait 15 s for it
            raise CameraError(f"no RealSense {self.serial} here; there is {', '.join(there) or 'none'}")
        about = self._features
        config, pipeline, self._frames = rs.config(), rs.pipeline(self._context), rs.frame_queue(1)
        config.enable_device(self.serial)
        config.enable_stream(rs.stream.color, about.width, about.height, rs.format.rgb8, int(about.rate_hz))
        try:
            profile = within(_STARTING, lambda: pipeline.start(config, self._frames))
            self._pipeline = pipeline
            for sensor in profile.get_device().query_sensors():
                self._set(sensor, rs.option.global_time_enabled, 1)  # after the start, which puts it back
                self._set(sensor, rs.option.auto_exposure_priority, 0)  # in the dark: darker images, not fewer
        except (RuntimeError, TimeoutError) as error:
            raise CameraError(f"camera {about.name} does not start: {error}") from error

    def _read(self) -> CameraImage | None:
        try:
            frame = self._frames.wait_for_frame(WAIT_MS)
        except RuntimeError as error:
            if self.serial not in self._serials():
                raise CameraError(f"camera {self._features.name} is gone") from error
            return None
        if frame.is_frameset():
            frame = frame.as_frameset().get_color_frame()
        number = frame.get_frame_number()
        if number == self._number:
            return None
        self._number = number
        image = np.asanyarray(frame.get_data()).copy()  # a view of memory that the library uses again
        if image.shape != (self._features.height, self._features.width, 3):
            raise CameraError(f"camera {self._features.name} gives images of shape {image.shape}")
        return CameraImage(image, self._taken(frame), number)

    def _taken(self, frame: Any) -> float:
        """On the session's clock."""
        now, wall = self.clock.now(), time.time()
        if frame.get_frame_timestamp_domain() == self._rs.timestamp_domain.hardware_clock:
            return now - 1 / self._features.rate_hz
        return now - (wall - frame.get_timestamp() / 1000)

    def _set(self, sensor: Any, option: Any, value: float) -> None:
        if sensor.supports(option):
            sensor.set_option(option, value)

    def _serials(self) -> list[str]:
        number = self._rs.camera_info.serial_number
        return [device.get_info(number) for device in self._context.query_devices()]

    def _close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            with suppress(RuntimeError):  # gone already
                pipeline.stop()
