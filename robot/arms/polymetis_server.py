"""Owns a Franka arm through Polymetis, for `robot.arms.polymetis.PolymetisArm`, which lives in another Python.

Run it with the Python (3.8 or later) that has polymetis, on any machine that reaches the robot's computer:

    python polymetis_server.py --robot 172.16.0.1

It needs nothing else of this project: the file can be copied. One client at a time, over TCP: a line of JSON asks, a
line of JSON answers, {"ok": ...} or {"error": "..."}. No answer waits for a motion. The arm is held where it is when
the client is gone, and when it has asked nothing for a while. A controller that ended by itself is started again when
the client asks to `start`, which is a person's word, and by nothing else. There is no password: keep it on this
machine, or on the arm's own net.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

SILENCE = 0.5  # seconds without a question, after which the arm is held
NEWS = 0.05  # seconds within which the arm's state, of 1 kHz, is a new one
WAITING = 5.0  # seconds after which a gripper that has not taken a command is lost


class Gripper:
    """Told widths without waiting. Polymetis' own client may wait for ever: a thread of ours does it for us."""

    def __init__(self, interface: Any, speed: float, force: float) -> None:
        self.interface, self.speed, self.force = interface, speed, force
        self.wish: float | None = None
        self.told: float | None = None
        self.width, self.error, self.asked = 0.0, "", None
        self.read()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while not self.error:
            self.asked = time.monotonic()
            try:
                moving = self.read()
                wish = self.wish
                if wish is not None and wish != self.told and not moving:
                    self.told = wish
                    self.give(wish)
                    time.sleep(0.1)  # until it shows as moving
            except Exception as error:
                self.error = "the gripper is lost: " + one_line(error)
            time.sleep(0.02)

    def read(self) -> bool:
        state = self.interface.get_state()
        self.width = float(state.width)
        return state.is_moving

    def give(self, wish: float) -> None:
        if wish <= 0:  # close with force on whatever is there
            self.interface.grasp(speed=self.speed, force=self.force, blocking=False)
        else:
            self.interface.goto(width=wish, speed=self.speed, force=self.force, blocking=False)

    def state(self) -> dict[str, Any]:
        late = self.asked is not None and time.monotonic() - self.asked > WAITING
        error = self.error or ("the gripper takes no command" if late else "")
        return {"width": self.width, "error": error}


class ServedArm:
    """What can be asked: the methods named in ASKS."""

    ASKS = ("state", "wrong", "send", "grip", "hold", "begin", "start", "home")

    def __init__(self, robot: Any, gripper: Gripper, tensor: Callable[[Any], Any]) -> None:
        self.robot, self.gripper, self.tensor = robot, gripper, tensor
        self.holds = True  # where it was told to hold, or where its controller was started
        self.goes_home = False
        self.begun = False  # whether a controller was ever started

    def state(self) -> dict[str, Any]:
        state = self.robot.get_robot_state()
        position, quaternion = self.robot.get_ee_pose()
        return {
            "time": _seconds(state.timestamp),
            "position": floats(position),
            "quaternion": floats(quaternion),
            "joints": floats(state.joint_positions),
            "error_code": int(state.error_code),
            "running": bool(self.robot.is_running_policy()),
            "gripper": self.gripper.state(),
        }

    def wrong(self) -> str:
        """Why nothing may be started unless a person says so: "" for nothing.

        In a reflex the state stands still at first; then the error is cleared, by Polymetis, and no controller runs.
        """
        if not self.tells():
            return "the arm's state stands still"
        code = int(self.robot.get_robot_state().error_code)
        if code:
            return f"error code {code}"
        return "no controller runs" if self.begun and not self.robot.is_running_policy() else ""

    def tells(self) -> bool:
        """Whether the arm's state is a new one within a moment."""
        first, until = _seconds(self.robot.get_robot_state().timestamp), time.monotonic() + NEWS
        while _seconds(self.robot.get_robot_state().timestamp) == first:
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True

    def send(self, position: list[float], quaternion: list[float], width: float) -> None:
        numbers = floats(position) + floats(quaternion) + floats([width])
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a target that is not finite")
        self.holds = False
        if self.robot.update_desired_ee_pose(position=self.tensor(position), orientation=self.tensor(quaternion)) == -1:
            raise ValueError("no joint angles reach the target: nothing was sent")
        self.gripper.wish = float(width)

    def hold(self) -> None:
        """Hold the arm where it is, once: told so again and again, a loaded arm would sink.

        By joints, not by pose: that cannot fail for want of an inverse. Where no controller runs, nothing of ours moves
        the arm, and none is started.
        """
        if self.holds:
            return
        self.gripper.wish = None
        if self.robot.is_running_policy():
            if not self.goes_home:
                self.robot.update_desired_joint_positions(self.robot.get_joint_positions())
            elif self.tells():
                self.start()  # in place of the way home, which takes no updates
            else:
                raise RuntimeError("the arm's state stands still on the way home: it may have stopped itself")
        self.holds = True

    def begin(self) -> None:
        """A client came: start, unless something is wrong, which is then for a person to see."""
        if not self.wrong():
            self.start()

    def start(self) -> None:
        """An update before any controller was set would crash Polymetis' server: so this comes first."""
        self.begun = True
        self.robot.start_cartesian_impedance()
        self.holds, self.goes_home = True, False

    def grip(self, width: float) -> None:
        """Before the way home. Given anew although it was told so before: that may have ended short."""
        self.holds = False
        self.gripper.wish = float(width)
        self.gripper.told = None

    def home(self, joints: list[float]) -> None:
        """Sets out, at an eighth of the joints' speed; it is there when no controller runs any more."""
        wrong = self.wrong()
        if wrong:
            raise RuntimeError(wrong + ": look at the arm, then let it recover")
        self.holds, self.goes_home = False, True
        self.robot.move_to_joint_positions(self.tensor(joints), blocking=False)


def floats(values: Iterable[Any]) -> list[float]:
    """Plain numbers, of a tensor's or a list's."""
    return [float(value) for value in values]


def _seconds(stamp: Any) -> float:
    """Seconds of a protobuf Timestamp."""
    return stamp.seconds + 1e-9 * stamp.nanos


def one_line(error: Any) -> str:
    """grpc's own errors say what they mean in details()."""
    said = error.details() if callable(getattr(error, "details", None)) else str(error)
    return " ".join((said or type(error).__name__).split())


def answered(arm: ServedArm, line: bytes) -> dict[str, Any]:
    """The answer to one line of JSON: {"ok": ...}, or {"error": "..."} for whatever went wrong."""
    try:
        ask = json.loads(line)
        name = ask.pop("ask")
        if name not in ServedArm.ASKS:
            raise ValueError(f"no such question: {name}")
        return {"ok": getattr(arm, name)(**ask)}
    except Exception as error:
        return {"error": one_line(error)}


def _held(arm: ServedArm) -> None:
    """Hold the arm; where that fails, say so on the screen and go on."""
    try:
        arm.hold()
    except Exception as error:
        print("the arm could not be held: " + one_line(error), flush=True)


def serve(arm: ServedArm, connection: socket.socket) -> None:
    """Until the client is gone. Holds the arm whenever it falls silent, and in the end."""
    connection.settimeout(SILENCE)
    left = b""
    try:
        while True:
            try:
                got = connection.recv(65536)
            except socket.timeout:  # noqa: UP041 (another class before Python 3.10)
                _held(arm)
                continue
            if not got:
                return
            *lines, left = (left + got).split(b"\n")
            for line in lines:
                connection.sendall(json.dumps(answered(arm, line)).encode() + b"\n")
    except OSError as error:
        print(f"the client is lost: {error}", flush=True)
    finally:
        _held(arm)
        connection.close()


def main() -> None:
    """Own the arm, and serve one client after another until the process is ended."""
    parser = argparse.ArgumentParser(description="Owns a Franka arm through Polymetis.")
    parser.add_argument("--robot", default="localhost", help="address of Polymetis' robot server")
    parser.add_argument("--robot-port", type=int, default=50051)
    parser.add_argument("--gripper", default="", help="address of Polymetis' gripper server, where it is another")
    parser.add_argument("--gripper-port", type=int, default=50052)
    parser.add_argument("--host", default="127.0.0.1", help="where clients may connect")
    parser.add_argument("--port", type=int, default=50080, help="0: any free one")
    parser.add_argument("--speed", type=float, default=0.05, help="of the gripper, m/s")
    parser.add_argument("--force", type=float, default=20.0, help="of the gripper, N")
    options = parser.parse_args()

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path = [path for path in sys.path if os.path.abspath(path or ".") != here]  # there, polymetis.py is the client
    polymetis, torch = importlib.import_module("polymetis"), importlib.import_module("torch")

    robot = polymetis.RobotInterface(ip_address=options.robot, port=options.robot_port)
    fingers = polymetis.GripperInterface(ip_address=options.gripper or options.robot, port=options.gripper_port)
    arm = ServedArm(robot, Gripper(fingers, options.speed, options.force), torch.Tensor)
    gc.collect()
    gc.freeze()  # torch's half a million objects: to go through them takes 0.3 s, in which no thread moves
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((options.host, options.port))
    listener.listen(1)
    print("listening on {}:{}".format(*listener.getsockname()), flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        serve(arm, connection)


if __name__ == "__main__":
    main()
