"""What keeps the code readable, measured: lengths of files and functions, shares of what is typed and told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rl.environments.setting import Rules, names
from tests.test_packages import ROOT, files

FILE_LINES = 400
FUNCTION_LINES = 60
LINE_ENDS = (".", ":", "?", "!", ".`", ".)", '."')
ARRAYS = ("NDArray", "Tensor", "ndarray")
PLAIN = {"str", "bytes", "int", "float", "bool", "None", "Path"}  # a text beside these is a value, and no complaint

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Shares:
    """Of what is public: how much has a docstring, one whose first line ends a sentence, and types everywhere; of
    functions that take or give arrays, how many say their shape in brackets."""

    docstrings: float
    first_lines: float
    annotations: float
    shapes: float


def public(tree: ast.Module) -> Iterator[ast.ClassDef | Function]:
    """Public classes and functions of a module, and the public methods of the former."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (one for one in node.body if isinstance(one, Function) and not one.name.startswith("_"))


def annotated(function: Function) -> bool:
    """Whether all its arguments but self and cls, and what it returns, have a type."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    typed = all(one.annotation is not None for one in named if one.arg not in ("self", "cls"))
    return typed and function.returns is not None


def takes_arrays(function: Function) -> bool:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    types = [one.annotation for one in given if one.annotation] + ([function.returns] if function.returns else [])
    return any(name in ast.unparse(one) for one in types for name in ARRAYS)


def shares(trees: list[ast.Module]) -> Shares:
    """Raises ZeroDivisionError for code in which nothing is public."""
    found = [node for tree in trees for node in public(tree)]
    plain = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef | Function)]
    told = [ast.get_docstring(node) or "" for node in plain if not node.name.startswith("_")]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)]
    arrays = [node for node in found if isinstance(node, Function) and takes_arrays(node)]
    return Shares(
        docstrings=sum(map(bool, told)) / len(told),
        first_lines=sum(one.partition("\n")[0].endswith(LINE_ENDS) for one in told if one) / sum(map(bool, told)),
        annotations=sum(map(annotated, functions)) / len(functions),
        shapes=sum("[" in (ast.get_docstring(node) or "") for node in arrays) / max(1, len(arrays)),
    )


def test_no_file_is_longer_than_one_sitting() -> None:
    ours = [*files().values(), *(ROOT / "tests").rglob("*.py")]
    lengths = {str(file.relative_to(ROOT)): file.read_text().count("\n") for file in ours}
    assert {name: length for name, length in lengths.items() if length > FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    found = {
        f"{module}.{node.name}": length
        for module, file in files().items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, Function) and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert found == {}


def rewritten(tree: ast.Module) -> list[str]:
    """Frozen classes that write into themselves all the same: what was said, and what was made of it, become one."""
    return [
        node.name for node in tree.body if isinstance(node, ast.ClassDef) and "object.__setattr__" in ast.unparse(node)
    ]


def test_a_frozen_config_stays_as_it_was_made() -> None:
    """What follows from what was said is a property, or a copy (`resolved`). A value may bring its arrays into form."""
    found = {module: names for module, file in files().items() if (names := rewritten(ast.parse(file.read_text())))}
    assert found == {"robot.hardware.pose": ["Pose"]}


def test_what_makes_a_setting_is_stated_once() -> None:
    """A config that states it anew has to copy it by name, and a name that is forgotten is lost without a word."""
    stated = {
        f"{module}.{node.name}.{field}"
        for module, file in files().items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config") and module.startswith("rl.")
        for field in sorted({*names(Rules), "env_options"})
        if any(isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == field for one in node.body)
    }
    assert stated == {"rl.environments.asked.SettingConfig.env_options"}


def or_text(tree: ast.Module) -> list[str]:
    """Public functions that give something, or a text: a caller takes what went wrong for what was asked, and no type
    tells the two apart. An exception, or a type of its own (`mpr.core.attempts.Failed`), does."""
    found = []
    for node in public(tree):
        for inside in ast.walk(node.returns) if isinstance(node, Function) and node.returns else ():
            kinds = set(ast.unparse(inside).split(" | "))
            if isinstance(inside, ast.BinOp) and "str" in kinds and not kinds <= PLAIN:
                found.append(f"{node.name} -> {ast.unparse(inside)}")
    return found


def test_what_goes_wrong_is_raised_or_has_a_type() -> None:
    found = {module: wrong for module, file in files().items() if (wrong := or_text(ast.parse(file.read_text())))}
    assert found == {}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ("Episode | str", True),
        ("list[str | Episode | None]", True),
        ("str | None", False),
        ("dict[str, float | str | int]", False),
        ("Episode | Failed", False),
        ("tuple[str, Episode]", False),
    ],
)
def test_a_text_beside_another_result_is_seen(given: str, wrong: bool) -> None:
    for text in (f"def tried() -> {given}: ...", f"class Trial:\n    def tried(self) -> {given}: ..."):
        assert bool(or_text(ast.parse(text))) is wrong


def test_what_is_told_and_typed_does_not_get_less() -> None:
    """Raise these when the code has become better than they ask for."""
    now = shares([ast.parse(file.read_text()) for file in files().values()])
    assert now.docstrings >= 0.99 and now.first_lines >= 0.99 and now.annotations >= 0.995 and now.shapes >= 0.98, now


MODULE = '''
def told(image: NDArray) -> int:
    """Pixels of an image [H, W]."""

class Bare:
    def method(self, images) -> None: ...
'''


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("", ""), Shares(0.5, 1.0, 0.5, 1.0)),
        (("image: NDArray", "image"), Shares(0.5, 1.0, 0.0, 0.0)),
        (("[H, W].", "of H\n    and W"), Shares(0.5, 0.0, 0.5, 0.0)),
        (("Bare:", 'Bare:\n    """One."""'), Shares(1.0, 1.0, 0.5, 1.0)),
        (("-> int", ""), Shares(0.5, 1.0, 0.0, 1.0)),
    ],
)
def test_each_share_sees_what_it_is_of(change: tuple[str, str], wanted: Shares) -> None:
    assert shares([ast.parse(MODULE.replace(*change, 1))]) == wanted
