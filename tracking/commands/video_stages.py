"""What `mpr bench video` measures: the stages from a made video to a clip folder, and the memory of tracking it all."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import ClipSource
from mpr.core.data.clip_folder import save_clip
from mpr.core.data.video import write_video
from mpr.core.runs import atomic_path
from tracking.clips.action_masks import BoxMasks
from tracking.clips.actions import How, Job, track_action
from tracking.clips.from_video import CARRIED, stretch_of, track_masked
from tracking.clips.overlay import save_overlay
from tracking.commands.bench_video import BENCH_SQUARE_PX, SWING, VideoBench
from tracking.masks.box_mask import CarriedMasks
from tracking.masks.lost import HeldMasks
from tracking.sources.manifest import Entry
from tracking.trackers.lucas_kanade import LucasKanade

VIDEO_STAGES = ("decode", "masks", "judged", "points", "store", "overlay")


def made_video(config: VideoBench, seconds: float, folder: Path) -> tuple[Path, list[int]]:
    """A video of that length, and a box around what moves in it, on the first frame."""
    path = folder / "video.mp4"
    if not path.exists():
        count = round(seconds * config.rate_hz)
        with atomic_path(path) as temporary:
            write_video(temporary, _images(config, count), np.arange(count) / config.rate_hz)
    x, y = config.width // 2 - BENCH_SQUARE_PX, config.height // 2 - BENCH_SQUARE_PX // 2
    return path, [x - 8, y - 8, x + BENCH_SQUARE_PX + 8, y + BENCH_SQUARE_PX + 8]


def _stages(config: VideoBench, seconds: float, folder: Path) -> dict[str, float]:
    """Seconds of each stage."""
    cv2.setNumThreads(1)
    path, box = made_video(config, seconds, folder)
    took: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        took[name] = time.perf_counter() - started

    frames, times = stretch_of(path, 0.0, np.inf, 0.0)
    with timed("decode"):
        for t in range(len(frames)):
            _ = frames[t]
    with timed("masks"):
        carried = CarriedMasks(frames, box)
    with timed("judged"):
        masks = HeldMasks(frames, carried, times, 0)
    source = ClipSource("bench", path.stem, 0.0, float(times[-1]), "", "made here", CARRIED, LucasKanade.name)
    with timed("points"):
        clip = track_masked(frames, masks, times, config.rate_hz, LucasKanade(), source)
    with timed("store"):
        save_clip(clip, folder / "clip")
    with timed("overlay"):
        save_overlay(clip, folder / "overlay.mp4", folder / "overlay.png")
    return {"seconds": seconds, "frames": len(frames), **took}


def action(config: VideoBench, seconds: float, folder: Path) -> dict[str, float]:
    """Seconds, clips and peak memory in GB of tracking all of it as one action of a manifest."""
    cv2.setNumThreads(1)
    path, box = made_video(config, seconds, folder)
    about: dict[str, Any] = {"narration": "", "verb": "", "noun": "", "licence": "made here", "group": "bench"}
    entry = Entry("bench", f"action_{seconds:g}", str(path), 0.0, seconds + 1, extra={"box": box}, **about)
    started = time.perf_counter()
    clips = track_action(Job(entry, "bench", folder, How(BoxMasks(), LucasKanade.name)))["clips"]
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "num_clips": len(clips), "took": took, "peak_gb": peak}


MEASURED = {"stages": _stages, "action": action}


def _images(config: VideoBench, count: int) -> Iterator[NDArray[np.uint8]]:
    """A patch of one texture swings over another, seen from a camera that sways: [H, W, 3] uint8 RGB each."""
    rng = np.random.default_rng(0)
    ground = _texture(rng, config.height + 40, config.width + 40, (40, 110))
    thing = _texture(rng, BENCH_SQUARE_PX, BENCH_SQUARE_PX, (140, 250))
    for t in range(count):
        sway = 20 + np.rint(15 * np.sin(0.05 * t * np.array([1.0, 0.7]))).astype(int)
        image = ground[sway[1] : sway[1] + config.height, sway[0] : sway[0] + config.width].copy()
        x = config.width // 2 - BENCH_SQUARE_PX + int(SWING * (1 - np.cos(0.1 * t)) / 2)
        y = config.height // 2 - BENCH_SQUARE_PX // 2
        image[y : y + BENCH_SQUARE_PX, x : x + BENCH_SQUARE_PX] = thing
        yield image


def _texture(rng: np.random.Generator, height: int, width: int, levels: tuple[int, int]) -> NDArray[np.uint8]:
    """Blurred noise between two grey levels (0 .. 255), in colour: [height, width, 3] uint8."""
    noise = cv2.GaussianBlur(rng.random((height, width, 3), np.float32), (0, 0), 3)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return (levels[0] + noise * (levels[1] - levels[0])).astype(np.uint8)
