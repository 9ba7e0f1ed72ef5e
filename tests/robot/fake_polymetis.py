"""A stand-in for the polymetis package, and the server on it in a process of its own.

The stand-in has the signatures of the published client (fairo, polymetis/python/polymetis). It writes down what it is
called with, and reads what is wrong with it from a file. MPR_POLYMETIS_PYTHON names another Python for the server: 3.8.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from robot.arms import polymetis_server

SERVER = Path(polymetis_server.__file__)
FAKE = """
import json, os, time
from types import SimpleNamespace as Made

HERE = os.path.dirname(os.path.abspath(__file__))


def wrong():
    with open(os.path.join(HERE, "wrong.json")) as file:
        return json.load(file)


def log(*what):
    with open(os.path.join(HERE, "log.jsonl"), "a") as file:
        file.write(json.dumps(what) + "\\n")


class RobotInterface:
    def __init__(self, time_to_go_default=1.0, use_grav_comp=True, ip_address="localhost", port=50051,
                 enforce_version=True):
        assert ip_address == "10.0.0.1" and time_to_go_default == 1.0
        self.joints, self.running, self.ends = [0.0, -0.7, 0.0, -2.3, 0.0, 1.6, 0.7], False, None

    def get_robot_state(self):
        time.sleep(wrong().get("slow", 0))
        self.is_running_policy()
        now = wrong().get("time", time.time())
        stamp = Made(seconds=int(now), nanos=int(now % 1 * 1e9))
        joints = [float("nan")] * 7 if wrong().get("nan") else self.joints
        return Made(timestamp=stamp, joint_positions=joints, error_code=wrong().get("error_code", 0))

    def get_joint_positions(self):
        return self.joints

    def get_ee_pose(self):
        return [0.4, 0.1, 0.5], [2.0, 0.0, 0.0, 0.0] if wrong().get("long") else [1.0, 0.0, 0.0, 0.0]

    def is_running_policy(self):
        if wrong().get("stopped"):
            self.running, self.ends = False, None
        if self.ends is not None and time.time() > self.ends and not wrong().get("slow way"):
            self.joints, self.running, self.ends = self.goal, False, None
        return self.running

    def start_cartesian_impedance(self, Kx=None, Kxd=None, **kwargs):
        log("start")
        self.running, self.ends = True, None

    def update_desired_joint_positions(self, positions):
        log("joints", positions)
        if not self.is_running_policy() or self.ends is not None:
            raise RuntimeError("POLYMETIS SERVER ERROR --\\nTried to perform an update with no controller running.")
        return 1

    def update_desired_ee_pose(self, position=None, orientation=None):
        log("pose", position, orientation)
        if wrong().get("no inverse"):
            return -1
        return self.update_desired_joint_positions(self.joints)

    def move_to_joint_positions(self, positions, time_to_go=None, delta=False, Kq=None, Kqd=None, **kwargs):
        log("move", positions, kwargs)
        self.goal, self.running, self.ends = positions, True, time.time() + 0.2


class GripperInterface:
    def __init__(self, ip_address="localhost", port=50052):
        assert ip_address == "10.0.0.1"
        self.width = self.goal = 0.04

    def get_state(self):
        if wrong().get("no gripper"):
            raise RuntimeError("failed to connect to all addresses")
        self.width = self.width if wrong().get("slow hand") else self.goal
        return Made(width=self.width, is_moving=False)

    def goto(self, width, speed, force, blocking=True):
        log("goto", width, blocking)
        self.goal = min(width, wrong().get("obstacle", width))

    def grasp(self, speed, force, grasp_width=0.0, epsilon_inner=-1.0, epsilon_outer=-1.0, blocking=True):
        log("grasp", blocking)
        self.goal = 0.02
"""


class Side:
    """The other side: the server's process, what its arm was called with, what is wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "polymetis.py").write_text(FAKE)
        (folder / "torch.py").write_text("Tensor = list\n")
        self.wrong()
        (folder / "log.jsonl").write_text("")
        command = [os.environ.get("MPR_POLYMETIS_PYTHON", sys.executable), str(SERVER)]
        command += ["--robot", "10.0.0.1", "--port", "0"]
        path = {**os.environ, "PYTHONPATH": str(folder)}
        self.process = subprocess.Popen(command, env=path, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def wrong(self, **what: object) -> None:
        new = self.folder / "new.json"
        new.write_text(json.dumps(what))
        new.replace(self.folder / "wrong.json")

    def log(self) -> list[list]:
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    def count(self, name: str) -> int:
        return sum(line[0] == name for line in self.log())
