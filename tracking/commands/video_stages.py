"""`mpr bench video`: frames a second of each stage from a video file to a clip folder, and the memory they take, which
should not grow with the video's length."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking.box_mask import CarriedMasks
from tracking.clip import Source
from tracking.config import as_dict, parse, print_plan
from tracking.corpus.action_masks import BoxMasks
from tracking.corpus.actions import How, Job, track_action
from tracking.errors import UserError
from tracking.from_video import CARRIED, stretch_of, track_masked
from tracking.lucas_kanade import LucasKanade
from tracking.overlay import save_overlay
from tracking.processes import spawn
from tracking.runs import RunFolder, atomic_path
from tracking.sources.manifest import Entry
from tracking.store import save_clip
from tracking.video import write_video

SIDE = 96  # pixels of the thing that moves
SWING = 120  # pixels that it moves to and fro


@dataclass(frozen=True)
class VideoBench:
    """Times decoding, masks, points, storing and overlay on a made video, and tracks made videos of several lengths,
    each in a process of its own."""

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
    lengths = sorted(config.seconds)
    for what, seconds in (("stages", lengths[0]), *(("action", one) for one in lengths)):
        with ProcessPoolExecutor(1, spawn(), max_tasks_per_child=1) as pool:  # its memory is its own
            row = pool.submit(MEASURED[what], config, seconds, run.path / f"video_{seconds:g}").result()
        run.log(what=what, **row)
        print(f"{what}: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    rows = list(run.metrics())
    peaks = [row["peak_gb"] for row in rows if row["what"] == "action"]
    rates = {name: rows[0]["frames"] / rows[0][name] for name in STAGES}
    print("frames/s: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    print(f"memory of the longest over that of the shortest: {peaks[-1] / peaks[0]:.3f}")
    run.finish({"frames_per_second": rates, "growth": peaks[-1] / peaks[0], "rows": rows})


STAGES = ("decode", "masks", "points", "store", "overlay")


def made_video(config: VideoBench, seconds: float, folder: Path) -> tuple[Path, list[int]]:
    """A video of that length, and a box around what moves in it, on the first frame."""
    path = folder / "video.mp4"
    if not path.exists():
        count = round(seconds * config.rate_hz)
        with atomic_path(path) as temporary:
            write_video(temporary, pictures(config, count), np.arange(count) / config.rate_hz)
    x, y = config.width // 2 - SIDE, config.height // 2 - SIDE // 2
    return path, [x - 8, y - 8, x + SIDE + 8, y + SIDE + 8]


def stages(config: VideoBench, seconds: float, folder: Path) -> dict[str, float]:
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
        masks = CarriedMasks(frames, box)
    source = Source("bench", path.stem, 0.0, float(times[-1]), "", "made here", CARRIED, LucasKanade.name)
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
    about = {"narration": "", "verb": "", "noun": "", "licence": "made here", "group": "bench"}
    entry = Entry("bench", f"action_{seconds:g}", str(path), 0.0, seconds + 1, extra={"box": box}, **about)
    started = time.perf_counter()
    clips = track_action(Job(entry, "bench", folder, How(BoxMasks(), LucasKanade.name)))
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "clips": len(clips), "took": took, "peak_gb": peak}


MEASURED = {"stages": stages, "action": action}


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
