"""The simulated world in a process of its own: on the wall's clock, and nobody hangs when it is killed or stopped."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpr.core.errors import NoGL
from robot.hardware.arm import ArmError, Mode, Target
from robot.hardware.camera import CameraError
from robot.hardware.pose import distance_between
from robot.simulated import Twin, simulated
from robot.simulated.distant import Distant
from robot.simulated.slots import HEADER, Slots
from robot.simulated.tasks import MICROWAVE_HOME_POSE
from robot.teleop.operator import Answer
from tests.waiting import until


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """For the tests that leave it whole."""
    with simulated(size=(32, 48), real_time=True) as made, made.arm:
        yield made


def pid(twin: Twin) -> int:
    assert isinstance(twin.world, Distant)
    return twin.world.pid


def slots(room: int = 200) -> Slots:
    return Slots(multiprocessing.get_context("spawn"), room)


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_slots_hold_the_newest_message(messages):
    shared = slots()
    assert shared.read() == (0, None)
    for number, message in enumerate(messages, 1):
        assert shared.write(message) == number
        assert shared.read() == (number, message)
    with pytest.raises(ValueError, match="room"):
        shared.write(b"x" * 300)


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=2, max_size=4), st.data())
def test_half_a_message_is_never_read_and_the_one_before_it_still_is(messages, data):
    """A writer that is killed has written any part of the new slot: any of its bytes are the old ones, still."""
    shared = slots()
    for message in messages[:-1]:
        shared.write(message)
    before = bytes(shared._memory)
    shared.write(messages[-1])
    after = bytes(shared._memory)
    changed = [i for i in range(len(before)) if before[i] != after[i]]
    missing = data.draw(st.lists(st.sampled_from(changed), min_size=1, unique=True))
    torn = bytearray(after)
    for i in missing:
        torn[i] = before[i]
    ctypes.memmove(shared._memory, bytes(torn), len(torn))
    assert shared.read() == (len(messages) - 1, messages[-2])
    assert HEADER.size == 20


def test_a_reader_beside_a_busy_writer_reads_whole_messages_in_order():
    shared, leave = slots(9000), threading.Event()

    def write() -> None:
        number = 0
        while not leave.is_set():
            number += 1
            shared.write(np.full(1000, number))

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: shared.read()[0] > 0)
    numbers = []
    for _ in range(500):
        number, message = shared.read()
        assert (message == number).all()
        numbers.append(number)
    leave.set()
    writer.join()
    assert numbers == sorted(numbers)


def test_time_is_the_walls_and_the_arm_moves_by_itself(twin):
    twin.arm.home()
    before, asked = twin.arm.state(), time.monotonic()
    assert asked - 1 < before.time <= asked
    up = before.pose.moved([0.0, 0.0, 0.05], Rotation.identity())
    twin.arm.send(Target(up, 0.03))
    until(lambda: distance_between(twin.arm.state().pose, up) < 0.005)
    assert twin.arm.state().mode is Mode.MOVING and twin.arm.state().time > before.time
    twin.arm.stop()
    until(lambda: twin.arm.state().mode is Mode.IDLE)
    twin.arm.home()
    assert distance_between(twin.arm.state().pose, MICROWAVE_HOME_POSE) < 0.01


def test_a_reflex_is_cleared_by_recover_alone(twin):
    twin.arm.reflex(("cartesian_reflex",))
    twin.arm.stop()
    with pytest.raises(ArmError, match="recover"):
        twin.arm.home()
    assert twin.arm.state().mode is Mode.REFLEX and twin.arm.state().errors == ("cartesian_reflex",)
    twin.arm.recover()
    until(lambda: twin.arm.state().mode is Mode.IDLE)


def test_the_operator_reaches_into_it(twin):
    assert twin.operator.ask("everything back in its place?") is Answer.GO
    first = twin.world.measured().door
    twin.operator.begins(1)
    twin.operator.ask("and again?")
    assert twin.operator.mark() is None
    until(lambda: not np.allclose(first.handle, twin.world.measured().door.handle))
    twin.expert.reset(0)
    state = twin.arm.state()
    action = twin.expert.act(np.array([*state.pose.position, *state.pose.quaternion, state.width]))
    assert action.shape == (8,) and np.abs(action).max() <= 1


def test_an_order_that_another_thread_cuts_short_is_an_error(twin):
    twin.arm.send(Target(MICROWAVE_HOME_POSE.moved([0.0, 0.0, 0.1], Rotation.identity()), 0.0))
    until(lambda: distance_between(twin.arm.state().pose, MICROWAVE_HOME_POSE) > 0.05)
    watchdog = threading.Timer(0.3, twin.arm.stop)
    watchdog.start()
    with pytest.raises(ArmError, match="cut short"):
        twin.arm.home()
    watchdog.join()


@pytest.mark.gl
def test_images_come_by_themselves_with_the_walls_time(twin):
    world, wrist = twin.cameras
    with world, wrist:
        first = world.latest()
        assert first.image.shape == (32, 48, 3) and first.time <= time.monotonic()
        until(lambda: world.latest().number > first.number + 3 and wrist.latest().number > first.number + 3)
        assert world.latest().time > first.time
        assert np.ptp(world.latest().image) > 50 and not np.array_equal(world.latest().image, wrist.latest().image)


def test_nogl_comes_through_by_name_and_a_simulation_that_stands_still_shows_old_states_and_can_be_left(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with simulated(size=(32, 32), real_time=True) as twin, twin.arm:
        with pytest.raises(NoGL):
            twin.cameras[0].__enter__()
        os.kill(pid(twin), signal.SIGSTOP)
        old = twin.arm.state()
        time.sleep(0.3)
        twin.arm.send(Target(MICROWAVE_HOME_POSE, 0.0))
        assert twin.arm.state().mode is Mode.IDLE  # it does not hear
        assert twin.arm.state().time == old.time < time.monotonic() - 0.29


def test_features_can_be_asked_for_before_it_is_entered_and_after_the_world_is_gone():
    with simulated(size=(32, 48), real_time=True) as twin:
        arm, (standing, wrist) = twin.arm, twin.cameras
        before = standing.features.view
        assert arm.features.home is MICROWAVE_HOME_POSE and wrist.features.name == "wrist" and before is not None
    after = standing.features.view
    assert after is not None and wrist.features.view is None and arm.features.home is MICROWAVE_HOME_POSE
    np.testing.assert_array_equal(after.pose.position, before.pose.position)


@pytest.mark.gl
@pytest.mark.parametrize("killed", [False, True])
def test_a_camera_that_was_entered_keeps_its_view_unasked(killed: bool):
    with simulated(size=(32, 48), real_time=True) as twin, twin.arm, twin.cameras[0]:
        assert isinstance(twin.world, Distant)
        before = twin.world.measured().base.position
        twin.operator.ask("everything back in its place?")
        moved = twin.world.measured().base.position
        if killed:
            os.kill(pid(twin), signal.SIGKILL)
            until(lambda: not twin.world._process.is_alive())  # type: ignore[attr-defined]
    view = twin.cameras[0].features.view
    assert view is not None
    with simulated(size=(32, 48)) as stock:
        there = stock.cameras[0].features.view
        assert there is not None
        if not killed:
            stock.operator.ask("everything back in its place?")  # the same place, of the same seed
            assert np.abs(moved - before).max() > 0.001
            there = stock.cameras[0].features.view
            assert there is not None
    np.testing.assert_allclose(view.pose.position, there.pose.position, atol=1e-6)


def test_a_simulation_that_is_killed_is_an_error_also_while_it_is_waited_for_and_hangs_nobody():
    with simulated(size=(32, 48), real_time=True) as twin, twin.arm:
        twin.arm.send(Target(MICROWAVE_HOME_POSE.moved([0.0, 0.0, 0.1], Rotation.identity()), 0.0))
        until(lambda: distance_between(twin.arm.state().pose, MICROWAVE_HOME_POSE) > 0.05)
        threading.Timer(0.3, os.kill, (pid(twin), signal.SIGKILL)).start()
        with pytest.raises(ArmError, match="ended"):
            twin.arm.home()
        for call in (twin.arm.state, twin.arm.stop, twin.arm.home, twin.arm.recover):
            with pytest.raises(ArmError, match="ended"):
                call()
        with pytest.raises(ArmError):
            twin.arm.send(Target(MICROWAVE_HOME_POSE, 0.0))
        with pytest.raises(CameraError):
            twin.cameras[0].__enter__()
        assert twin.operator.mark() is None
        assert twin.operator.ask("?") is Answer.QUIT


LONELY = """
import os, signal, sys
from robot.simulated import simulated
if __name__ == "__main__":
    with simulated(size=(32, 32), real_time=True) as twin:
        print(twin.world.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_its_parent_and_leaves_nothing(tmp_path):
    script = tmp_path / "lonely.py"
    script.write_text(LONELY)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    shared = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL and done.stderr == ""
    until(lambda: not psutil.pid_exists(int(done.stdout)))
    left = set(os.listdir("/dev/shm")) - shared if shared else set()
    assert not [name for name in left if name.startswith(("psm_", "pym-"))]
