"""JSON as it was meant: parsed, and held to the types that its reader counts on, before anything is made of it.

A type here is one that annotations write: bool, int, float, str, None, Any, list[X], tuple[X, Y], tuple[X, ...],
dict[str, X], Literal, X | Y, a dataclass, or a TypedDict. A dataclass's or TypedDict's values are an object's; of a
dataclass no key is unknown, since it is made of them. Numbers are finite, and a whole one fits 64 bits.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict

from mpr.core.type_hints import resolved_hints

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null"}


def parsed(text: str | bytes) -> Any:
    """A JSON value. Raises ValueError, also where it is nested beyond what can be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_object(file: Path, kind: type) -> dict[str, Any]:
    """The object in a JSON file, whose values are as `kind` (a TypedDict) says.

    Raises ValueError naming the place, OSError where there is no file.
    """
    value = parsed(file.read_bytes())
    check_json(value, kind)
    return value


def check_json(value: Any, kind: Any, at: str = "") -> None:
    """Raises ValueError, in one line that names the place, where a JSON value is not of a type."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if kind is Any or any(value is None for one in kinds if one in (None, NoneType)):
        return
    kinds = tuple(one for one in kinds if one not in (None, NoneType))
    if len(kinds) > 1:
        if not any(_fits(value, one, at) for one in kinds):
            raise ValueError(f"{at} is {shortly(value)}, none of what it can be")
        return
    kind = next(iter(kinds))
    if get_origin(kind) is Literal:
        if not any(value is one or (type(value) is type(one) and value == one) for one in get_args(kind)):
            raise ValueError(f"{at} is {shortly(value)}, not one of {', '.join(map(str, get_args(kind)))}")
    elif dataclasses.is_dataclass(kind) or is_typeddict(kind):
        _check_keys(value, kind, at)
    elif get_origin(kind) in (list, tuple):
        _check_items(value, kind, at)
    elif get_origin(kind) in (dict, Mapping):
        for key, item in _object(value, at).items():
            check_json(item, get_args(kind)[1], _below(at, key))
    else:
        _check_scalar(value, kind, at)


def _fits(value: Any, kind: Any, at: str) -> bool:
    try:
        check_json(value, kind, at)
        return True
    except ValueError:
        return False


def _check_keys(value: Any, kind: Any, at: str) -> None:
    _object(value, at)
    hints = resolved_hints(kind)
    if dataclasses.is_dataclass(kind):
        bare = (dataclasses.MISSING, dataclasses.MISSING)
        needed = {f.name for f in dataclasses.fields(kind) if (f.default, f.default_factory) == bare}
        if unknown := sorted(value.keys() - hints):
            raise ValueError(f"{_below(at, unknown[0])} is unknown here")
    else:
        needed = kind.__required_keys__
    if missing := sorted(needed - value.keys()):
        raise ValueError(f"'{_below(at, missing[0])}' is missing")
    for name in value.keys() & hints:
        check_json(value[name], hints[name], _below(at, name))


def _check_items(value: Any, kind: Any, at: str) -> None:
    if not isinstance(value, list):
        raise ValueError(f"{at} is {shortly(value)}, a list is needed")
    kinds = get_args(kind)
    if get_origin(kind) is list or kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{at} has {len(value)} items, {len(kinds)} are needed")
    for k, (item, one) in enumerate(zip(value, kinds, strict=True)):
        check_json(item, one, f"{at}[{k}]")


def _check_scalar(value: Any, kind: type, at: str) -> None:
    if kind in (int, float) and isinstance(value, int) and not isinstance(value, bool):
        right = -(2**63) <= value < 2**63
    elif kind is float:
        right = isinstance(value, float) and math.isfinite(value)
    else:
        right = type(value) is kind
    if not right:
        raise ValueError(f"{at or 'it'} is {shortly(value)}, {_NAMES[kind]} is needed")


def _object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{at or 'it'} is {shortly(value)}, an object is needed")
    return value


def _below(at: str, key: str) -> str:
    return f"{at}.{key}"[-80:] if at else key[:80]


def shortly(value: Any) -> str:
    """A value in a few characters, whatever it holds."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and not -(10**20) < value < 10**20:
        return "a number of very many digits"
    return repr(value)[:40]
