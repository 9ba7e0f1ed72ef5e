"""A Franka arm through Polymetis, the paper's controller, which lives in another Python.

`polymetis_server.py`, to be started there, owns it, and this speaks to that.

Polymetis knows only the flange; poses here are of the end effector between the finger tips, as franky has them. After
a reflex Polymetis clears the error by itself and runs no controller: that shows as mode OTHER, and stays until a person
lets it recover: neither home, nor stop, nor entering starts one.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from robot.arms.franka import (
    FRANKA_HOME_POSE,
    FRANKA_HOME_RAD,
    HAND,
    HAND_WIDEST_M,
    HOMED,
    StateStamp,
    applied,
    inverse,
    normal,
    wished,
)
from robot.arms.registry import ArmDriver, Reached
from robot.hardware.arm import ArmError, ArmFeatures, ArmState, Mode, Target
from robot.hardware.clock import Clock, WallClock
from robot.hardware.pose import Pose

FLANGE = inverse(HAND)  # in the end effector's frame
_ANSWER = 0.1  # seconds: a control period
_LONG = 20.0  # seconds, for questions that make Polymetis compile a controller
WAY_HOME = 60.0
_STILL = 0.3  # seconds for which no state is new on the way home: Polymetis takes 1 s and more to clear a reflex
_OPENING = 0.01  # metres by which an open hand may fall short


class _Busy(ArmError):
    """Another thread's question takes its time."""


class PolymetisArm:
    """An `Arm` behind the polymetis_server.py that listens at `host` and `port`.

    Once the server is lost, every call says so, at once, until `recover` finds it again. An arm that is entered with
    something wrong is connected but not controlled; `recover` starts the controller.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 50080, clock: Clock | None = None) -> None:
        self.host, self.port, self.clock = host, port, clock or WallClock()
        self._socket: socket.socket | None = None
        self._unread = b""
        self._lock = threading.Lock()  # of the question under way
        self._stamp = StateStamp()
        self._last: ArmState | None = None
        self._told = HAND_WIDEST_M
        self._going_home = self._stopped = False

    @property
    def features(self) -> ArmFeatures:
        return ArmFeatures("polymetis", real=True, home=FRANKA_HOME_POSE)

    def __enter__(self) -> PolymetisArm:
        try:
            self._connect()
            self._ask("begin", _LONG)
            self._told = self.state().width
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ArmError):
            self.stop()
        self._drop()

    def state(self) -> ArmState:
        asked = self.clock.now()
        try:
            said = self._ask("state")
        except _Busy:
            if self._last is None:
                raise
            return self._last
        errors = [f"error code {said['error_code']}"] if said["error_code"] else []
        errors += [said["gripper"]["error"]] if said["gripper"]["error"] else []
        if not said["running"] and not self._going_home:
            errors.append("no controller runs")
        mode = Mode.MOVING if said["running"] or self._going_home else Mode.OTHER
        try:
            flange = Pose(said["position"], normal(said["quaternion"]))
            joints, width = np.array(said["joints"], np.float64), float(said["gripper"]["width"])
            if joints.shape != (7,) or not np.isfinite([*joints, width]).all():
                raise ValueError(f"joints {joints} rad, gripper {width} m")
        except ValueError as error:
            raise ArmError(f"the arm's state is none: {error}") from error
        when = self._stamp.of(said["time"], asked)
        self._last = ArmState(applied(flange, HAND), joints, width, when, mode, tuple(errors))
        return self._last

    def send(self, target: Target) -> Target:
        pose = Pose(target.pose.position, normal(target.pose.quaternion))
        width = wished(target.width, self._told, HAND_WIDEST_M)
        flange = applied(pose, FLANGE)
        self._ask("send", position=list(flange.position), quaternion=list(flange.quaternion), width=width)
        self._told = width
        return Target(pose, width)

    def stop(self) -> None:
        """Hold: the joints measured now become the controller's target, and stay it however often it is said."""
        self._stopped = True
        self._ask("hold")

    def home(self) -> None:
        if wrong := self._ask("wrong"):
            raise ArmError(f"the arm does not go home: {wrong}: look at it, then let it recover")
        self._going_home, self._stopped = True, False
        until = time.monotonic() + WAY_HOME
        try:
            self._ask("grip", width=HAND_WIDEST_M)
            self._told = HAND_WIDEST_M
            self._arrive(
                until, lambda said: said["gripper"]["width"] > HAND_WIDEST_M - _OPENING, "the gripper did not open"
            )
            self._ask("home", _LONG, joints=list(FRANKA_HOME_RAD))
            self._arrive(until, lambda said: not said["running"], "the arm is not home")
        except BaseException:
            with suppress(ArmError):
                self.stop()
            raise
        finally:
            self._going_home = False
        off = float(np.abs(self.state().joints - FRANKA_HOME_RAD).max())
        if off > HOMED:
            raise ArmError(f"the arm stopped on its way home: a joint is {off:.2f} rad off")
        self._ask("start", _LONG)

    def recover(self) -> None:
        """Find the server where it was lost, and start the impedance controller where the arm stands."""
        self._connect()
        self._ask("start", _LONG)
        self._told = self.state().width

    def _connect(self) -> None:
        if self._socket is not None:
            return
        try:
            self._socket = socket.create_connection((self.host, self.port), _LONG)
        except (OSError, UnicodeError) as error:  # the latter: of what is no host name
            where = f"{self.host}:{self.port}"
            raise ArmError(f"no Polymetis server at {where} ({error}): start polymetis_server.py there") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread, self._stamp = b"", StateStamp()

    def _arrive(self, until: float, there: Callable[[dict[str, Any]], bool], otherwise: str) -> None:
        """Wait. What may have been a reflex is no arrival: the arm's state stands still in one, and then none is told
        of any more."""
        newest, since = None, 0.0
        while True:
            said, now = self._ask("state"), time.monotonic()
            newest, since = (newest, since) if said["time"] == newest else (said["time"], now)
            wrong = "stopped" if self._stopped else "too long" if now > until else ""
            wrong = wrong or (f"error code {said['error_code']}" if said["error_code"] else "")
            wrong = wrong or ("the arm's state stands still" if now - since > _STILL else "")
            if wrong:
                raise ArmError(f"{otherwise}: {wrong}")
            if there(said):
                return
            time.sleep(0.05)

    def _ask(self, ask: str, seconds: float = _ANSWER, **what: Any) -> Any:
        """One question, one answer. Raises ArmError: in the server's words, or where the server is lost."""
        if not self._lock.acquire(timeout=_ANSWER):
            raise _Busy("the Polymetis server is busy with another question")
        try:
            line = json.dumps({"ask": ask, **what}, allow_nan=False).encode() + b"\n"
            answer = json.loads(self._exchanged(line, time.monotonic() + seconds))
        except (OSError, ValueError) as error:  # half an answer, or a late one, would be taken for the next one's
            self._drop()
            raise ArmError(f"the Polymetis server at {self.host}:{self.port} is lost: {error}") from error
        finally:
            self._lock.release()
        if "error" in answer:
            raise ArmError(f"Polymetis: {answer['error']}")
        return answer["ok"]

    def _exchanged(self, line: bytes, until: float) -> bytes:
        if self._socket is None:
            raise OSError("not connected")
        self._socket.settimeout(max(until - time.monotonic(), 0.001))
        self._socket.sendall(line)
        while b"\n" not in self._unread:
            self._socket.settimeout(max(until - time.monotonic(), 0.001))
            got = self._socket.recv(65536)
            if not got:
                raise OSError("it closed the connection")
            self._unread += got
        answer, _, self._unread = self._unread.partition(b"\n")
        return answer

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _reached(at: Reached) -> PolymetisArm:
    host, _, port = at.host.partition(":")
    return PolymetisArm(host, int(port), at.clock)


POLYMETIS = ArmDriver(_reached, host="HOST:PORT of its server", host_form=r"[^:]*:\d+")
