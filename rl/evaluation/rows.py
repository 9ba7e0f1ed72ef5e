"""What an episode's row, of practice or of evaluation, says: success, or where there is no such thing a return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def tells_returns(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these episodes were judged by their return."""
    return bool(rows) and not any("success" in row for row in rows)


def measure_of(row: Mapping[str, Any], measure: str) -> float:
    """What a row says of `measure`. Success is 0 where it says nothing of it.

    Some environments speak of success only when there is one. Raises KeyError for another measure that is not there.
    """
    return float(row.get("success", False) if measure == "success" else row[measure])
