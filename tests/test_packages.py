"""The order of the packages: tracking < mpr < rl < robot. What stands left never imports what stands right."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("tracking", "mpr", "rl", "robot")
EXEMPT = {"mpr/cli.py"}  # maps a verb to "package.module:main", imported when asked for


def imported(text: str) -> Iterator[str]:
    """Top-level packages a module imports, wherever in it, with import_module("...") included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value).split(".")[0]


def forbidden(package: str, text: str) -> list[str]:
    return [name for name in imported(text) if name in ORDER and ORDER.index(name) > ORDER.index(package)]


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_nothing_to_its_right(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    faults = {
        name: wrong
        for file in files
        if (name := file.relative_to(ROOT).as_posix()) not in EXEMPT and (wrong := forbidden(package, file.read_text()))
    }
    assert not faults


def test_the_test_sees_every_way_to_import():
    for line in ("import rl.kitchen", "from rl import kitchen", "def f():\n    import rl", "import_module('rl.a')"):
        assert forbidden("mpr", line) == ["rl"], line
    assert forbidden("rl", "import mpr, tracking, numpy\nfrom . import kitchen") == []


def test_mujoco_is_imported_through_one_door():
    """tracking.gl chooses the OpenGL back end, which must happen before MuJoCo is imported."""
    faults = [
        file.relative_to(ROOT).as_posix()
        for package in ORDER
        for file in (ROOT / package).rglob("*.py")
        if file.name != "gl.py" and "mujoco" in imported(file.read_text())
    ]
    assert not faults
