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
