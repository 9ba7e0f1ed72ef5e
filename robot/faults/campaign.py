"""One fault, one session of two episodes on the simulated arm, and what became of it."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.core.data.episode_folder import load_episode
from mpr.core.runs import RunFolder, read_metrics
from robot.environment import FrankaEnv
from robot.faults import loop, real_time
from robot.faults.arm import FaultyArm
from robot.faults.camera import FaultyCamera
from robot.faults.catalogue import CASE_EPISODES, Case
from robot.faults.judge import Judged
from robot.faults.policy import FaultyPolicy
from robot.faults.trigger import Trigger
from robot.hardware.clock import Clock
from robot.policies.named import base_policy
from robot.recording.recorder import Recorder
from robot.safety.watchdog import Watchdog
from robot.session import session, session_environment
from robot.setting import EXPERT
from robot.station import Station, StationConfig, named_station
from robot.teleop.operator import Answer, Mark, Operator

STEPS = 70
THINKS = 0.5  # seconds that a person takes to answer


@dataclass(frozen=True)
class CaseResult:
    """What became of one fault. All but `case`, `events` and `ended` has to be as `bad` wants it."""

    case: str
    happened: bool  # it was injected: the session came that far
    events: list[str]  # kinds told, in order
    named: bool | None  # on the screen and in the log, by a name that fits; none where nothing need be said
    commands: int
    broken: list[str]  # limits, as the judge saw it
    calls: list[str]  # the last ones on the arm, as the judge saw them
    recoveries: int
    answers: int  # of the operator who had it recover
    saved: int  # episodes on disk, whole
    said_saved: int  # episodes that the session said were saved
    least: int = CASE_EPISODES  # episodes that are to be saved
    ended: str = ""  # the error that was injected, where it ended the session
    error: str = ""  # whatever else did, if it was not its end

    @property
    def lost(self) -> int:
        """Episodes."""
        return max(0, self.said_saved - self.saved, self.least - self.saved)

    @property
    def bad(self) -> list[str]:
        """What must not have been."""
        wrong = {
            "the session broke": bool(self.error),
            "a limit was broken": bool(self.broken),
            "it was not named": self.happened and self.named is False,
            "the arm recovered unasked": self.recoveries > self.answers,
            "the arm was not stopped at the end": self.calls[-1:] != ["stop"],
            "an episode was lost": bool(self.lost) or self.saved != self.said_saved,
            "it never happened": not self.happened,
        }
        return [name for name, is_so in wrong.items() if is_so]


@dataclass
class Attending:
    """The operator, who takes a while to answer, and of whom everything is kept."""

    operator: Operator
    clock: Clock
    lines: list[str] = field(default_factory=list)
    recoveries: int = 0

    def begins(self, seed: int) -> None:
        self.operator.begins(seed)

    def mark(self) -> Mark | None:
        return self.operator.mark()

    def ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        self.clock.sleep_until(self.clock.now() + THINKS)
        answer = self.operator.ask(question, answers)
        self.recoveries += answer is Answer.RECOVER
        return answer

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.operator.say(text)


@dataclass
class Attempt:
    """One session with one fault, and all that watches it."""

    case: Case
    config: StationConfig
    at: Station  # the parts themselves, nothing between
    run: RunFolder

    def __post_init__(self) -> None:
        self.trigger = Trigger(self.at.clock, self.case.command, self.case.seconds)
        jitter = real_time.JITTER if self.config.wall else 0.0
        self.judge = Judged(self.at.arm, self.config.limits, self.at.clock, jitter)
        self.operator = Attending(self.at.operator, self.at.clock)
        self.recorder = Recorder(self.run.path / "episodes")


def run_case(case: Case, config: StationConfig) -> CaseResult:
    """Run a session with that fault in it."""
    config = dataclasses.replace(config, real_time=case.on_the_wall)
    ended = error = ""
    with tempfile.TemporaryDirectory(prefix="faults_") as folder, named_station(config) as at, screen() as shown:
        attempt = Attempt(case, config, at, RunFolder(Path(folder) / "run", "robot faults", {}))
        try:
            with ExitStack() as stack:
                env = _entered(attempt, stack)
                for _ in session(env, attempt.recorder, CASE_EPISODES, config.seed):
                    pass
            error = "the session went on after it" if case.breaks_off else ""
        except (loop.Pressed, loop.Mistake) as broke:  # as injected
            ended = type(broke).__bases__[0].__name__
        except Exception as broke:  # whatever it is: it is what the campaign is there to find
            error = f"{type(broke).__name__}: {broke}"
        return found(attempt, shown.getvalue(), ended, error)


def _entered(attempt: Attempt, stack: ExitStack) -> FrankaEnv:
    """The environment with the fault in it, its parts entered as `mpr robot run` enters them."""
    case, trigger, hit = attempt.case, attempt.trigger, faulty(attempt)
    for part in (hit.arm, *hit.cameras):
        stack.enter_context(part)
    policy = stack.enter_context(base_policy(EXPERT, hit, ahead=False))
    if case.part == "policy":
        policy = FaultyPolicy(policy, case.kind, trigger)
    env = session_environment(attempt.config, hit, policy, attempt.run, STEPS)
    if attempt.config.wall:
        stack.enter_context(Watchdog(env.guard))
    if case.part == loop.LOOP_PART:
        loop.break_off(case.kind, env, attempt.recorder, trigger)
    if case.part == real_time.REAL_TIME_PART:
        real_time.inject_real_time(case.kind, attempt.at, env, trigger)
    return env


def faulty(attempt: Attempt) -> Station:
    """The station with the fault put between. The trigger counts the arm's commands, whatever part is hit."""
    case, trigger, at = attempt.case, attempt.trigger, attempt.at
    where, kind = ("world", "freeze") if case.kind == real_time.FROZE else (case.part, case.kind)
    arm = FaultyArm(attempt.judge, kind if where == "arm" else "", trigger)
    cameras = tuple(
        FaultyCamera(camera, kind, trigger) if camera.features.name == where else camera for camera in at.cameras
    )
    return dataclasses.replace(at, arm=arm, cameras=cameras, operator=attempt.operator)


@contextmanager
def screen() -> Iterator[io.StringIO]:
    """What is printed meanwhile, instead of printing it."""
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        yield shown


def found(attempt: Attempt, shown: str, ended: str, error: str) -> CaseResult:
    """What was printed, `shown`, is all that counts as told."""
    case, judge, operator = attempt.case, attempt.judge, attempt.operator
    logged = [row for row in read_metrics(attempt.run.path) if row.get("what") == "event"]
    told = {row["kind"] for row in logged if row["message"] in shown}
    whole = [load_episode(folder, verify=True) for folder in attempt.recorder.whole.values()]
    return CaseResult(
        case=case.name,
        happened=attempt.trigger.happened,
        events=list(dict.fromkeys(row["kind"] for row in logged)),
        named=bool(told & case.told_as) if case.told_as else None,
        commands=judge.commands,
        broken=judge.broken[:3],
        calls=list(judge.calls),
        recoveries=judge.recoveries,
        answers=operator.recoveries,
        saved=len(whole),
        said_saved=sum(line.startswith("episode_") for line in operator.lines),
        least=case.episodes,
        ended=ended,
        error=error,
    )


def as_row(one: CaseResult) -> dict[str, Any]:
    """JSON values, what was bad among them."""
    return json.loads(json.dumps(dataclasses.asdict(one))) | {"lost": one.lost, "bad": one.bad}
