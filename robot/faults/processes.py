"""Faults of the process and of its disk: killed at every phase of a session, no room, a torn last file; typed again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpr.episode import load_episode
from robot.recording import episode_folders
from tracking.errors import BadClip

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
    "connecting": ("robot.arms.simulated.arm:SimulatedArm.__enter__", (1,)),
    "going home": ("robot.arms.simulated.arm:SimulatedArm.home", (1, 2, 3)),
    "waiting for the operator": ("robot.arms.simulated.operator:SimulatedOperator.ask", (1, 3)),
    "looking": ("robot.environment:FrankaEnv._look", (1, 8, 20)),
    "asking the base policy": ("robot.environment:FrankaEnv._ask_base", (2, 15)),
    "commanding": ("robot.arms.simulated.arm:SimulatedArm.send", (1, 7, 13, 30)),
    "the end of an episode": ("robot.kept:Kept.episode", (1, 2, 3)),
    "saving: arrays": ("mpr.episode:np.savez_compressed", (1, 3)),
    "saving: pictures": ("mpr.episode:write_video", (1, 2, 4)),
    "saving: checksums": ("mpr.episode:_sum", (1, 3, 7)),
    "saving: the folder's name": ("os:replace", (1, 2, 3)),
    "saving: the log": ("robot.recording:Recorder._log", (1, 3)),
    "films": ("robot.run:save_film", (1, 3)),
    "the page": ("robot.run:write_page", (1,)),
    "the summary": ("robot.run:RunFolder.finish", (1,)),
}


@dataclass
class Tried:
    """What became of one fault of a process."""

    case: str
    happened: bool
    before: int  # episodes whole after the fault
    after: int  # and once the same command had been typed again
    lost: list[str] = field(default_factory=list)  # that had been whole, and were not any more or not the same
    half: list[str] = field(default_factory=list)  # torn, and taken for whole
    said: str = ""  # what the screen said of it, where there was something to say
    error: str = ""

    @property
    def bad(self) -> list[str]:
        wrong = {
            "the session broke": bool(self.error),
            "an episode was lost": bool(self.lost) or self.after < EPISODES,
            "a torn one was taken for whole": bool(self.half),
            "it never happened": not self.happened,
        }
        return [name for name, is_so in wrong.items() if is_so]


def killed(root: Path) -> Iterator[Tried]:
    """Kill a session at every point, and type it again."""
    for phase, (point, calls) in POINTS.items():
        for call in calls:
            out = root / re.sub(r"\W+", "_", f"{phase}_{call}")
            died = child([sys.executable, "-m", "robot.faults.child", point, str(call)], out)
            yield again(f"killed: {phase}, call {call}", out, died.returncode == -9)


def full(root: Path) -> Iterator[Tried]:
    """No room on the disk: files cut off at a size, as where a quota ends; and a file system that really is full, where
    this machine lets its user have one."""
    for kilobytes in (0.5, 2, 4, 8, 16):
        out = root / f"cut_{kilobytes:g}"
        limit = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({int(1024 * kilobytes)},) * 2)"
        code = f"{limit}; import sys; from mpr.cli import main; sys.exit(main(sys.argv[1:]))"
        ended = child([sys.executable, "-c", code], out)
        yield again(f"files cut off at {kilobytes:g} kB", out, ended.returncode != 0, ended.stderr)
    unshare = shutil.which("unshare")
    for kilobytes in (320, 1120, 1160, 1220):  # before the first episode, and after some
        out = root / f"full_{kilobytes}"
        out.mkdir(parents=True)
        command = f'mount -t tmpfs -o size={kilobytes}k tmpfs "$0" && "$@"; code=$?; cp -r "$0" "$0".kept; exit $code'
        prefix = [unshare or "", "-rm", "sh", "-c", command, str(out)]
        if unshare is None or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
            return
        shutil.rmtree(f"{out}.kept", ignore_errors=True)
        ended = child([*prefix, sys.executable, "-m", "mpr.cli"], out)
        shutil.rmtree(out)
        Path(f"{out}.kept").rename(out)
        yield again(f"a disk of {kilobytes} kB", out, ended.returncode != 0, ended.stderr)


def torn(root: Path) -> Iterator[Tried]:
    """A file of the last episode cut short or changed, after a session that ended well."""
    for name in ("arrays.npz", "episode.json", "world.mp4", "wrist.mp4", "SHA256SUMS"):
        for how in ("cut", "changed", "gone"):
            out = root / f"{how}_{name}"
            child([sys.executable, "-m", "mpr.cli"], out)
            file = list(episode_folders(out / "episodes").values())[-1] / name
            data = bytearray(file.read_bytes())
            if how == "gone":
                file.unlink()
            else:
                data[len(data) // 2] ^= 1
                file.write_bytes(data[: len(data) * 2 // 3] if how == "cut" else data)
            whole = episodes(out)
            yield again(f"last episode's {name} {how}", out, len(whole) == EPISODES - 1)


def child(command: list[str], out: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *SESSION, "--out", str(out)], capture_output=True, text=True, check=False, env=environment
    )


def again(case: str, out: Path, happened: bool, said: str = "") -> Tried:
    """What is whole, and what is once the command was typed again, and its run closed."""
    before = episodes(out)
    ended = child([sys.executable, "-m", "mpr.cli"], out)
    after = episodes(out)
    lost = [name for name, sums in before.items() if after.get(name) != sums]
    half = [
        folder.name for folder in (out / "episodes").glob("episode_*") if not _whole(folder) and folder.name in after
    ]
    last = (said.strip().splitlines() or [""])[-1]
    error = "" if ended.returncode == 0 else (ended.stderr.strip().splitlines() or ["?"])[-1]
    if "Traceback" in said:
        error = f"a traceback: {last}"
    return Tried(case, happened, len(before), len(after), lost, half, last, error)


def episodes(out: Path) -> dict[str, str]:
    """Those that are whole, and their checksums."""
    folders = episode_folders(out / "episodes").values()
    return {folder.name: (folder / "SHA256SUMS").read_text() for folder in folders if _whole(folder)}


def _whole(folder: Path) -> bool:
    try:
        load_episode(folder, verify=True)
    except BadClip:
        return False
    return True


def process_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| fault | episodes whole after it | typed again | lost | taken for whole | bad |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            row["case"],
            row["before"],
            row["after"],
            len(row["lost"]),
            len(row["half"]),
            ", ".join(row["bad"]) or "none",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines
