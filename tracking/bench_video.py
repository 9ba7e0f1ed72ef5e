"""`mpr bench video`: frames a second of each stage from a video file to a clip folder, and the memory they take, which
should not grow with the video's length."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking.box_mask import CarriedMasks
from tracking.clip import Source
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.from_video import CARRIED, stretch_of, track_masked
from tracking.lucas_kanade import LucasKanade
from tracking.overlay import save_overlay
from tracking.runs import RunFolder, atomic_path
from tracking.store import save_clip
from tracking.video import write_video

SIDE = 96  # pixels of the thing that moves
SWING = 120  # pixels that it moves to and fro


@dataclass(frozen=True)
class VideoBench:
    """Times decoding, masks, points, storing and overlay on made videos of several lengths, one process each."""

    seconds: list[float] = field(default_factory=lambda: [10.0, 60.0, 600.0])  # of the videos
    rate_hz: float = 10.0
    width: int = 640
    height: int = 360
    out: Path = Path("runs/bench_video")  # run folder

    def __post_init__(self) -> None:
        if not (all(0.5 <= s < 7200 for s in self.seconds) and 1 <= self.rate_hz <= 240):
            raise UserError("mpr bench video: --seconds lie in 0.5 .. 7200, --rate_hz in 1 .. 240")
        if min(self.width, self.height) < 2 * SIDE or self.width < 2 * SIDE + SWING:
            raise UserError(f"mpr bench video: pictures are at least {2 * SIDE + SWING} x {2 * SIDE}")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench video`. Raises UserError."""
    config, dry_run = parse(VideoBench, argv, "mpr bench video")
    if dry_run:
        return print_plan(config, {}, {"frames": [int(s * config.rate_hz) for s in config.seconds]}, config.out)
    run = RunFolder(config.out, "bench video", as_dict(config))
    run.keep_metrics(lambda row: False)
    spawn = multiprocessing.get_context("spawn")
    for seconds in config.seconds:
        with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:  # a process of its own: memory is its own
            row = pool.submit(measured, config, seconds, run.path / f"video_{seconds:g}").result()
        run.log(**row)
        rates = ", ".join(f"{name} {row['frames'] / row[name]:.0f}" for name in STAGES)
        print(f"{seconds:g} s of {config.width} x {config.height}: {row['peak_gb']:.3f} GB; frames/s: {rates}")
    rows = list(run.metrics())
    run.finish({"growth": max(r["peak_gb"] for r in rows) / min(r["peak_gb"] for r in rows), "lengths": rows})


STAGES = ("decode", "masks", "points", "store", "overlay")


def measured(config: VideoBench, seconds: float, folder: Path) -> dict[str, float]:
    """Seconds of each stage on a video of that length, and the process's peak memory in GB."""
    cv2.setNumThreads(1)
    path = folder / "video.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        count = round(seconds * config.rate_hz)
        with atomic_path(path) as temporary:
            write_video(temporary, pictures(config, count), np.arange(count) / config.rate_hz)
    took: dict[str, float] = {}
    frames, times = stretch_of(path, 0.0, np.inf, 0.0)
    started = time.perf_counter()
    for t in range(len(frames)):
        _ = frames[t]
    took["decode"] = time.perf_counter() - started
    started = time.perf_counter()
    x, y = config.width // 2 - SIDE, config.height // 2 - SIDE // 2
    masks = CarriedMasks(frames, (x - 8, y - 8, x + SIDE + 8, y + SIDE + 8))
    took["masks"] = time.perf_counter() - started
    source = Source("bench", path.stem, 0.0, float(times[-1]), "", "made here", CARRIED, LucasKanade.name)
    started = time.perf_counter()
    clip = track_masked(frames, masks, times, config.rate_hz, LucasKanade(), source)
    took["points"] = time.perf_counter() - started
    started = time.perf_counter()
    save_clip(clip, folder / "clip")
    took["store"] = time.perf_counter() - started
    started = time.perf_counter()
    save_overlay(clip, folder / "overlay.mp4", folder / "overlay.png")
    took["overlay"] = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "frames": len(frames), "segments": len(clip.segments), "peak_gb": peak, **took}


def pictures(config: VideoBench, count: int) -> Iterator[NDArray[np.uint8]]:
    """A patch of one texture swings over another, seen from a camera that sways."""
    rng = np.random.default_rng(0)
    ground = texture(rng, config.height + 40, config.width + 40, (40, 110))
    thing = texture(rng, SIDE, SIDE, (140, 250))
    for t in range(count):
        sway = 20 + np.rint(15 * np.sin(0.05 * t * np.array([1.0, 0.7]))).astype(int)
        picture = ground[sway[1] : sway[1] + config.height, sway[0] : sway[0] + config.width].copy()
        x = config.width // 2 - SIDE + int(SWING * (1 - np.cos(0.1 * t)) / 2)
        y = config.height // 2 - SIDE // 2
        picture[y : y + SIDE, x : x + SIDE] = thing
        yield picture


def texture(rng: np.random.Generator, height: int, width: int, levels: tuple[int, int]) -> NDArray[np.uint8]:
    """Blurred noise between two grey levels, in colour."""
    noise = cv2.GaussianBlur(rng.random((height, width, 3), np.float32), (0, 0), 3)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return (levels[0] + noise * (levels[1] - levels[0])).astype(np.uint8)
