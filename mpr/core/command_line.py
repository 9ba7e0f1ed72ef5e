"""What a command line or a YAML file says of a config: texts, and lists of them, made what the config's types ask.

Every scalar is taken as it is written (`010` is ten and `off` a word, where YAML would read eight and false), and one
rule tells what a list's items are: words of their own, or what `mpr.core.items` finds in one word. A word that names
an existing path is one item.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from mpr.core.errors import UserError
from mpr.core.items import split_items
from mpr.core.type_hints import resolved_hints

RENAMED_OPTIONS = {  # option of before -> what is said now; for commands that have the second and not the first
    "alpha": "residual_scale",
    "arms": "variants",
    "average": "actor_ema",
    "count": "num_demos",
    "entropy": "ent_coef",
    "fully": "full_open",
    "half": "demo_fraction 0.5 (0: none)",
    "limits.picture_age": "limits.image_age",
    "moved": "motion_threshold_px",
    "ratio": "utd",
    "task": "env kitchen:TASK",
}

Said = str | None | list["Said"] | dict[str, "Said"]  # None: YAML's null

NULLS = ("null", "Null", "NULL", "~")
YES_OR_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NEEDED = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path", str: "a text"}
YAML_TAG = "tag:yaml.org,2002:"


def options(config_class: type) -> dict[str, Any]:
    """Key -> type of what may be said of a config: its fields; with a dot, those of dataclasses among them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        found[field.name] = hint = resolved_hints(config_class)[field.name]
        if dataclasses.is_dataclass(hint):
            found |= {f"{field.name}.{inner}": kind for inner, kind in options(hint).items()}  # type: ignore[arg-type]
    return found


def is_list(hint: Any) -> bool:
    """Whether a type is list[...] or tuple[...], possibly beside None."""
    return get_origin(_beside_none(hint)[0]) in (list, tuple)


def read_words(config_class: type, argv: Sequence[str]) -> dict[str, Any]:
    """The values that a command line gives, by key; nested where a key has a dot.

    They are said as `--key value`, `--key=value`, `--key item item` and, for a yes or no, `--key`. Of a value given
    twice the later counts. A list given twice is refused: it could mean both, or the later. Raises UserError naming key
    and word.
    """
    kinds, said, lists = options(config_class), {}, set()
    for key, words in _by_key(argv):
        if key not in kinds:
            _refuse_renamed("--" + key, key, kinds, " ")
            known = [k for k in kinds if k.rpartition(".")[0] == key.rpartition(".")[0]] or [
                k for k in kinds if "." not in k
            ]
            raise UserError(f"unknown key --{key}; known: {', '.join(sorted(known))}")
        if is_list(kinds[key]):
            if key in lists:
                raise UserError(f"--{key} is given twice: give all its items at once, as --{key} ITEM ITEM")
            lists.add(key)
        *outer, name = key.split(".")
        inside = said
        for part in outer:
            inside = inside.setdefault(part, {})
        value = value_of(f"--{key}", _joined(key, words, kinds[key]), kinds[key])
        inside[name] = merged(inside[name], value) if isinstance(inside.get(name), dict) else value
    return said


def _refuse_renamed(shown: str, name: str, known: Mapping[str, Any], between: str) -> None:
    """Raises UserError that names the new spelling, where an unknown option is one of before."""
    option, _, value = RENAMED_OPTIONS.get(name, "").partition(" ")
    if option in known:
        now = f"--{option}" if between == " " else option
        raise UserError(f"{shown} is called {now}{between + value if value else ''} now")


def _by_key(argv: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(key, its words) in turn: the one behind the =, or those up to the next word that begins with --."""
    at = 0
    while at < len(argv):
        word, at = argv[at], at + 1
        if word[:2] != "--":
            raise UserError(f"'{word}' belongs to no option (behind an =, items have commas between)")
        key, equals, value = word[2:].partition("=")
        words = [value] if equals else []
        while not equals and at < len(argv) and argv[at][:2] != "--":
            words.append(argv[at])
            at += 1
        yield key, words


def _joined(key: str, words: list[str], hint: Any) -> Said:
    """An option's words as one value."""
    if not words and bool in (hint, *get_args(hint)):
        return "true"
    if not words:
        raise UserError(f"--{key} needs {'items ([]: none)' if is_list(hint) else 'a value'}")
    if len(words) == 1:
        return words[0]
    if not is_list(hint):
        raise UserError(f"--{key} takes one value, '{words[1]}' is one more (a value with spaces needs quotes)")
    return [item for word in words for item in _items(f"--{key}", word, hint)]


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`under` with what `over` says too, dataclass by dataclass."""
    both = {k: merged(under[k], over[k]) for k in over if isinstance(under.get(k), dict) and isinstance(over[k], dict)}
    return {**under, **over, **both}


def read_yaml(text: str | bytes) -> dict[str, Said]:
    """A mapping in YAML, its scalars as they are written. Raises ValueError, in one line, where it is none."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        said = {} if node is None else _as_written(node)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(said, dict):
        raise ValueError("it is no mapping of keys to values")
    return said


def _as_written(node: yaml.Node) -> Said:
    if not node.tag.startswith(YAML_TAG):
        raise ValueError(f"{node.tag} means nothing here")
    if isinstance(node, yaml.SequenceNode):
        return [_as_written(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        keys = [str(key.value) for key, _ in node.value]
        if twice := [key for k, key in enumerate(keys) if key in keys[:k]]:
            raise ValueError(f"{twice[0]} stands there twice")
        return {key: _as_written(value) for key, (_, value) in zip(keys, node.value, strict=True)}
    return None if node.tag == YAML_TAG + "null" else str(node.value)


def value_of(key: str, said: Said, hint: Any) -> Any:
    """What was said, as its type asks: lists and tuples as lists, a dataclass as a dict of what was said of it.

    Raises UserError naming the key, the item and what is needed.
    """
    kind, may_be_none = _beside_none(hint)
    if may_be_none and (said is None or said in NULLS):
        return None
    if dataclasses.is_dataclass(kind):
        return fields_of(key, said, kind)  # type: ignore[arg-type]
    if not is_list(kind):
        return _scalar(key, said, kind)
    kinds, items = get_args(kind), _items(key, said, kind)
    if get_origin(kind) is list or kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(items)
    if len(items) != len(kinds):
        raise UserError(f"{key} takes {len(kinds)} items, {len(items)} given: {', '.join(map(str, items))}")
    return [value_of(key, item, one) for item, one in zip(items, kinds, strict=True)]


def fields_of(key: str, said: Said, config_class: type) -> dict[str, Any]:
    """What was said of a dataclass's fields. `key` is empty for what is no option's value, but a whole file."""
    try:
        said = read_yaml(said) if isinstance(said, str) else said
        if not isinstance(said, dict):
            raise ValueError("a mapping of keys to values is needed")
    except ValueError as error:
        raise UserError(f"{key} {_shown(said)}: {error}") from error
    hints = {field.name: resolved_hints(config_class)[field.name] for field in dataclasses.fields(config_class)}
    before = f"{key}." if key else ""
    if unknown := [name for name in said if name not in hints]:
        full = {f"{before}{name}": kind for name, kind in hints.items()}
        _refuse_renamed(f"{before}{unknown[0]}", f"{before}{unknown[0]}", full, ": ")
        raise UserError(f"unknown key {before}{unknown[0]}; known: {', '.join(sorted(hints))}")
    return {name: value_of(f"{before}{name}", value, hints[name]) for name, value in said.items()}


def _items(key: str, said: Said, hint: Any) -> list[Said]:
    if isinstance(said, list):
        return said
    kind = get_args(_beside_none(hint)[0])[0]
    try:
        if not isinstance(said, str):
            raise ValueError("a list is needed")
        return list(split_items(said, is_list(kind), os.path.lexists if kind is Path else lambda _: False))
    except ValueError as error:
        raise UserError(f"{key} {_shown(said)}: {error}") from error


def _scalar(key: str, said: Said, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        if said not in (there := {str(one): one for one in get_args(kind)}):
            raise UserError(f"{key} {_shown(said)}: there is {', '.join(there)}")
        return there[said]
    if kind not in NEEDED:
        raise TypeError(f"{key}: no option can be of type {kind}")
    try:
        if not isinstance(said, str) or (kind is Path and said in ("", *NULLS)):
            raise ValueError
        if kind is bool:
            return YES_OR_NO[said.lower()]
        value = kind(re.sub(r"(?i)^([+-]?)\.(?=inf|nan)", r"\1", said) if kind is float else said)  # .inf: YAML's
        if value != value:  # NaN lies outside no range, and what is made with it is NaN: no option means it
            raise ValueError
        return value
    except (ValueError, KeyError):
        raise UserError(f"{key} {_shown(said)}: {NEEDED[kind]} is needed") from None


def _shown(said: Said) -> str:
    return "null" if said is None or said == "null" else f"'{said}'" if isinstance(said, str) else str(said)


def _beside_none(hint: Any) -> tuple[Any, bool]:
    """A type, and whether it stood beside None."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    (kind,) = (kind for kind in kinds if kind is not NoneType)  # no option is of this type or that
    return kind, NoneType in kinds
