"""The data card of a folder of synthetic clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_card(out: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """Numbers of the run's summary."""
    return {"clips": len(folders)}
