"""What the campaign puts before an arm or a camera passes on what it does not change."""

from __future__ import annotations

from typing import Any, Self


class Through:
    """Features, entering and leaving are those of the part behind it."""

    def __init__(self, part: Any) -> None:
        self._part = part

    @property
    def features(self) -> Any:
        return self._part.features

    def __enter__(self) -> Self:
        self._part.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._part.__exit__(*error)
