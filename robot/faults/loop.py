"""What can come out of any call that the loop makes: Ctrl-C, and a mistake of ours or of a library."""

from __future__ import annotations

from typing import Any

from robot.environment import FrankaEnv
from robot.faults.trigger import Trigger, once
from robot.recording.recorder import Recorder

LOOP_PART = "loop"
FAULTY_COMMANDS = (
    9,
    75,
)  # after which it comes: in the first episode, which is over after 70 at most, and in the second


class Pressed(KeyboardInterrupt):
    """Ctrl-C that was injected: a person's own ends the campaign."""


class Mistake(RuntimeError):
    """Injected."""


ERRORS = {"Ctrl-C": Pressed, "RuntimeError": Mistake}
_CALLS = ("base policy act", "pace.wait", "operator.mark", "camera.latest", "arm.state", "recorder.save")
LOOP_FAULTS = tuple(f"{error} in {call}" for error in ERRORS for call in _CALLS)


def break_off(kind: str, env: FrankaEnv, recorder: Recorder, trigger: Trigger) -> None:
    """Have that error come out of that call, once, after the trigger's command."""
    error, _, call = kind.partition(" in ")
    holders: dict[str, tuple[Any, str]] = {
        "base policy act": (env.base, "act"),
        "pace.wait": (env.pace, "wait"),
        "operator.mark": (env.operator, "mark"),
        "camera.latest": (env.cameras[-1], "latest"),
        "arm.state": (env.arm, "state"),
        "recorder.save": (recorder, "save"),
    }

    def raising() -> None:
        raise ERRORS[error](f"injected into {call}")

    once(*holders[call], trigger, raising)
