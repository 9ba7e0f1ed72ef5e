"""The franky adapter: on a stand-in with franky's traps; and, where franky and franky-sim are installed, on that.

Nothing here has met an arm. `pip install franky-control franky-sim`, then run with --slow.
"""

from __future__ import annotations

import _thread
import ast
import importlib.util
import inspect
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robot.action import NOTHING, Action
from robot.arm import ArmError, Mode, Target
from robot.arms.franka import HOME, HOME_POSE
from robot.arms.franky import FrankyArm
from robot.clock import Pace, WallClock
from robot.pose import Pose, angle_between, distance_between
from robot.safety.guard import Guard, Held, Sent
from robot.safety.limits import Limits
from robot.safety.watch import Seen
from robot.station import StationConfig, named
from tests import fake_franky
from tests.fake_franky import JOINT_REFLEX, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setitem(sys.modules, "franky", fake_franky.module(world))  # type: ignore[arg-type]
    return world


def until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.005)


def test_nothing_is_imported_or_connected_before_it_is_entered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "franky", None)
    arm = FrankyArm("nowhere")
    assert arm.features.real and arm.features.home is HOME_POSE
    with pytest.raises(ArmError, match="not connected"):
        arm.state()
    with pytest.raises(ModuleNotFoundError) as refused, arm:
        pass
    assert refused.value.name == "franky"  # by which the command line names the extra


def test_entered_it_is_controlled_where_it_stands(world: World):
    with FrankyArm("arm") as arm:
        state = arm.state()
        assert state.mode is Mode.MOVING and state.errors == () and state.width == 0.04
        np.testing.assert_array_equal(state.pose.quaternion, [1, 0, 0, 0])  # franky does not promise unit length
        assert world.targets == []
        assert ("connected", "Enforce") in world.said
    assert world.motion is None


@pytest.mark.parametrize("enforced", [True, False])
def test_a_station_says_whether_the_kernel_has_to_be_real_time(world: World, enforced: bool):
    config = StationConfig("franky", "arm", "a.mp4", "b.mp4", enforce_real_time=enforced)
    with named(config) as at, at.arm:
        assert ("connected", "Enforce" if enforced else "Ignore") in world.said


def test_a_target_is_sent_as_a_unit_quaternion(world: World):
    with FrankyArm("arm") as arm:
        sent = arm.send(Target(Pose(np.array([0.4, 0.1, 0.5]), np.array([1.0005, 0, 0, 0])), 0.041))
        np.testing.assert_array_equal(sent.pose.quaternion, [1, 0, 0, 0])
        np.testing.assert_array_equal(world.targets[-1].translation, [0.4, 0.1, 0.5])
        assert sent.width == 0.04  # too little to tell the hand: what it really stays at


class Controller:
    """In the place of the impedance controller: hangs with a target that it has taken, or refuses it."""

    def __init__(self, arm: FrankyArm, refuses: bool = False) -> None:
        self.real, self.refuses = arm._tracker, refuses
        self.hangs, self.go = threading.Event(), threading.Event()
        self.stop = self.real.stop

    def set_target(self, target: object) -> None:
        self.real.set_target(target)
        if self.refuses:
            raise RuntimeError("no more")
        if not self.hangs.is_set():
            self.hangs.set()
            assert self.go.wait(5)


def test_a_stop_while_the_first_target_is_given_holds_arm_and_hand(world: World):
    with FrankyArm("arm") as arm:
        at, said = arm.state().pose, []
        controller = arm._tracker = Controller(arm)

        def send() -> None:
            try:
                arm.send(Target(at.moved(0.05 * np.eye(3)[0], Rotation.identity()), 0.0))
            except ArmError as error:
                said.append(str(error))

        thread = threading.Thread(target=send)
        thread.start()
        assert controller.hangs.wait(5)
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)
        controller.go.set()
        thread.join(5)
        assert said == ["stopped while it was told where to go"]
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)
        time.sleep(0.1)  # the hand's thread
        assert not [line for line in world.said if line[0] == "grasp"]


def test_a_stop_that_overlaps_a_target_and_comes_late_holds_all_the_same(world: World):
    """The stop's own pull hangs while a target goes out: the one that was told last is the stop's."""
    with FrankyArm("arm") as arm:
        at = arm.state().pose
        away = Target(at.moved(0.05 * np.eye(3)[0], Rotation.identity()), 0.0)
        arm.send(Target(at, 0.04))
        controller = arm._tracker = Controller(arm)
        thread = threading.Thread(target=arm.stop)
        thread.start()
        assert controller.hangs.wait(5)
        arm.send(away)
        controller.go.set()
        thread.join(5)
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)


def test_a_stop_drops_what_the_hand_was_to_do_next_even_in_a_reflex(world: World):
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        at = arm.state().pose
        arm.send(Target(at, 0.08))
        until(lambda: ("move", 0.08) in world.said)
        arm.send(Target(at, 0.0))  # waits for the hand
        world.reflex()
        until(lambda: arm.state().mode is Mode.REFLEX)
        arm.stop()
        world.slow_hand = False
        arm._hand._running.done = True  # type: ignore[union-attr]
        time.sleep(0.1)
        assert not [line for line in world.said if line[0] == "grasp"]


def test_a_target_that_is_refused_is_no_wish_for_the_hand_and_leaves_it_to_stop(world: World):
    with FrankyArm("arm") as arm:
        at = arm.state().pose
        controller = arm._tracker = Controller(arm, refuses=True)
        with pytest.raises(ArmError, match="refused"):
            arm.send(Target(at.moved(0.05 * np.eye(3)[0], Rotation.identity()), 0.0))
        arm._tracker = controller.real
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, at.position)
        time.sleep(0.1)
        assert not [line for line in world.said if line[0] == "grasp"]


def test_no_target_that_gets_out_leaves_the_limits_whatever_is_asked(world: World):
    """The guard's law once more, behind it: what the controller and the hand were really told."""
    limits, clock, random = Limits(), WallClock(), np.random.default_rng(0)
    extremes = [0.0, 1.0, -1.0, 1e9, -1e9, np.nan, np.inf]
    with FrankyArm("arm") as arm:
        guard, last = Guard(arm, limits, clock), None
        for _ in range(80):
            time.sleep(0.01)
            state, before = arm.state(), len(world.targets)
            action = random.choice(extremes, 8, p=[0.2, 0.25, 0.25, 0.1, 0.1, 0.05, 0.05])
            done = guard.act(action, Seen(state, {}, clock.now()))
            assert isinstance(done, Sent) == bool(np.isfinite(action).all()) or done.event.kind == "out of reach"
            for target in world.targets[before:]:
                pose = Pose(target.translation, target.quaternion)
                assert limits.inside(pose) and distance_between(pose, state.pose) <= limits.lead + 1e-9
                assert angle_between(pose, state.pose) <= limits.lead_turn + 1e-6
                assert last is None or distance_between(pose, last) <= limits.step + 1e-9
                world.position = (world.position + target.translation) / 2
                last = pose if isinstance(done, Sent) else None
            until(lambda: np.array_equal(arm.state().pose.position, world.position))
        widths = [line[1] for line in world.said if line[0] in ("move", "grasp")]
    assert len(world.targets) > 40 and widths and all(w == 0 or limits.narrowest <= w <= limits.widest for w in widths)


def test_letting_go_frees_the_connection(world: World):
    """franky disconnects with its object, and the arm takes one connection at a time: no cycle may hold it."""
    for _ in range(2):
        with FrankyArm("arm") as arm:
            world.reflex()
            until(lambda: arm.state().mode is Mode.REFLEX)
        assert world.said[-1] == ("let go",)
        world.mode = "Idle"


def test_a_latched_reflex_shows_and_only_recover_clears_it(world: World):
    with FrankyArm("arm") as arm:
        pose = arm.state().pose
        world.reflex()  # all flags down again
        until(lambda: arm.state().mode is Mode.REFLEX)
        assert arm.state().errors == ("joint_reflex",)
        with pytest.raises(ArmError, match="reflex"):
            arm.send(Target(pose, 0.04))
        with pytest.raises(ArmError, match="reflex"):
            arm.home()
        arm.stop()  # has stopped already
        assert world.targets == [] and ("recovered",) not in world.said
        arm.recover()
        assert arm.state().mode is Mode.MOVING and world.said.count(("recovered",)) == 1
        arm.send(Target(pose, 0.04))
        assert len(world.targets) == 1


def test_entered_in_a_reflex_it_waits_for_recover(world: World):
    world.reflex(JOINT_REFLEX)
    with FrankyArm("arm") as arm:
        assert arm.state().mode is Mode.REFLEX and ("tracker",) not in world.said
        arm.recover()
        assert arm.state().mode is Mode.MOVING


@pytest.mark.parametrize("name, mode", [("UserStopped", Mode.STOPPED), ("Guiding", Mode.GUIDING), ("New", Mode.OTHER)])
def test_modes_that_do_not_obey(world: World, name: str, mode: Mode):
    with FrankyArm("arm") as arm:
        world.mode, world.motion = name, None
        until(lambda: arm.state().mode is mode)
        with pytest.raises(ArmError, match=mode.value):
            arm.recover()
        world.mode = "Idle"  # the button is released: and still nothing controls it
        until(lambda: "does not run" in str(arm.state().errors))
        assert arm.state().mode is Mode.OTHER
        arm.recover()
        assert arm.state().mode is Mode.MOVING


def test_a_tracker_that_does_not_start_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("robot.arms.franky_link.PATIENCE", 0.1)
    world.deaf = True
    with pytest.raises(ArmError, match="does not run"), FrankyArm("arm"):
        pass
    assert world.said[-1] == ("let go",)


def test_a_clock_that_stands_still_makes_a_stale_state(world: World):
    with FrankyArm("arm") as arm:
        world.frozen = True
        time.sleep(0.03)
        frozen = arm.state().time
        time.sleep(0.05)
        assert arm.state().time == frozen
        world.clock -= 5  # nor is one that goes back news
        time.sleep(0.03)
        assert arm.state().time == frozen
        world.clock += 6
        until(lambda: arm.state().time > frozen)
        assert arm.state().time <= time.monotonic()


def test_a_lost_link_is_an_error_until_a_person_recovers_it(world: World):
    with FrankyArm("arm") as arm:
        pose = arm.state().pose
        world.lose()
        until(lambda: not arm._link._newest._thread.is_alive() and not arm._hand._newest._thread.is_alive())  # type: ignore
        world.lost = False  # the cable is back: the old connection is not
        for call in (arm.state, lambda: arm.send(Target(pose, 0.04)), arm.home):
            with pytest.raises(ArmError, match="lost"):
                call()
        world.lost = True
        with pytest.raises(ArmError, match="not reached"):
            arm.recover()
        world.lost, world.mode = False, "Idle"
        arm.recover()
        assert arm.state().mode is Mode.MOVING and world.said.count(("connected", "Enforce")) == 2


def test_stop_holds_the_measured_pose_and_does_not_sink(world: World):
    with FrankyArm("arm") as arm:
        arm.send(Target(Pose(np.array([0.45, 0, 0.5]), np.array([1.0, 0, 0, 0])), 0.08))
        arm.stop()
        np.testing.assert_array_equal(world.targets[-1].translation, [0.4, 0, 0.5])
        for _ in range(5):
            world.position = world.position - [0, 0, 0.002]
            time.sleep(0.02)
            arm.stop()
        assert len(world.targets) == 2


def test_home_opens_goes_there_and_is_controlled_again(world: World):
    with FrankyArm("arm") as arm:
        arm.home()
        np.testing.assert_array_equal(arm.state().joints, HOME)
        assert arm.state().width == 0.08 and arm.state().mode is Mode.MOVING
        assert world.said.count(("tracker",)) == 2 and ("move", 0.08) in world.said


def on_the_way(arm: FrankyArm) -> tuple[threading.Thread, list[str]]:
    """Home, in a thread; and what it said."""
    said: list[str] = []

    def go() -> None:
        try:
            arm.home()
        except ArmError as error:
            said.append(str(error))

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    return thread, said


def test_stopped_on_its_way_home_it_is_not_controlled(world: World):
    world.slow_way = True
    with FrankyArm("arm") as arm:
        thread, said = on_the_way(arm)
        until(lambda: type(world.motion).__name__ == "JointMotion")
        assert arm.state().errors == ()
        arm.stop()
        thread.join(5)
        assert said and world.motion is None and world.said.count(("tracker",)) == 1
        assert arm.state().mode is Mode.OTHER


def test_an_interrupt_on_the_way_home_stays_one(world: World):
    world.slow_way = True
    with FrankyArm("arm") as arm:
        with pytest.raises(KeyboardInterrupt):
            threading.Timer(0.3, _thread.interrupt_main).start()
            arm.home()
        assert ("stopped",) in world.said and world.motion is None
        arm.recover()  # at once: nothing is left over that the start would raise
        assert arm.state().mode is Mode.MOVING


def still_ended(world: World, arm: FrankyArm, mode: Mode) -> None:
    """Neither stop nor home nor a command clears what ended the controller, or starts another."""
    pose, trackers = arm.state().pose, world.said.count(("tracker",))
    for _ in range(2):
        arm.stop()
        for call in (arm.home, lambda: arm.send(Target(pose, 0.04))):
            with pytest.raises(ArmError, match="let it recover"):
                call()
    assert ("recovered",) not in world.said and world.said.count(("tracker",)) == trackers
    assert world.motion is None and arm.state().mode is mode


def test_a_reflex_on_the_way_home_stays_whatever_is_called_but_recover(world: World):
    world.slow_way = True
    with FrankyArm("arm") as arm:
        thread, said = on_the_way(arm)
        until(lambda: type(world.motion).__name__ == "JointMotion")
        world.reflex()
        thread.join(5)
        assert "reflex" in said[0]
        until(lambda: arm.state().mode is Mode.REFLEX)
        still_ended(world, arm, Mode.REFLEX)
        arm.recover()
        assert arm.state().mode is Mode.MOVING


@pytest.mark.parametrize("how", ["reflex", "button"])
def test_what_ends_the_controller_while_the_hand_opens_keeps_the_arm_from_home(world: World, how: str):
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        thread, said = on_the_way(arm)
        until(lambda: ("move", 0.08) in world.said)
        if how == "reflex":
            world.reflex()
        else:  # pressed and released again: nothing latched, and no controller
            world.mode, world.motion = "Idle", None
        until(lambda: not arm._connected()[0].reading().controlled)
        world.slow_hand = False
        thread.join(10)
        assert said and world.motion is None and world.said.count(("tracker",)) == 1
        still_ended(world, arm, Mode.REFLEX if how == "reflex" else Mode.OTHER)


def test_entered_again_in_a_reflex_it_waits_for_recover(world: World):
    arm = FrankyArm("arm")
    with arm:
        world.reflex()
        until(lambda: arm.state().mode is Mode.REFLEX)
    with arm:
        still_ended(world, arm, Mode.REFLEX)


def test_a_link_lost_in_a_reflex_comes_back_in_it_by_nothing_but_recover(world: World):
    arm = FrankyArm("arm")
    with arm:
        world.reflex()
        world.lose()
        until(lambda: not arm._link._newest._thread.is_alive())  # type: ignore
        world.lost = False
        arm.stop()  # an arm whose link is lost stops by itself
        for call in (arm.home, arm.state):
            with pytest.raises(ArmError, match="lost"):
                call()
        assert world.said.count(("connected", "Enforce")) == 1 and ("recovered",) not in world.said
    with arm:
        still_ended(world, arm, Mode.REFLEX)


def test_the_hand_has_one_command_at_a_time_and_nobody_waits(world: World):
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        pose = arm.state().pose
        for width in (0.06, 0.03, 0.05, 0.005):  # the first is under way; of the others, the last counts
            arm.send(Target(pose, width))
            until(lambda: ("move", 0.06) in world.said)
            time.sleep(0.05)  # some turns of the hand's thread
        assert [said for said in world.said if said[0] in ("move", "grasp")] == [("move", 0.06)]
        world.slow_hand = False
        until(lambda: ("grasp", 0.0) in world.said)
        assert [said for said in world.said if said[0] in ("move", "grasp")] == [("move", 0.06), ("grasp", 0.0)]


@pytest.mark.parametrize("ends", [True, False])
def test_the_hand_is_not_let_go_while_it_moves(world: World, monkeypatch: pytest.MonkeyPatch, ends: bool):
    monkeypatch.setattr("robot.arms.franky_hand.CLOSING", 5.0 if ends else 0.1)
    world.slow_hand = True
    with FrankyArm("arm") as arm:
        arm.send(Target(arm.state().pose, 0.06))
        until(lambda: ("move", 0.06) in world.said)
        if ends:
            threading.Timer(0.2, setattr, (world, "slow_hand", False)).start()
    assert world.slow_hand is not ends and ("crashed",) not in world.said
    world.slow_hand = False


@pytest.mark.parametrize("width", [float("nan"), float("inf")])
def test_a_width_that_is_none(world: World, width: float):
    with FrankyArm("arm") as arm, pytest.raises(ArmError, match="finite"):
        arm.send(Target(arm.state().pose, width))


def test_the_guard_holds_and_asks_in_a_reflex(world: World):
    clock = WallClock()
    with FrankyArm("arm") as arm:
        guard = Guard(arm, Limits(), clock)
        assert isinstance(guard.act(NOTHING, Seen(arm.state(), {}, clock.now())), Sent)
        world.reflex()
        until(lambda: arm.state().mode is Mode.REFLEX)
        held = guard.act(NOTHING, Seen(arm.state(), {}, clock.now()))
        assert isinstance(held, Held) and held.event.ask and "joint_reflex" in held.event.message


# The real package.


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


def circle(beat: int) -> Action:
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
    assert distance_between(start.pose, HOME_POSE) < 0.01 and angle_between(start.pose, HOME_POSE) < 0.02
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
