"""One fault, one session of two episodes on the simulated arm, and what became of it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.episode import load_episode
from robot.base import EXPERT, base_policy
from robot.clock import Clock
from robot.faults.arm import FaultyArm
from robot.faults.camera import FaultyCamera
from robot.faults.catalogue import Case
from robot.faults.judge import Judged
from robot.faults.policy import FaultyPolicy
from robot.faults.trigger import Trigger
from robot.operator import Answer, Mark, Operator
from robot.recording import Recorder
from robot.run import environment
from robot.session import session
from robot.station import Station, StationConfig, named
from tracking.runs import RunFolder, read_metrics

EPISODES, STEPS = 2, 70
SIZE = 32  # pixels
THINKS = 0.5  # seconds that a person takes to answer


@dataclass(frozen=True)
class Found:
    """What became of one fault. All but `case` and `events` has to be as `bad` wants it."""

    case: str
    happened: bool  # it was injected: the session came that far
    events: list[str]  # kinds told, in order
    named: bool  # on the screen and in the log, by a name that fits
    commands: int
    broken: list[str]  # limits, as the judge saw it
    recoveries: int
    answers: int  # of the operator who had it recover
    saved: int  # episodes on disk, whole
    said_saved: int  # episodes that the session said were saved
    error: str = ""  # what ended the session, if it was not its end

    @property
    def bad(self) -> list[str]:
        """What must not have been."""
        wrong = {
            "the session broke": bool(self.error),
            "a limit was broken": bool(self.broken),
            "it was not named": self.happened and not self.named,
            "the arm recovered unasked": self.recoveries > self.answers,
            "an episode was lost": self.saved != self.said_saved or self.saved < EPISODES,
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
        self.lines.append(question)
        self.clock.sleep_until(self.clock.now() + THINKS)
        answer = self.operator.ask(question, answers)
        self.recoveries += answer is Answer.RECOVER
        return answer

    def say(self, text: str) -> None:
        self.lines.append(text)


def tried(case: Case, config: StationConfig) -> Found:
    """Run a session with that fault in it."""
    with tempfile.TemporaryDirectory(prefix="faults_") as folder, named(config) as at:
        trigger = Trigger(at.clock, case.command, case.seconds)
        judge = Judged(at.arm, config.limits, at.clock)
        operator = Attending(at.operator, at.clock)
        run = RunFolder(Path(folder) / "run", "robot faults", {})
        error = ""
        recorder = Recorder(run.path / "episodes")
        try:
            hit = faulty(at, case, judge, trigger, operator)
            with hit.arm, hit.cameras[0], hit.cameras[1], base_policy(EXPERT, hit, ahead=False) as base:
                policy = FaultyPolicy(base, case.kind, trigger) if case.part == "policy" else base
                env = environment(config, hit, policy, run, STEPS)
                for _ in session(env, recorder, EPISODES, config.seed):
                    pass
        except Exception as broke:  # whatever it is: it is what the campaign is there to find
            error = f"{type(broke).__name__}: {broke}"
        return found(case, trigger, judge, operator, run, recorder, error)


def faulty(at: Station, case: Case, judge: Judged, trigger: Trigger, operator: Operator) -> Station:
    """The station with the fault put between. The trigger counts the arm's commands, whatever part is hit."""
    arm = FaultyArm(judge, case.kind if case.part == "arm" else "", trigger)
    cameras = tuple(
        FaultyCamera(camera, case.kind, trigger) if camera.features.name == case.part else camera
        for camera in at.cameras
    )
    return dataclasses.replace(at, arm=arm, cameras=cameras, operator=operator)


def found(
    case: Case, trigger: Trigger, judge: Judged, operator: Attending, run: RunFolder, recorder: Recorder, error: str
) -> Found:
    logged = [row for row in read_metrics(run.path) if row.get("what") == "event"]
    screen = "\n".join(operator.lines)
    told = {row["kind"] for row in logged if row["message"] in screen}
    whole = [load_episode(folder, verify=True) for folder in recorder.whole.values()]
    return Found(
        case=case.name,
        happened=trigger.happened,
        events=list(dict.fromkeys(row["kind"] for row in logged)),
        named=not case.told_as or bool(told & case.told_as),
        commands=judge.commands,
        broken=judge.broken[:3],
        recoveries=judge.recoveries,
        answers=operator.recoveries,
        saved=len(whole),
        said_saved=sum(line.startswith("episode_") for line in operator.lines),
        error=error,
    )


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: a line a part and kind of fault."""
    lines = [
        "| part | fault | injected | told as | limits broken | episodes saved | bad |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        part, rest = row["case"].split(": ", 1)
        kinds.setdefault((part, rest.split(", from")[0].split(", at")[0]), []).append(row)
    for (part, kind), of in kinds.items():
        names = sorted({event for row in of for event in row["events"]})
        broken, saved = sum(len(row["broken"]) for row in of), sum(row["saved"] for row in of)
        bad = sorted({why for row in of for why in row["bad"]})
        cells = [part, kind, str(len(of)), ", ".join(names) or "–", str(broken), str(saved), ", ".join(bad) or "none"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def as_row(one: Found) -> dict[str, Any]:
    """JSON values, what was bad among them."""
    return json.loads(json.dumps(dataclasses.asdict(one))) | {"bad": one.bad}
