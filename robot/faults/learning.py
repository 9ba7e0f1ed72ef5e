"""Faults of a session that learns: of the learner and the reward beside it, its disk, a hand, its arm and cameras.

One session has many episodes, and a fault in each of them but the first; where one ends it, the same session is begun
again on the same folder. Of each: no limit broken, the episode on disk and with the learner, told by name. Of a session
whose faults change no episode: in the end its learner is, byte for byte, that of a session nothing happened to.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpr.core.checkpoints import last_checkpoint
from mpr.core.checksums import CHECKSUM_FILE
from mpr.core.config import as_dict
from mpr.core.data.episode_folder import load_episode
from mpr.core.errors import BadClip, UserError
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder, read_metrics
from robot.faults import arm, camera
from robot.faults.arm import FaultyArm
from robot.faults.beside import DISK, LEARNER_PART, REWARD, UNPLUGGED, Injection
from robot.faults.camera import FaultyCamera
from robot.faults.campaign import Attending, CaseResult, screen
from robot.faults.catalogue import EXPECTED_EVENTS, LONG, SHORT
from robot.faults.judge import Judged
from robot.faults.trigger import Trigger
from robot.learning.config import LEARNER, POLICY, SessionConfig
from robot.learning.report import given_episodes
from robot.learning.session import HAND_EVENT, LearningSession
from robot.learning.signal import EpisodeSignal, MotionSignal
from robot.policies.named import base_policy
from robot.practice.twin import PunctualOperator, lockstep
from robot.recording.recorder import DiskFull, Recorder, episode_folders
from robot.session import session_environment
from robot.station import Station, named_station
from robot.teleop.device import NO_NUMBERS

LEARNING_STEPS = 14  # of an episode
_BEGINS = (1, 3, 6, 10)  # steps on which faults begin, round by round
_ROUNDS = {LEARNER_PART: 6, REWARD: 6, DISK: 6, HAND_EVENT: 12, "arm": 6, "world": 5, "wrist": 5}
_KINDS = {
    LEARNER_PART: ("killed in an episode", "killed as it is given one", "killed as it writes", "killed as it learns"),
    REWARD: ("killed in an episode", "killed as it is asked"),
    DISK: ("no room for what is learned from", "no room for the episode"),
    HAND_EVENT: ("unplugged", "not a number", "huge", "to and fro", "never lets go"),
    "arm": arm.ARM_FAULTS,
    "world": camera.CAMERA_FAULTS,
    "wrist": camera.CAMERA_FAULTS,
}
_TOGETHER = ((LEARNER_PART, REWARD, DISK), (HAND_EVENT,), ("arm",), ("world",), ("wrist",))  # parts of one session
_TOLD = {LEARNER_PART: {"learner gone"}, REWARD: {"reward gone"}, DISK: {"DiskFull"}}
_TROUBLED = {"unplugged": {UNPLUGGED}, "not a number": {NO_NUMBERS}}  # of hands, in what words


@dataclass(frozen=True)
class LearningCase:
    """One fault of a session that learns."""

    part: str
    kind: str
    step: int  # of its episode, on which it begins
    round: int

    @property
    def name(self) -> str:
        return f"learning, {self.part}: {self.kind}, after step {self.step}, round {self.round}"

    @property
    def told_as(self) -> set[str]:
        """Of which one has to be told; empty: only limits catch it, and nothing need be said."""
        if self.part in _TOLD:
            return _TOLD[self.part]
        if self.part == HAND_EVENT:
            return _TROUBLED.get(self.kind, set())
        return {str(kind) for kind in EXPECTED_EVENTS.get(self.kind, ())}


def learning_catalogue() -> Iterator[tuple[LearningCase, ...]]:
    """Every fault, those of one session together."""
    for parts in _TOGETHER:
        for number in range(max(_ROUNDS[part] for part in parts)):
            yield tuple(
                LearningCase(part, kind, _begins(kind, number), number) for part in parts for kind in _KINDS[part]
            )


def _begins(kind: str, number: int) -> int:
    """The step on which it begins; an image that stands still shows once the arm has moved."""
    return _BEGINS[0] if kind == camera.UNMOVED else _BEGINS[number % len(_BEGINS)]


def run_learning(cases: Sequence[LearningCase], root: Path, size: int, seed: int) -> Iterator[CaseResult]:
    """What became of each fault of one session, in an empty folder."""
    apart = all(case.part in _TOLD for case in cases)
    todo = list(cases)
    config = learning_config(root, 1 + len(cases), size, seed)
    while not (
        root / POLICY
    ).exists():  # the last that a session leaves: it is typed again until it has ended by itself
        before = len(todo)
        yield from _Attempt(config, todo, seen=apart).results()
        if len(todo) == before and not (root / POLICY).exists():
            raise UserError(f"the session in {root} does not go on: {todo[0].name if todo else 'it settles nothing'}")
    if apart and (other := differs_from_unbroken(root, size, seed, len(cases))):
        raise UserError(f"{other} of the session in {root} is not what it is where nothing happens")


def learning_config(out: Path, episodes: int, size: int, seed: int) -> SessionConfig:
    """A short session on the simulated arm, all of it at once: no trained policy, no trained reward."""
    settings = "warmup_steps=10 utd=4 batch=8 buffer=4000"
    asked = {"episodes": episodes, "step_limit": LEARNING_STEPS, "settings": settings, "schedule": "fixed"}
    return SessionConfig(**asked, size=size, seed=seed, out=out).resolved()


def differs_from_unbroken(root: Path, size: int, seed: int, episodes: int) -> str:
    """Which of the learner and the settled policy is another than that of a session without faults; "" for none."""
    whole = root.with_name("unbroken")
    if not (whole / POLICY).exists():
        with screen():
            _Attempt(learning_config(whole, 1 + episodes, size, seed), [], seen=True).results()
    found = {name: [last_checkpoint(run / name) for run in (whole, root)] for name in (LEARNER, POLICY)}
    for name, folders in found.items():
        sums = [folder and (folder / CHECKSUM_FILE).read_bytes() for folder in folders]
        if sums[0] is None or sums[0] != sums[1]:
            return name
    return ""


class _Attempt:
    """A session on one folder, as long as it goes on; `todo` loses each fault that was tried.

    `seen`: with a motion reward beside it, through a camera; else it is paid for time alone.
    """

    def __init__(self, config: SessionConfig, todo: list[LearningCase], seen: bool) -> None:
        self.config, self.todo, self.seen = config, todo, seen
        self.run = RunFolder(config.out, "robot session", as_dict(config), ("out",))
        self.run.reopen()

    def results(self) -> list[CaseResult]:
        """A row a fault. What the session raises that was not injected is a fault's error."""
        with ExitStack() as stack:
            stack.enter_context(cpu_threads(1))
            at = stack.enter_context(named_station(self.config))
            base = stack.enter_context(base_policy(self.config.base, at, ahead=False))
            self.at = self._faulty(at)
            for part in (self.at.arm, *self.at.cameras):
                stack.enter_context(part)
            env = session_environment(self.config, self.at, base, self.run, LEARNING_STEPS, policy=self.config.base)
            signal = self._signal(stack)
            recorder = Recorder(self.config.out / "episodes")
            self.session = _FaultySession(self, env, recorder, signal)
            self.shown = stack.enter_context(screen())
            return self._watched(self.shown)

    def _watched(self, shown: Any) -> list[CaseResult]:
        found: list[CaseResult] = []
        self.session.over = lambda injection: found.append(self._result(injection, shown.getvalue()))
        try:
            self.session.practise()
        except DiskFull as error:
            self._broke_off(found, shown.getvalue(), "DiskFull", str(error))
        except Exception as error:  # whatever it is: it is what the campaign is there to find
            self._broke_off(found, shown.getvalue(), "", f"{type(error).__name__}: {error}")
        return found

    def screen_length(self) -> int:
        """Of what was printed so far."""
        return len(self.shown.getvalue())

    def _broke_off(self, found: list[CaseResult], shown: str, ended: str, error: str) -> None:
        if (injection := self.session.injection) is None:
            raise UserError(f"the session in {self.config.out} broke off by itself: {error}")
        injected = injection.case.part == DISK and ended == "DiskFull"
        found.append(self._result(injection, shown, ended, "" if injected else error))

    def _signal(self, stack: ExitStack) -> EpisodeSignal:
        from rl.residual.rewards import find_reward
        from robot.faults.beside import untrained_reward

        if not self.seen:
            return EpisodeSignal(find_reward("none", self.config.learner().setting))
        reward = untrained_reward(self.config)
        stack.enter_context(reward)
        return MotionSignal(reward, self.config.camera)

    def _faulty(self, at: Station) -> Station:
        """The station with everything between that can be hit, and a judge beside the arm."""
        self.never = Trigger(at.clock, 0)
        self.judge = Judged(at.arm, self.config.limits, at.clock)
        self.operator = Attending(PunctualOperator(lockstep(at.clock)), at.clock)
        cameras = tuple(FaultyCamera(one, "", self.never) for one in at.cameras)
        return dataclasses.replace(
            at, arm=FaultyArm(self.judge, "", self.never), cameras=cameras, operator=self.operator
        )

    def hit(self, case: LearningCase) -> None:
        """Have arm or camera fail from that step's command on."""
        self.trigger = Trigger(self.at.clock, case.step, LONG if case.kind == camera.UNMOVED else SHORT)
        for part in (self.at.arm, *self.at.cameras):
            assert isinstance(part, FaultyArm | FaultyCamera)
            name = "arm" if isinstance(part, FaultyArm) else part.features.name
            part.kind, part.trigger = case.kind if name == case.part else "", self.never
            if name == case.part or name == "arm":  # the arm counts the commands
                part.trigger = self.trigger

    def _result(self, injection: Injection, shown: str, ended: str = "", error: str = "") -> CaseResult:
        """What became of the fault in the episode that is over."""
        case = injection.case
        self.todo.remove(case)
        self.session.injection = None
        rows = [row for row in read_metrics(self.run.path) if row.get("what") == "event"][injection.events :]
        said = [row for row in rows if row["message"] in shown[injection.shown :]]
        told = {str(row[name]) for row in said for name in ("kind", "message")} | ({ended} if ended else set())
        whole = {number for number, folder in episode_folders(self.config.out / "episodes").items() if _whole(folder)}
        said_saved = sum(line.startswith("episode_") for line in self.operator.lines[injection.lines :])
        return CaseResult(
            case=case.name,
            happened=injection.happened,
            events=list(dict.fromkeys(str(row["kind"]) for row in rows)),
            named=bool(told & case.told_as) if case.told_as else None,
            commands=self.judge.commands - injection.commands,
            broken=self.judge.broken[injection.broken :][:3],
            calls=list(self.judge.calls),
            recoveries=self.judge.recoveries,
            answers=self.operator.recoveries,
            saved=len(whole & given_episodes(self.config.out)) - injection.episodes,
            said_saved=said_saved,
            least=0 if ended else 1,  # a disk without room: the episode under way, and that is said
            ended=ended,
            error=error,
        )


def _whole(folder: Path) -> bool:
    try:
        load_episode(folder, verify=True)
    except BadClip:
        return False
    return True


class _FaultySession(LearningSession):
    """The session, which begins each of its episodes with the next fault, and tells when the episode is over."""

    def __init__(self, attempt: _Attempt, env: Any, recorder: Recorder, signal: EpisodeSignal) -> None:
        super().__init__(attempt.config, env, recorder, attempt.run, signal)
        self.attempt = attempt
        self.injection: Injection | None = None
        self.over: Any = lambda injection: None

    def _episodes(self, began: float) -> None:
        begin, act, numbers = self.practising.begin, self.practising.act, itertools.count(1)

        def beginning(seed: int) -> None:
            begin(seed)
            nonlocal numbers
            numbers = itertools.count(1)
            if self.recorder.whole and self.attempt.todo and self.injection is None:
                self._inject(self.attempt.todo[0])

        def acting(observation: Any) -> Any:
            if self.injection is not None:
                self.injection.at_step(next(numbers))
            return act(observation)

        self.practising.begin, self.practising.act = beginning, acting  # type: ignore[method-assign]
        super()._episodes(began)

    def _inject(self, case: LearningCase) -> None:
        attempt = self.attempt
        events = sum(row.get("what") == "event" for row in self.run.metrics())
        counts = {"events": events, "episodes": len(self.recorder.whole)}
        counts |= {"commands": attempt.judge.commands, "broken": len(attempt.judge.broken)}
        counts |= {"lines": len(attempt.operator.lines), "shown": attempt.screen_length()}
        self.injection = Injection(case, self, **counts)
        if case.part in ("arm", "world", "wrist"):
            attempt.hit(case)

    def _learn_from_the_last(self) -> None:
        super()._learn_from_the_last()
        if (injection := self.injection) is not None:
            if injection.case.part in ("arm", "world", "wrist"):
                injection.happened = self.attempt.trigger.happened
            injection.undo()
            self.over(injection)
