"""franky itself, where it is installed: its signatures, and the adapter on franky-sim.

Nothing here has met an arm. `pip install franky-control franky-sim`, then run with --slow.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robot.arms.franka import FRANKA_HOME_POSE
from robot.arms.franky import FrankyArm
from robot.hardware.action import NOTHING, RobotAction
from robot.hardware.arm import ArmError, Mode
from robot.hardware.clock import Pace, WallClock
from robot.hardware.pose import angle_between, distance_between
from robot.safety.guard import Guard, Held, Sent
from robot.safety.limits import Limits
from robot.safety.watch import Seen
from tests import fake_franky
from tests.fake_franky import World
from tests.waiting import until


def parameters(tree: ast.Module, owner: str, name: str) -> list[list[str]]:
    """Of a method, as its sources or stubs declare it: of each overload."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
    found = [node for node in classes[0].body if isinstance(node, ast.FunctionDef) and node.name == name]
    return [[arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]][1:] for node in found]


def test_the_stand_in_has_frankys_signatures():
    spec = importlib.util.find_spec("franky")
    if spec is None or spec.origin is None:
        pytest.skip("franky is not installed")
    folder = Path(spec.origin).parent
    stubs, tracker = (ast.parse((folder / name).read_text()) for name in ("_franky.pyi", "tracker.py"))
    fake = fake_franky.module(World())
    asked = {
        ("Robot", "_RobotInternal"): ["__init__", "move", "join_motion", "stop", "recover_from_errors"],
        ("Gripper", "Gripper"): ["__init__", "move_async", "grasp_async"],
        ("Future", "BoolFuture"): ["wait", "get"],
        ("JointMotion", "JointMotion"): ["__init__"],
        ("PostureTask", "PostureTask"): ["__init__"],
        ("Affine", "Affine"): ["__init__"],
        ("CartesianImpedanceTracker", "CartesianImpedanceTracker"): ["__init__", "set_target", "stop"],
    }
    for (ours, theirs), names in asked.items():
        for name in names:
            mine = list(inspect.signature(getattr(getattr(fake, ours), name)).parameters)[1:]
            mine = [] if mine == ["args", "kwargs"] else mine
            real = parameters(tracker if "Tracker" in ours else stubs, theirs, name)
            assert any([each for each in one if each in mine] == mine for one in real), (ours, name, mine, real)
    errors = next(node for node in stubs.body if isinstance(node, ast.ClassDef) and node.name == "Errors")
    assert {"joint_reflex", "self_collision_avoidance_violation"} <= {getattr(node, "name", "") for node in errors.body}


SIMULATOR = '''
"""franky-sim, which knows no reflex: on SIGUSR1 the arm has one, with its flags down."""
import signal, sys
from franky_sim import SimulationServer, simulation_server
from franky_sim.franka_robot_protocol import AutomaticErrorRecoveryCommand, BaseCommand
from franky_sim.franka_robot_protocol import MoveStatus, RobotCommand, RobotMode
from franky_sim.franka_robot_server import FrankaRobotServer
from franky_sim.mujoco_simulator import MujocoSimulator

wanted = []
signal.signal(signal.SIGUSR1, lambda *_: wanted.append(1))

class Server(FrankaRobotServer):
    reflex = False

    def _post_process_commands(self):
        if wanted:
            wanted.clear()
            self.reflex, moving = True, self.current_motion_id
            self.stop_motion(send_preemption_signal=False)
            if moving:
                BaseCommand.send_response(self._tcp_socket, RobotCommand.kMove, moving, MoveStatus.kReflexAborted)
                self.reset_current_motion_id()
        super()._post_process_commands()

    @property
    def robot_state(self):
        state = super().robot_state
        if not self.reflex:
            return state
        return state.replace(robot_mode=RobotMode.kReflex, reflex_reason=tuple(i == 3 for i in range(41)))

def recover(command, server):
    server.reflex = False
    handle(command, server)

handle, AutomaticErrorRecoveryCommand.handle = AutomaticErrorRecoveryCommand.handle, recover
simulation_server.FrankaRobotServer = Server
with MujocoSimulator() as sim:
    sim.add_robot()
    with SimulationServer(sim, hostname_candidates=[sys.argv[1]]) as server:
        server.run_forever()
'''
HOST = "127.0.0.88"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen]]:
    pytest.importorskip("franky", reason="franky-control is not installed")
    pytest.importorskip("franky_sim", reason="franky-sim is not installed")
    (tmp_path / "simulator.py").write_text(SIMULATOR)
    running: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        running.append(subprocess.Popen([sys.executable, str(tmp_path / "simulator.py"), HOST]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def patiently(call: Callable[[], object]) -> object:
    """The simulator takes a second to come up."""
    for attempt in itertools.count():
        try:
            return call()
        except ArmError:
            if attempt > 40:
                raise
            time.sleep(0.25)


def circle(beat: int) -> RobotAction:
    action = NOTHING.copy()
    action[:3] = 0.6 * np.cos(beat / 8), 0.6 * np.sin(beat / 8), 0
    action[7] = 1 if beat % 80 < 40 else -1
    return action


@pytest.mark.slow
def test_on_frankys_simulator(simulator: Callable[[], subprocess.Popen]):
    server, clock = simulator(), WallClock()
    arm = FrankyArm(HOST, realtime=False, home_speed=0.2, clock=clock)
    patiently(arm.__enter__)
    arm.home()
    start = arm.state()
    assert distance_between(start.pose, FRANKA_HOME_POSE) < 0.01 and angle_between(start.pose, FRANKA_HOME_POSE) < 0.02
    assert start.width > 0.075

    guard, pace, ages, widths, way = Guard(arm, Limits(), clock), Pace(clock, 10), [], [], 0.0
    for beat in range(200):
        state = arm.state()
        ages.append(clock.now() - state.time)
        widths.append(state.width)
        way = max(way, distance_between(state.pose, start.pose))
        assert isinstance(guard.act(circle(beat), Seen(state, {}, clock.now())), Sent), guard.log
        pace.wait()
    print(
        f"age of the state {np.percentile(ages, [50, 99, 100]).round(4)} s, overruns {pace.overruns}, way {way:.3f} m"
    )
    assert max(ages) < Limits().state_age and way > 0.03 and min(widths) < 0.01 and max(widths) > 0.07

    guard.rest()
    time.sleep(0.3)  # to rest
    held = arm.state().pose
    time.sleep(1)
    assert distance_between(arm.state().pose, held) < 0.003

    server.send_signal(signal.SIGUSR1)
    until(lambda: arm.state().mode is Mode.REFLEX)
    assert len(arm.state().errors) == 1
    event = guard.act(NOTHING, Seen(arm.state(), {}, clock.now()))
    assert isinstance(event, Held) and event.event.ask
    arm.recover()
    guard.resume()
    assert isinstance(guard.act(NOTHING, Seen(arm.state(), {}, clock.now())), Sent)

    server.kill()
    until(lambda: clock.now() - arm.state().time > Limits().state_age, 1)  # stale at once, lost a second later
    guard.act(NOTHING, Seen(arm.state(), {}, clock.now()))
    assert guard.log[-1].kind == "stale state"
    with pytest.raises(ArmError, match="lost"):
        until(lambda: not arm.state())
    server.wait()
    simulator()
    patiently(arm.recover)
    arm.home()
    arm.__exit__()
    with arm:  # and again
        assert arm.state().mode is Mode.MOVING
