"""An episode while it happens: everything that is kept of it, made an `Episode` at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.step_log import AND, StepLog
from robot.hardware.action import RobotAction
from robot.hardware.arm import ArmState
from robot.hardware.clock import Beat
from robot.safety.guard import Event, Held, Sent
from robot.safety.watch import Seen
from robot.teleop.operator import Mark


def state_vector(state: ArmState) -> NDArray[np.float64]:
    """[8]: position, quaternion xyzw, gripper width: what policies know of the arm."""
    return np.concatenate([state.pose.position, state.pose.quaternion, [state.width]])


class EpisodeBuffer:
    """T actions between T+1 views of arm and cameras, in memory until the episode is over."""

    def __init__(
        self, seed: int = 0, task: str = "", rate_hz: float = 0.0, about: Mapping[str, Any] | None = None
    ) -> None:
        self.seed, self.task, self.rate_hz, self.about = seed, task, rate_hz, about or {}  # JSON values
        self._seen: list[Seen] = []
        self._stale: list[tuple[str, ...]] = []  # of each view: cameras, or "state", that were too old
        self._actions: list[tuple[RobotAction, RobotAction, RobotAction]] = []
        self._sent_at: list[float] = []
        self._outcomes: list[Sent | Held] = []
        self._beats: list[Beat] = []
        self._led: list[bool] = []

    def __len__(self) -> int:
        return len(self._actions)

    def saw(self, seen: Seen, stale: tuple[str, ...]) -> None:
        self._seen.append(seen)
        self._stale.append(stale)

    def acted(
        self,
        base: RobotAction,
        residual: RobotAction,
        executed: RobotAction,
        outcome: Sent | Held,
        at: float,
        beat: Beat,
        led: bool = False,
    ) -> None:
        """A step: what was asked for, what was really sent, [8] each; `led`: by a hand."""
        self._actions.append((np.nan_to_num(base, posinf=1, neginf=-1), residual, executed))
        self._sent_at.append(at)
        self._outcomes.append(outcome)
        self._beats.append(beat)
        self._led.append(led)

    def episode(self, success: bool, truncated: bool, mark: Mark | None, fault: Event | None, overruns: int) -> Episode:
        """All of it. `times` are the clock's, from the episode's first view; `about` says what went wrong."""
        base, residual, executed = (np.array(column, np.float64) for column in zip(*self._actions, strict=True))
        times = np.array([seen.time for seen in self._seen])
        ended = {
            "mark": mark.value if mark else "",
            "fault": f"{fault.kind}: {fault.message}" if fault else "",
            "overruns": overruns,
        }
        return Episode(
            frames={name: _Views(self._seen, name) for name in self._seen[0].images},
            states=np.array([state_vector(seen.state) for seen in self._seen]),
            times=times - times[0],
            base_actions=base,
            residual_actions=residual,
            executed_actions=executed,
            terminated=success,
            truncated=truncated,
            success=success,
            log=self._log(times[0]),
            seed=self.seed,
            task=self.task,
            rate_hz=self.rate_hz,
            about={**self.about, **ended},
        )

    def _log(self, start: float) -> StepLog:
        """Seconds from the episode's first view, before which what it shows was measured."""
        seen, outcomes = self._seen, self._outcomes
        old = sorted({name for stale in self._stale for name in stale})
        return StepLog(
            held=np.array([one.event.kind if isinstance(one, Held) else "" for one in outcomes]),
            met=np.array([AND.join(one.met) if isinstance(one, Sent) else "" for one in outcomes]),
            sent_s=np.array(self._sent_at) - start,
            late_s=np.array([beat.late for beat in self._beats]),
            led=np.array(self._led) if any(self._led) else None,
            missed=np.array([beat.missed for beat in self._beats]),
            state_s=np.array([one.state.time for one in seen]) - start,
            joints_rad=np.array([one.state.joints for one in seen], np.float64),
            stale={name: np.array([name in stale for stale in self._stale]) for name in old},
            frame_s={c: np.array([one.images[c].time for one in seen]) - start for c in seen[0].images},
        )


class _Views:
    """A camera's images as a FrameSource: the very ones that were seen, not a copy."""

    def __init__(self, seen: Sequence[Seen], camera: str) -> None:
        self._images = [one.images[camera].image for one in seen]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        return self._images[t]
