"""Small videos and annotation files, and how to read a source, for the tests of `mpr find`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from tracking.sources.action import Action
from tracking.video import write_video


def film(path: Path, frames: int = 20, rate: float = 10.0, times=None, h: int = 48, w: int = 64) -> Path:
    """A video whose frames grow brighter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(frames) / rate if times is None else times
    write_video(path, (np.full((h, w, 3), 10 * t % 250, np.uint8) for t in range(len(times))), times)
    return path


def dump(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def read(source, *arguments) -> tuple[list[Action], Counter[str]]:
    reasons: Counter[str] = Counter()
    return list(source.actions(*arguments, reasons)), reasons
