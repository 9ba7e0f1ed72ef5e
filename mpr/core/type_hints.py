"""A class's annotations as types, worked out once: `typing` evaluates their text anew whenever it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints


@cache
def resolved_hints(kind: type) -> Mapping[str, Any]:
    """Name -> type of what a class annotates, that of its bases included."""
    return MappingProxyType(get_type_hints(kind))
