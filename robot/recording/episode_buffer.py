"""An episode while it happens: everything that is kept of it, made an `Episode` at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.episode import Episode
from robot.action import Action
from robot.arm import ArmState
from robot.clock import Beat
from robot.operator import Mark
from robot.safety.guard import Event, Held, Sent
from robot.safety.watch import Seen


def state_vector(state: ArmState) -> NDArray[np.float64]:
    """[8]: position, quaternion xyzw, gripper width: what policies know of the arm."""
    return np.concatenate([state.pose.position, state.pose.quaternion, [state.width]])


class Kept:
    """T actions between T+1 views of arm and cameras, in memory until the episode is over."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about  # JSON values
        self._seen: list[Seen] = []
        self._stale: dict[str, list[int]] = {}  # camera, or "state" -> views in which it was too old
        self._actions: list[tuple[Action, Action, Action]] = []
        self._sent_at: list[float] = []
        self._unsent: list[bool] = []
        self._late: list[float] = []
        self._missed = 0
        self._met: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._actions)

    def saw(self, seen: Seen, stale: tuple[str, ...]) -> None:
        for name in stale:
            self._stale.setdefault(name, []).append(len(self._seen))
        self._seen.append(seen)

    def acted(
        self, base: Action, residual: Action, executed: Action, outcome: Sent | Held, at: float, beat: Beat
    ) -> None:
        self._actions.append((np.nan_to_num(base, posinf=1, neginf=-1), residual, executed))
        self._sent_at.append(at)
        self._unsent.append(isinstance(outcome, Held))
        self._late.append(beat.late)
        self._missed += beat.missed
        self._met.update(outcome.met if isinstance(outcome, Sent) else ())
        self._held.update([outcome.event.kind] if isinstance(outcome, Held) else ())

    def episode(self, success: bool, truncated: bool, mark: Mark | None, fault: Event | None, overruns: int) -> Episode:
        """All of it. `times` are the clock's, from the episode's first view; `about` tells what went wrong."""
        base, residual, executed = (np.array(column, np.float64) for column in zip(*self._actions, strict=True))
        times = np.array([seen.time for seen in self._seen])
        lateness = np.percentile(self._late, [50, 99, 100])
        told = {
            "mark": mark.value if mark else "",
            "fault": f"{fault.kind}: {fault.message}" if fault else "",
            "held": dict(self._held),
            "unsent": self._unsent,  # of each action: the arm was held instead
            "met": dict(self._met),
            "stale": self._stale,
            # Seconds from the episode's first view, before which what it shows was measured:
            "state_times": rounded(seen.state.time - times[0] for seen in self._seen),
            "picture_times": {name: self._picture_times(name, times[0]) for name in self._seen[0].pictures},
            "sent_times": rounded(at - times[0] for at in self._sent_at),
            "joints": [rounded(seen.state.joints) for seen in self._seen],
            "late": rounded(self._late),
            "late_s": dict(zip(("median", "p99", "worst"), lateness.tolist(), strict=True)),
            "overruns": overruns,
            "missed": self._missed,
        }
        return Episode(
            frames={name: Views(self._seen, name) for name in self._seen[0].pictures},
            states=np.array([state_vector(seen.state) for seen in self._seen]),
            times=times - times[0],
            base_actions=base,
            residual_actions=residual,
            executed_actions=executed,
            terminated=success,
            truncated=truncated,
            success=success,
            about=self.about | told,
        )

    def _picture_times(self, name: str, start: float) -> list[float]:
        return rounded(seen.pictures[name].time - start for seen in self._seen)


class Views:
    """A camera's pictures as a FrameSource: the very ones that were seen, not a copy."""

    def __init__(self, seen: Sequence[Seen], camera: str) -> None:
        self._pictures = [one.pictures[camera].image for one in seen]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        return self._pictures[t]


def rounded(values: Iterable[float]) -> list[float]:
    """To a microsecond, or a microradian."""
    return [round(float(value), 6) for value in values]
