"""Cameras: an image's age is true, an old one is given as old, and a device that is gone is told of."""

from __future__ import annotations

import queue
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.video import VideoFrames, write_video
from robot.cameras import realsense
from robot.cameras.grabber import Grabber
from robot.cameras.realsense import RealSenseCamera
from robot.cameras.video import VideoCamera
from robot.hardware.camera import CameraError, CameraFeatures, CameraImage
from robot.hardware.within import Newest, within
from tests.waiting import until

BLANK = np.zeros((4, 6, 3), np.uint8)


class WoundClock:
    time = 100.0

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        self.time = max(self.time, deadline)


class Scripted(Grabber):
    """Gives what is put into its queue."""

    first = 0.3
    features = CameraFeatures("scripted", 4, 6, 30)

    def __init__(self, *given: CameraImage | Exception) -> None:
        self.given: queue.Queue = queue.Queue()
        self.closed, self.refuses = 0, False
        for each in given:
            self.given.put(each)

    def _open(self) -> None:
        if self.refuses:
            raise CameraError("no such camera")

    def _read(self) -> CameraImage | None:
        try:
            each = self.given.get(timeout=0.02)
        except queue.Empty:
            return None
        if isinstance(each, Exception):
            raise each
        return each

    def _close(self) -> None:
        self.closed += 1


def image(number: int) -> CameraImage:
    return CameraImage(BLANK, float(number), number)


def test_the_newest_image_is_given_and_stays_while_none_comes():
    with Scripted(image(0)) as camera:
        assert camera.latest().number == 0
        for number in range(1, 9):
            camera.given.put(image(number))
        until(lambda: camera.latest().number == 8)
        time.sleep(0.1)  # some empty reads
        assert camera.latest().number == 8 and camera.latest().time == 8.0


def test_a_device_that_is_gone_is_told_of_again_and_again():
    with Scripted(image(0)) as camera:
        camera.given.put(CameraError("gone"))
        until(lambda: not camera._newest._thread.is_alive())
        for _ in range(3):
            with pytest.raises(CameraError, match="gone"):
                camera.latest()


def test_no_first_image_is_an_error_and_lets_go():
    camera = Scripted()
    with pytest.raises(CameraError, match="gives no image"), camera:
        pass
    assert camera.closed == 1 and not camera._newest._thread.is_alive()


def test_a_camera_that_does_not_open_starts_no_thread():
    camera, before = Scripted(image(0)), threading.active_count()
    camera.refuses = True
    with pytest.raises(CameraError, match="no such camera"), camera:
        pass
    assert camera.closed == 1 and threading.active_count() == before


def test_leaving_ends_the_thread():
    with Scripted(image(0)) as camera:
        thread = camera._newest._thread
        assert thread.is_alive()
    assert not thread.is_alive() and camera.closed == 1


def test_a_deadline_is_kept_and_an_exception_passes():
    with pytest.raises(TimeoutError):
        within(0.05, lambda: time.sleep(1))
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
    assert within(5, lambda: 7) == 7
    with pytest.raises(TimeoutError):
        Newest(lambda: time.sleep(0.01), "nothing").start(0.05)


# RealSense, on a stand-in for its library.


class Frame:
    def __init__(self, number: int, stamp: float, domain: str = "global_time") -> None:
        self.number, self.stamp, self.domain = number, stamp, domain

    is_frameset = staticmethod(lambda: False)

    def get_frame_number(self) -> int:
        return self.number

    def get_timestamp(self) -> float:
        return self.stamp

    def get_frame_timestamp_domain(self) -> str:
        return self.domain

    def get_data(self) -> np.ndarray:
        return np.full((480, 640, 3), self.number % 256, np.uint8)


class Library(SimpleNamespace):
    """As much of pyrealsense2 as is used, with a device in it."""

    def __init__(self) -> None:
        self.there, self.frames, self.options, self.started = ["801"], queue.Queue(), {}, []
        self.stream = SimpleNamespace(color="color")
        self.format = SimpleNamespace(rgb8="rgb8")
        self.option = SimpleNamespace(global_time_enabled="global", auto_exposure_priority="priority")
        self.camera_info = SimpleNamespace(serial_number="serial")
        self.timestamp_domain = SimpleNamespace(hardware_clock="hardware_clock")

    def context(self) -> SimpleNamespace:
        return SimpleNamespace(query_devices=lambda: [SimpleNamespace(get_info=lambda _, s=s: s) for s in self.there])

    def config(self) -> SimpleNamespace:
        return SimpleNamespace(enable_device=self.started.append, enable_stream=lambda *what: self.started.append(what))

    def pipeline(self, context: object) -> SimpleNamespace:
        sensor = SimpleNamespace(supports=lambda option: True, set_option=self.options.__setitem__)
        device = SimpleNamespace(query_sensors=lambda: [sensor])
        return SimpleNamespace(
            start=lambda config, frames: SimpleNamespace(get_device=lambda: device),
            stop=lambda: self.started.append("stopped"),
        )

    def frame_queue(self, capacity: int) -> SimpleNamespace:
        assert capacity == 1  # the newest alone

        def wait(milliseconds: int) -> Frame:
            try:
                return self.frames.get(timeout=0.02)
            except queue.Empty:
                raise RuntimeError("Frame did not arrive in time!") from None

        return SimpleNamespace(wait_for_frame=wait)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setitem(sys.modules, "pyrealsense2", library)
    monkeypatch.setattr(realsense.time, "time", lambda: 5000.0)
    return library


@pytest.mark.parametrize(
    ("domain", "stamp", "age"),
    [("global_time", 4999_980.0, 0.02), ("system_time", 4999_950.0, 0.05), ("hardware_clock", 123.0, 1 / 30)],
)
def test_a_stamp_becomes_the_session_clocks_time(library: Library, domain: str, stamp: float, age: float):
    library.frames.put(Frame(7, stamp, domain))
    with RealSenseCamera("801", clock=WoundClock()) as camera:
        found = camera.latest()
    assert found.time == pytest.approx(100 - age, abs=1e-6) and found.number == 7
    assert found.image.shape == (480, 640, 3) and found.image.flags.owndata
    assert library.started == ["801", ("color", 640, 480, "rgb8", 30), "stopped"]
    assert library.options == {"global": 1, "priority": 0}


def test_a_frame_given_twice_is_not_news(library: Library):
    library.frames.put(Frame(7, 5000_000.0))
    with RealSenseCamera("801", clock=WoundClock()) as camera:
        first = camera.latest()
        library.frames.put(Frame(7, 5000_000.0))
        until(library.frames.empty)
        time.sleep(0.05)
        assert camera.latest() is first


def test_frozen_is_old_and_unplugged_is_an_error(library: Library):
    library.frames.put(Frame(0, 5000_000.0))
    with RealSenseCamera("801", clock=WoundClock()) as camera:
        time.sleep(0.1)
        assert camera.latest().number == 0  # no frame came, and the device is there
        library.there = []
        until(lambda: not camera._newest._thread.is_alive())
        with pytest.raises(CameraError, match="gone"):
            camera.latest()


def test_an_unknown_serial_names_those_there(library: Library):
    camera = RealSenseCamera("802")
    assert camera.features.width == 640  # disconnected
    with pytest.raises(CameraError, match=r"802.*801"), camera:
        pass


def test_the_names_are_those_of_the_real_library():
    rs = pytest.importorskip("pyrealsense2", reason="pyrealsense2 is not installed")
    for name in ("context", "config", "pipeline", "frame_queue"):
        assert hasattr(rs, name)
    assert rs.stream.color and rs.format.rgb8 and rs.camera_info.serial_number and rs.option.global_time_enabled
    assert rs.option.auto_exposure_priority and hasattr(rs.timestamp_domain, "hardware_clock")
    for name in ("is_frameset", "as_frameset", "get_frame_number", "get_timestamp", "get_frame_timestamp_domain"):
        assert hasattr(rs.frame, name)
    with pytest.raises(CameraError, match="there is none"):
        RealSenseCamera("no such serial").__enter__()


# Recorded video.

TIMES = np.array([0.0, 0.03, 0.07, 0.10, 0.18, 0.20])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, (np.full((16, 24, 3), 40 * i, np.uint8) for i in range(len(TIMES))), TIMES)
    return path


@settings(max_examples=25, deadline=None)
@given(waits=st.lists(st.floats(0, 0.1), max_size=8))
def test_a_videos_frame_is_the_newest_that_is_due(film: Path, waits: list[float]):
    clock = WoundClock()
    with VideoCamera(film, clock=clock) as camera:
        for wait in waits:
            clock.time += wait
            found = camera.latest()
            if np.abs(TIMES[1:] - (clock.time - 100)).min() < 1e-5:
                continue  # on the edge
            due = max(i for i, t in enumerate(TIMES) if t <= clock.time - 100)
            assert found.number == due and found.time == pytest.approx(100 + TIMES[due], abs=1e-4)
            assert abs(int(found.image[8, 8, 0]) - 40 * due) <= 4
            assert found.time <= clock.time + 1e-5


def test_a_video_stays_on_its_last_frame_and_grows_stale(film: Path):
    clock = WoundClock()
    with VideoCamera(film, clock=clock) as camera:
        assert camera.features.height == 16 and camera.features.width == 24
        clock.time += 60
        assert camera.latest().number == 5 and clock.time - camera.latest().time > 59
    with camera:  # from its start again
        assert camera.latest().number == 0 and camera.latest().time == clock.time
    with pytest.raises(CameraError, match="not connected"):
        camera.latest()


def test_a_video_that_has_to_catch_up_gives_what_is_due_by_then(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, frame = WoundClock(), VideoFrames.__getitem__
    with VideoCamera(film, clock=clock) as camera:
        clock.time += 0.075

        def slow(frames: VideoFrames, t: int) -> np.ndarray:
            clock.time += 0.03 if t == 2 else 0.0
            return frame(frames, t)

        monkeypatch.setattr(VideoFrames, "__getitem__", slow)
        assert camera.latest().number == 3 and camera.latest().time == pytest.approx(100.10, abs=1e-4)


def test_asked_for_its_features_in_the_middle_a_video_is_not_begun_anew(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, frame, decoded = WoundClock(), VideoFrames.__getitem__, list[int]()
    monkeypatch.setattr(VideoFrames, "__getitem__", lambda frames, t: (decoded.append(t), frame(frames, t))[1])
    with VideoCamera(film, clock=clock) as camera:
        for _ in range(4):
            clock.time += 0.04
            assert camera.features.height == 16 and camera.latest().number > 0
    assert decoded.count(0) <= 2 and decoded[2:] == sorted(set(decoded[2:])), f"decoded: {decoded}"


def test_no_video_is_a_camera_error_and_only_when_entered(tmp_path: Path):
    camera = VideoCamera(tmp_path / "none.mp4")
    with pytest.raises(CameraError, match="does not exist"), camera:
        pass
