"""What a command needs for its help, to refuse an option and, where nothing is to be opened, for its plan: no library
that takes seconds to import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpr import cli
from rl.experiments.command import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("torch", "torchvision", "transformers", "diffusers", "stable_baselines3", "gymnasium", "gymnasium_robotics"),
    *("minari", "scipy", "cv2", "av", "mujoco", "matplotlib", "pandas", "h5py", "ray", "tensorboard", "pyarrow"),
)
VERBS = {  # and a value that each refuses
    "synth": "--kind sideways",
    "find": "--sheet -1",
    "track": "--video film.mp4 --box 1,2,3,4 --tracker none_such",
    "train": "--encoder none_such",
    "pretrain": "--objective none_such",
    "score": "--clip clip --reward none_such",
    "bench": "--rounds 0",
    "bench camera": "--most 0",
    "bench tracking": "--trackers none_such",
    "bench video": "--rate_hz 0",
    "doctor": "--weights",
    "episodes": "--kind none_such",
    "demos": "--views nowhere",
    "bc": "--encoder none_such",
    "finetune": "--reward none_such",
    "evaluate": "--view nowhere",
    "experiment base": "--settings size=huge",
    "experiment practice": "--variants none_such",
    "experiment direction": "--rows none_such",
    "experiment reach": "--further nowhere.yaml",
    "experiment calibration": "--parts none_such",
    "experiment learner": "--changes none_such=1",
    "experiment ceiling": "--env kitchen:none_such",
    "quickstart": "--task none_such",
    "bench reward": "--rounds 0",
    "bench rl": "--rounds 0",
    "bench rewards": "--rewards none_such",
    "robot check": "--arm none_such",
    "robot demos": "--arm none_such",
    "robot run": "--arm none_such",
    "robot session": "--reward none_such",
    "robot replay": "--arm none_such",
    "robot faults": "--limits.step -1",
    "robot export": "--format none_such",
    "bench robot": "--arm none_such",
}
PLANNED = {  # verbs whose plan needs no such library, and what it is asked of
    "synth": "--clips 2",
    "find": "--folder nowhere --query open",
    "track": "--manifest nowhere.jsonl --masks owlv2+sam2+cutie --words drawer",
    "score": "--clip nowhere --predictor nowhere",
    "bench": "",
    "bench camera": "--clips nowhere",
    "bench tracking": "--recordings nowhere",
    "bench video": "",
    "bench reward": "",
    "bench rewards": "",
}
RUN = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[2])  # this checkout's
from mpr.cli import main

heavy, found = set(sys.argv[1].split()), {}
for words in json.loads(sys.stdin.read()):
    before, said = set(sys.modules), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main(words)
        except SystemExit as done:
            status = done.code
    found[" ".join(words)] = [status, sorted(heavy & (set(sys.modules) - before)), said.getvalue()]
print(json.dumps(found))
"""


def brought(lines: list[str], where: Path) -> dict[str, tuple[int, list[str], str]]:
    """Run command lines one after another in one process: of each its status, the heavy libraries that it is the first
    to import, and what it said."""
    words = json.dumps([line.split() for line in lines])
    done = subprocess.run(
        [sys.executable, "-c", RUN, " ".join(HEAVY), str(ROOT)],
        input=words,
        capture_output=True,
        text=True,
        check=True,
        cwd=where,
    )
    return json.loads(done.stdout)


def test_every_command_is_asked() -> None:
    experiments = {f"experiment {name}" for name in EXPERIMENTS}
    assert set(VERBS) == set(cli.CLI_VERBS) - {"experiment"} | experiments


def test_every_option_is_told(tmp_path: Path) -> None:
    """A comment that stands neither behind a field nor above it is none to the help."""
    for line, (_, _, told) in brought([f"{verb} --help" for verb in VERBS], tmp_path).items():
        options = re.split(r"\n  (?=--)", told.partition("\n\nA list's items")[0])[1:]
        untold = [option.split()[0] for option in options if "(default:" not in " ".join(option.split())]
        assert options and not untold, line


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({verb: "--help" for verb in VERBS}, 0),
        ({verb: "--nonsense 1" for verb in VERBS}, 2),
        (VERBS, 2),
        ({verb: f"{words} --dry-run" for verb, words in PLANNED.items()}, None),  # 2 where its input is missing
    ],
    ids=["help", "unknown option", "refused value", "plan"],
)
def test_a_command_imports_no_heavy_library_before_it_works(
    asked: dict[str, str], status: int | None, tmp_path: Path
) -> None:
    found = brought([f"{verb} {words}" for verb, words in asked.items()], tmp_path)
    assert not {line: heavy for line, (_, heavy, _) in found.items() if heavy}
    assert not {line: told for line, (left, _, told) in found.items() if left != status and status is not None}
    assert not {line: told for line, (_, _, told) in found.items() if status is None and "resolved config" not in told}
