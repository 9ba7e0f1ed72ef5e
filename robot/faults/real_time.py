"""Faults of a session on the wall's clock, with the watchdog beside it.

What hangs, and a simulation that is killed or stopped as a process. Few, since each takes as long as it takes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from typing import Any

from robot.environment import FrankaEnv
from robot.faults.loop import Pressed
from robot.faults.trigger import Trigger, once
from robot.hardware.fault_kind import FaultKind
from robot.station import Station

REAL_TIME_PART = "real time"
COMMAND = 15  # after which it comes
JITTER = 0.03  # seconds between the guard's look at the clock and the judge's
HANGS, STOPPED, FROZEN = 1.5, 2.0, 2.5  # seconds
KILLED, FROZE, CTRL_C = "simulation killed", "camera frozen", "Ctrl-C in pace.wait"
REAL_TIME_EVENTS = {  # kinds of event of which one has to be told
    "policy hangs": {FaultKind.SILENCE},
    "command hangs": {FaultKind.SILENCE},
    KILLED: {FaultKind.ARM_ERROR, FaultKind.CAMERA_ERROR, FaultKind.CANNOT_STOP},
    "simulation stopped": {FaultKind.STALE_STATE, FaultKind.STALE_IMAGE, FaultKind.SILENCE},
    FROZE: {FaultKind.STALE_IMAGE},
    "reflex": {FaultKind.ARM_ERROR},
    CTRL_C: set(),
}


def inject_real_time(kind: str, at: Station, env: FrankaEnv, trigger: Trigger) -> None:
    """Have a fault happen once, after the trigger's command.

    `at` holds the parts themselves, `env` what was put before them: a frozen camera is there already.
    """
    arm: Any = at.arm
    if kind == "policy hangs":
        once(env.base, "act", trigger, lambda: time.sleep(HANGS))
    elif kind == "command hangs":  # in the arm, behind the judge, while the guard waits for it
        once(arm, "send", trigger, lambda: time.sleep(HANGS))
    elif kind == KILLED:
        once(env.pace, "wait", trigger, lambda: os.kill(simulation(), signal.SIGKILL))
    elif kind == "simulation stopped":
        once(env.pace, "wait", trigger, lambda: stop_for_a_while(simulation()))
    elif kind == "reflex":
        once(env.pace, "wait", trigger, lambda: arm.reflex(("cartesian_reflex",)))
    elif kind == CTRL_C:
        once(env.pace, "wait", trigger, press)


def press() -> None:
    """Press Ctrl-C: raise what it raises."""
    raise Pressed("injected into pace.wait")


def simulation() -> int:
    """The process that the simulated arm lives in."""
    (pid,) = (child.pid for child in multiprocessing.active_children() if child.name == "simulation")
    assert pid is not None
    return pid


def stop_for_a_while(pid: int) -> None:
    """Stop a process (SIGSTOP), and let it go on after STOPPED seconds."""
    os.kill(pid, signal.SIGSTOP)
    going_on = threading.Timer(STOPPED, os.kill, (pid, signal.SIGCONT))
    going_on.daemon = True
    going_on.start()
