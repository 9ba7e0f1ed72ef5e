"""A public name is understood without its module: it stands for one thing in all our packages."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.test_packages import files

TARGET = re.compile(r'"([a-z_0-9.{}]+):([A-Za-z_]+)"')  # what a registry names, {name} for any: known by the registry's


def defined(tree: ast.Module) -> Iterator[str]:
    """Public names that a module gives to something of its own; type variables stand for no thing."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            typed = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"
            names = [one.id for one in targets if isinstance(one, ast.Name) and not typed]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def ambiguous(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Names with the modules, dotted, that each mean another thing by them."""
    targets = [
        re.compile(re.sub(r"\{[a-z]+\}", "[a-z_0-9]+", f"{module}:{name}"))
        for source in sources.values()
        for module, name in TARGET.findall(source)
    ]
    found: dict[str, list[str]] = defaultdict(list)
    for module, source in sources.items():
        for name in sorted(set(defined(ast.parse(source)))):
            if name != "main" and not any(target.fullmatch(f"{module}:{name}") for target in targets):
                found[name].append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_a_public_name_stands_for_one_thing() -> None:
    assert ambiguous({module: file.read_text() for module, file in files().items()}) == {}


def test_what_is_private_or_in_a_registry_or_a_type_variable_is_not_ambiguous() -> None:
    sources = {
        "a": "LIMIT = 1\n_STEP = 2\ndef door(): ...\nT = TypeVar('T')",
        "b": "class LIMIT: ...\n_STEP: int = 2\ndef door(): ...\nT = TypeVar('T')",
        "c": 'TASKS = {name: f"{name}:door" for name in "ab"}',
    }
    assert ambiguous(sources) == {"LIMIT": ["a", "b"]}


def own_types(tree: ast.Module) -> set[str]:
    """Private classes and type aliases that a module defines: an underscore, a capital and a small letter."""
    found = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for one in targets if isinstance(one, ast.Name)}
    return {name for name in found if re.match("_[A-Z][a-z]", name)}


def signatures(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """(name, annotation) of the fields and methods of public classes, and of public functions."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from ((node.name, one.annotation) for one in node.body if isinstance(one, ast.AnnAssign))
        functions = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for one in functions:
            if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
                given = [*one.args.args, *one.args.kwonlyargs]
                types = [*(argument.annotation for argument in given), one.returns]
                yield from ((one.name, annotation) for annotation in types if annotation is not None)


def hidden(source: str) -> set[str]:
    """Public names whose signature takes a private type of the module: who calls them could not write it down."""
    tree = ast.parse(source)
    own = own_types(tree)
    return {name for name, annotation in signatures(tree) if own & set(re.findall(r"\w+", ast.unparse(annotation)))}


def test_a_public_signature_has_public_types() -> None:
    assert {module: found for module, file in files().items() if (found := hidden(file.read_text()))} == {}


def test_a_private_type_is_seen_where_it_is_taken_given_or_held() -> None:
    types = "class _Box: ...\n_Row = dict[str, int]\n"
    assert hidden(f"{types}def f(a: list[_Box]): ...\ndef g() -> _Row: ...\nclass C:\n    x: _Box") == {"f", "g", "C"}
    assert hidden(f"{types}def _f(a: _Box): ...\nclass _C:\n    x: _Row\ndef h(a: int) -> int: ...") == set()
