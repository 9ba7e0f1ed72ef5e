"""Faults of the process and of its disk: killed at every phase of a session, no room, a torn last file; typed again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mpr.core.data.episode_folder import load_episode
from mpr.core.errors import BadClip
from robot.learning.report import given_episodes
from robot.recording.recorder import episode_folders

EPISODES, STEPS = 3, 12
SESSION = [
    "robot",
    "run",
    "--arm",
    "simulated",
    "--size",
    "32",
    "--episodes",
    str(EPISODES),
    "--step_limit",
    str(STEPS),
]
POINTS = {  # phase of a session: what is called there, and which calls of it
    "connecting": ("robot.simulated.arm:SimulatedArm.__enter__", (1,)),
    "going home": ("robot.simulated.arm:SimulatedArm.home", (1, 2, 3)),
    "waiting for the operator": ("robot.simulated.operator:SimulatedOperator.ask", (1, 3)),
    "looking": ("robot.environment:FrankaEnv._look", (1, 8, 20)),
    "asking the base policy": ("robot.environment:FrankaEnv._ask_base", (2, 15)),
    "commanding": ("robot.simulated.arm:SimulatedArm.send", (1, 7, 13, 30)),
    "the end of an episode": ("robot.recording.episode_buffer:EpisodeBuffer.episode", (1, 2, 3)),
    "saving: arrays": ("mpr.core.data.episode_folder:np.savez_compressed", (1, 3)),
    "saving: images": ("mpr.core.data.video:write_video", (1, 2, 4)),
    "saving: checksums": ("mpr.core.checksums:sha256", (1, 3, 7)),
    "saving: the folder's name": ("os:replace", (1, 2, 3)),
    "saving: the log": ("robot.recording.recorder:Recorder._log", (1, 3)),
    "films": ("robot.commands.run_session:save_film", (1, 3)),
    "the page": ("robot.commands.run_session:write_page", (1,)),
    "the summary": ("robot.commands.run_session:RunFolder.finish", (1,)),
}
LEARNING_SESSION = [
    *(
        "robot",
        "session",
        "--arm",
        "simulated",
        "--size",
        "32",
        "--episodes",
        str(EPISODES),
        "--step_limit",
        str(STEPS),
    ),
    *("--schedule", "fixed", "--settings", "warmup_steps=10 utd=1 batch=8 buffer=400"),
]
LEARNING_POINTS = {
    "keeping what is learned from": ("robot.learning.session:keep", (1, 3)),
    "saving its episode": ("robot.recording.recorder:Recorder.save", (1, 3)),
    "giving it to the learner": ("rl.residual.learner_process:LearnerProcess.add", (1, 3)),
    "waiting for the learner": ("rl.residual.learner_process:LearnerProcess.handed_over", (1, 3)),
    "its row": ("robot.learning.session:LearningSession._log", (1, 3)),
    "settling": ("robot.learning.session:LearningSession._settle", (1,)),
    "its page": ("robot.learning.session:write_report", (1,)),
}
_CUT = (0.5, 2, 4, 8, 16)  # kilobytes at which files are cut off, as where a quota ends
DISKS = (320, 1120, 1140, 1160)  # kilobytes of disks that are full before the first episode, and after some
_FILES = ("arrays.npz", "episode.json", "world.mp4", "wrist.mp4", "SHA256SUMS")
MPR = [sys.executable, "-m", "mpr.cli"]


@dataclass
class Tried:
    """What became of one fault of a process."""

    case: str
    happened: bool = False
    named: bool | None = None  # on the screen; none where nothing need be said: who is killed says nothing
    before: int = 0  # episodes whole after the fault
    after: int = 0  # and once the same command had been typed again
    lost: list[str] = field(default_factory=list)  # that had been whole, and were not any more or not the same
    half: list[str] = field(default_factory=list)  # torn, and taken for whole
    said: str = ""  # what the screen said of it, where there was something to say
    error: str = ""
    not_run: str = ""  # why this machine cannot try it

    @property
    def bad(self) -> list[str]:
        if self.not_run:
            return []
        wrong = {
            "the session broke": bool(self.error),
            "it was not named": self.happened and self.named is False,
            "an episode was lost": bool(self.lost) or self.after < EPISODES,
            "a torn one was taken for whole": bool(self.half),
            "it never happened": not self.happened,
        }
        return [name for name, is_so in wrong.items() if is_so]

    def as_row(self) -> dict[str, Any]:
        return {**asdict(self), "bad": self.bad}


@dataclass(frozen=True)
class ProcessCase:
    """One fault of a process. `attempt` is given the name and an empty folder."""

    name: str
    attempt: Callable[[str, Path], Tried]

    def tried(self, root: Path) -> Tried:
        out = root / re.sub(r"\W+", "_", self.name)
        shutil.rmtree(out, ignore_errors=True)  # of a campaign that was broken off
        return self.attempt(self.name, out)


def process_catalogue() -> Iterator[ProcessCase]:
    """Every fault of a process: killed at each phase, files cut off, full disks, a last episode that is torn."""
    for phase, (point, calls) in POINTS.items():
        for call in calls:
            yield ProcessCase(f"killed: {phase}, call {call}", partial(killed, point, call))
    for phase, (point, calls) in LEARNING_POINTS.items():
        for call in calls:
            yield ProcessCase(f"killed while it learns: {phase}, call {call}", partial(killed_learning, point, call))
    for kilobytes in _CUT:
        yield ProcessCase(f"files cut off at {kilobytes:g} kB", partial(_cut, kilobytes))
    for kilobytes in DISKS:
        yield ProcessCase(f"a disk of {kilobytes} kB", partial(full, kilobytes))
    for file in _FILES:
        for how in ("cut", "changed", "gone"):
            yield ProcessCase(f"last episode's {file} {how}", partial(torn, file, how))


def killed(point: str, call: int, case: str, out: Path) -> Tried:
    """A session that is killed (SIGKILL) at the `call`-th call of `point`."""
    died = child([sys.executable, "-m", "robot.faults.child", point, str(call)], out)
    return again(case, out, died.returncode == -9)


def killed_learning(point: str, call: int, case: str, out: Path) -> Tried:
    """A session that learns, killed likewise; lost is what its learner was never given, too."""
    died = child([sys.executable, "-m", "robot.faults.child", point, str(call)], out, LEARNING_SESSION)
    found = again(case, out, died.returncode == -9, command=LEARNING_SESSION)
    missing = episode_folders(out / "episodes").keys() - given_episodes(out)
    found.lost += [f"episode {number}, by the learner" for number in sorted(missing)]
    return found


def _cut(kilobytes: float, case: str, out: Path) -> Tried:
    """A session whose files cannot grow beyond some kilobytes, as where a quota ends."""
    limit = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({int(1024 * kilobytes)},) * 2)"
    code = f"{limit}; import sys; from mpr.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = child([sys.executable, "-c", code], out)
    return again(case, out, ended.returncode != 0, ended.stderr)


def full(kilobytes: int, case: str, out: Path) -> Tried:
    """A file system that really is full, where this machine lets its user have one of their own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return Tried(case, not_run="there is no `unshare` on this machine")
    out.mkdir(parents=True)
    kept = Path(f"{out}.kept")
    shutil.rmtree(kept, ignore_errors=True)
    command = f'mount -t tmpfs -o size={kilobytes}k tmpfs "$0" && "$@"; code=$?; cp -r "$0" "$0".kept; exit $code'
    prefix = [unshare, "-rm", "sh", "-c", command, str(out)]
    allowed = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    shutil.rmtree(kept, ignore_errors=True)
    if allowed.returncode:
        return Tried(case, not_run=_last(allowed.stderr) or "no file system of one's own on this machine")
    ended = child([*prefix, *MPR], out)
    shutil.rmtree(out)
    kept.rename(out)
    return again(case, out, ended.returncode != 0, ended.stderr)


def torn(file: str, how: str, case: str, out: Path) -> Tried:
    """A file of the last episode cut short, changed or gone, after a session that ended well."""
    child(MPR, out)
    path = list(episode_folders(out / "episodes").values())[-1] / file
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) * 2 // 3] if how == "cut" else data)
    found = again(case, out, len(_episodes(out)) == EPISODES - 1)
    found.named = "damaged" in found.said
    return found


def child(command: list[str], out: Path, session: Sequence[str] = SESSION) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own on the session of this campaign, to its end."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *session, "--out", str(out)], capture_output=True, text=True, check=False, env=environment
    )


def again(case: str, out: Path, happened: bool, said: str = "", command: Sequence[str] = SESSION) -> Tried:
    """What was whole after a fault, and what is once the command was typed again and its run closed.

    `said`: of a fault that does not end its process, on its way out.
    """
    before = _episodes(out)
    ended = child(MPR, out, command)
    after = _episodes(out)
    lost = [name for name, sums in before.items() if after.get(name) != sums]
    half = [
        folder.name for folder in (out / "episodes").glob("episode_*") if not _whole(folder) and folder.name in after
    ]
    error = "" if ended.returncode == 0 else (_last(ended.stderr) or "?")
    if "Traceback" in said:
        error = f"a traceback: {_last(said)}"
    about = [line for line in (ended.stdout + ended.stderr).splitlines() if "damaged" in line]
    told = "; ".join(about) or _last(said)
    return Tried(case, happened, bool(told) if said else None, len(before), len(after), lost, half, told, error)


def _episodes(out: Path) -> dict[str, str]:
    """Those that are whole, and their checksums."""
    folders = episode_folders(out / "episodes").values()
    return {folder.name: (folder / "SHA256SUMS").read_text() for folder in folders if _whole(folder)}


def _whole(folder: Path) -> bool:
    try:
        load_episode(folder, verify=True)
    except BadClip:
        return False
    return True


def _last(said: str) -> str:
    return (said.strip().splitlines() or [""])[-1]
