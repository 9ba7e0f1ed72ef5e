"""The order of the rooms: what stands left never imports what stands right, wherever in a file it does so."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tracking", "mpr", "rl", "robot")
ORDER = (
    *("mpr.core", "mpr.core.data", "mpr.core.report", "mpr"),  # `mpr`, `robot`: the files of the package itself
    *("tracking", "tracking.simulator", "tracking.motion", "tracking.masks", "tracking.trackers", "tracking.sources"),
    *("tracking.clips", "tracking.synth", "tracking.commands"),
    *("mpr.predictor", "mpr.representations", "mpr.reward", "mpr.training", "mpr.pretraining", "mpr.commands"),
    *("rl", "rl.data", "rl.policies", "rl.policies.diffusion", "rl.environments", "rl.environments.kitchen"),
    *("rl.residual.fast", "rl.residual", "rl.evaluation", "rl.reward_bench"),
    *("rl.experiments", "rl.commands"),
    *("robot.hardware", "robot.safety", "robot.arms", "robot.cameras", "robot.teleop", "robot.simulated"),
    *("robot.recording", "robot", "robot.policies", "robot.practice", "robot.learning"),
    *("robot.commands", "robot.faults"),
)


def room(module: str) -> str:
    """The room of a module, or of a name in one: the longest that it begins with."""
    return max((name for name in ORDER if f"{module}.".startswith(f"{name}.")), key=len)


def imported(text: str) -> Iterator[str]:
    """Modules and names that a file imports, wherever in it, with import_module("...") included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def forbidden(own: str, text: str) -> list[str]:
    """What a file in the room `own` may not import."""
    ours = [name for name in imported(text) if name.split(".")[0] in PACKAGES]
    return [name for name in ours if ORDER.index(room(name)) > ORDER.index(own)]


def files() -> dict[str, Path]:
    """Every file of ours by its module's name."""
    found = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in found}


@pytest.mark.parametrize("own", ORDER)
def test_a_room_imports_nothing_to_its_right(own: str) -> None:
    inside = {module: file for module, file in files().items() if room(module) == own}
    assert inside, "no such room"
    assert not {module: wrong for module, file in inside.items() if (wrong := forbidden(own, file.read_text()))}


def test_every_folder_is_a_room() -> None:
    """A folder that the order does not name would pass for the one around it."""
    folders = {module for module, file in files().items() if file.name == "__init__.py"}
    assert folders - set(ORDER) == set() and set(ORDER) - folders == set()


def test_the_test_sees_every_way_to_import() -> None:
    inside = ("import rl.data", "from rl import data", "def f():\n    import rl.data", "import_module('rl.data')")
    for line in inside:
        assert forbidden("mpr.reward", line) == ["rl.data"], line
    assert forbidden("rl.data", "import mpr, tracking, numpy\nfrom . import kitchen") == []
    assert forbidden("rl.environments", "from rl.environments.kitchen import tasks") == [
        "rl.environments.kitchen.tasks"
    ]
    assert forbidden("rl.environments.kitchen", "from rl.environments import starts") == []


def test_the_package_itself_imports_nothing() -> None:
    """What everything may import must not bring everything."""
    assert not list(imported((ROOT / "mpr/__init__.py").read_text()))
    code = "import sys, mpr.core.errors; print(*(name for name in sys.modules if name.split('.')[0] in sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *PACKAGES, "numpy", "torch"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert set(done.stdout.split()) == {"mpr", "mpr.core", "mpr.core.errors"}


def test_mujoco_is_imported_through_one_door() -> None:
    """tracking.simulator.gl chooses the OpenGL back end, which must happen before MuJoCo is imported."""
    assert not [
        module
        for module, file in files().items()
        if file.name != "gl.py" and any(name.split(".")[0] == "mujoco" for name in imported(file.read_text()))
    ]
