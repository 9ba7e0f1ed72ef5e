"""Small videos and annotation files, and how to read a source, for the tests of `mpr find`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mpr.core.data.video import write_video
from tracking.sources.action import VideoAction

BITS = 8  # of a frame's number, a block of its image each


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


def read(actions: Callable[..., Iterator[VideoAction]], *arguments: Any) -> tuple[list[VideoAction], Counter[str]]:
    reasons: Counter[str] = Counter()
    return list(actions(*arguments, reasons)), reasons


def numbered(path: Path, stamps: Sequence[int], base: Fraction, sound: bool = False, options=None) -> Path:
    """A video of frames at `stamps` (units of `base` seconds) that say their own number, `number_of`; with `sound`, one
    that begins at 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=30, options={"crf": "20", "g": "12", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = 16 * BITS, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        voice: Any = file.add_stream("aac", rate=8000) if sound else None
        for k in range(int(sound) * 20):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.rate, silence.pts = 8000, 1024 * k
            file.mux(voice.encode(silence))
        for number, stamp in enumerate(stamps):
            bits = np.array([number >> k & 1 for k in range(BITS)], np.uint8) * 220 + 16
            image = np.broadcast_to(bits.repeat(16)[None, :, None], (32, 16 * BITS, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = stamp, base
            file.mux(stream.encode(frame))
        file.mux([*stream.encode(), *(voice.encode() if sound else ())])
    return path


def number_of(image: np.ndarray) -> int:
    """Which frame of a `numbered` video it is."""
    return sum(1 << k for k in range(BITS) if image[8:24, 16 * k + 4 : 16 * k + 12].mean() > 127)
